"""An application without a framework: the outermost `HandshakeMiddleware` makes the guard see handshakes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from policy import Guard, upgrade

from asgi_upgrade import HandshakeMiddleware

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a page and WebSockets."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"plain":"http"}'})
    elif scope["path"].startswith("/undecided/"):
        await undecided(scope, receive)
    else:
        await room(scope, receive, send)


async def lifespan(receive: Receive, send: Send) -> None:
    """Start and stop."""
    for _ in range(2):
        message = await receive()
        await send({"type": message["type"] + ".complete"})


async def room(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what came of the handshake, then echo until told to close."""
    await receive()
    await send({"type": "websocket.accept"})
    name = scope["path"].rpartition("/")[2]
    hello = {"room": name, "subprotocols": scope["subprotocols"], "guarded": scope["guarded"]}
    await send({"type": "websocket.send", "text": json.dumps(hello)})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", name, message["code"], flush=True)
            return
        text = message.get("text")
        if text in ("close", "close and receive"):
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
            if text == "close":
                return
        elif text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def undecided(scope: Scope, receive: Receive) -> None:
    """Wait for the client to leave before it is accepted."""
    name = scope["path"].rpartition("/")[2]
    print("undecided", name, flush=True)
    kinds = [(await receive())["type"] for _ in range(2)]
    print("left", name, *kinds, flush=True)


unwrapped = Guard(upgrade(application))
app = HandshakeMiddleware(unwrapped)
