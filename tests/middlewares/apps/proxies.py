"""hypercorn's ProxyFixMiddleware, which copies the scope deeply, around an application, which it cannot copy itself."""

from typing import Any, cast

from hypercorn.middleware import ProxyFixMiddleware
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.middlewares.apps.common import upgrade


async def where(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(f"{websocket.client.host if websocket.client else ''} {websocket.url}")
    async for text in websocket.iter_text():
        await websocket.send_text(text)


routes = [WebSocketRoute("/where", where)]
app = ProxyFixMiddleware(cast("Any", Starlette(routes=routes, middleware=[upgrade])))
