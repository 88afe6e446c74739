"""A page of NiceGUI: its script speaks Socket.IO."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import socketio

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server

PATH = "/_nicegui_ws/socket.io"


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    found = re.search(r"client_id\W+([\w-]{36})", page(server, "/gui"))
    assert found is not None
    query = f"client_id={found[1]}&tab_id=one&document_id=one&next_message_id=0&implicit_handshake=true"
    with socketio.SimpleClient() as client:
        url = server.url("http", f"/?{query}")
        client.connect(url, headers=dict(headers), transports=["websocket"], socketio_path=PATH, wait_timeout=20)
        while "told by the server" not in str(client.receive(timeout=20)):
            pass
        yield client.transport, "told by the server"
