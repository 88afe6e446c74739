"""slowapi: both of its middlewares, and what becomes of them with match_routes=False."""

from typing import Any

from fastapi import FastAPI
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware
from tests.middlewares.apps.common import echo, page


def limited(middleware: Any, *, match_routes: bool = True) -> FastAPI:
    """One request a minute for each route."""
    app = FastAPI()
    app.state.limiter = Limiter(key_func=get_remote_address, default_limits=["1/minute"], headers_enabled=True)
    app.add_middleware(UpgradeMiddleware, match_routes=match_routes)
    app.add_middleware(middleware)
    app.add_api_route("/page", page)

    @app.websocket("/rooms/{room}")
    async def rooms(websocket: WebSocket) -> None:
        await echo(websocket)

    @app.websocket("/other")
    async def other(websocket: WebSocket) -> None:
        await echo(websocket)

    return app


base = limited(SlowAPIMiddleware)
asgi = limited(SlowAPIASGIMiddleware)
unmatched = limited(SlowAPIMiddleware, match_routes=False)
