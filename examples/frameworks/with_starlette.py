"""Starlette."""

from guard import Guard
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware


async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    routes=[WebSocketRoute("/echo", echo)],
    middleware=[Middleware(Guard), Middleware(UpgradeMiddleware)],
)
