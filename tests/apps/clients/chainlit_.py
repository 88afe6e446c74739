"""A page of Chainlit: its script speaks Socket.IO."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import socketio

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    text = page(server, f"{path}/")
    with socketio.SimpleClient() as client:
        client.connect(
            server.url("http", ""),
            headers=dict(headers),
            auth={"sessionId": str(uuid4()), "clientType": "webapp", "userEnv": "{}"},
            transports=["websocket"],
            socketio_path=f"{path}/ws/socket.io",
            wait_timeout=20,
        )

        def message() -> Any:
            while (event := client.receive(timeout=20))[0] != "new_message" or event[1]["type"] != "assistant_message":
                pass
            return event[1]["output"]

        client.emit("connection_successful")
        greeting = message()
        said = {"id": str(uuid4()), "name": "user", "type": "user_message", "output": "good day", "createdAt": None}
        client.emit("client_message", {"message": said, "fileReferences": []})
        yield "<html" in text, client.transport, greeting, message()
