"""Litestar."""

from guard import Guard
from litestar import Litestar
from litestar.handlers import websocket_listener

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware


@websocket_listener("/echo")
async def echo(data: str) -> str:
    """Send back what comes."""
    return data


app = HandshakeMiddleware(Guard(UpgradeMiddleware(Litestar([echo]))))
