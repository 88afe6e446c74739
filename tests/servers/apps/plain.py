"""An application without a framework: the outermost `HandshakeMiddleware` makes the guard see handshakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from policy import Guard, upgrade

from asgi_upgrade import HandshakeMiddleware

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a page and a WebSocket."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"plain":"http"}'})
        return
    await receive()
    await send({"type": "websocket.accept"})
    name = scope["path"].rpartition("/")[2]
    hello = {"room": name, "subprotocols": scope["subprotocols"], "guarded": scope["guarded"]}
    await send({"type": "websocket.send", "text": json.dumps(hello)})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", message["code"], flush=True)  # noqa: T201 - the test reads it
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
        elif message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


app = HandshakeMiddleware(Guard(upgrade(application)))
