"""Quart."""

from guard import Guard
from quart import Quart, websocket

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware

app = Quart(__name__)
app.asgi_app = HandshakeMiddleware(Guard(UpgradeMiddleware(app.asgi_app)))


@app.websocket("/echo")
async def echo() -> None:
    """Send back what comes."""
    while True:
        await websocket.send(await websocket.receive())
