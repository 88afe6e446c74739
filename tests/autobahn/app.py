"""The server under test: it sends each message back, as the Autobahn cases expect, and the largest of theirs fit.

Environment:
    AUTOBAHN_BARE: If set, `app` does without the middleware, for comparison with the server's own WebSockets.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings
from asgi_upgrade.websocket.deflate import PerMessageDeflate

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# Cases 9.1.6 and 9.2.6 send 16 MiB in one message, 9.3.1 and 9.4.1 send 4 MiB in frames of 64 bytes.
MAX_MESSAGE_SIZE = 16 * 1024 * 1024
MAX_MESSAGE_FRAMES = 65536


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Send back what arrives, as text or as bytes."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


app: ASGIApp = echo
if "AUTOBAHN_BARE" not in os.environ:
    app = UpgradeMiddleware(
        echo,
        websocket=WebSocketSettings(
            max_message_size=MAX_MESSAGE_SIZE,
            max_message_frames=MAX_MESSAGE_FRAMES,
            # The client of sections 12 and 13 expects each message compressed, although a server need not
            # (RFC 7692 §6).
            deflate=PerMessageDeflate(threshold=0),
        ),
    )
