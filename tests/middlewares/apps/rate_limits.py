"""slowapi: both of its middlewares; asgi-ratelimit."""

from typing import Any

from fastapi import FastAPI
from ratelimit import RateLimitMiddleware, Rule
from ratelimit.backends.simple import MemoryBackend
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.middleware import Middleware
from starlette.types import Scope
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware
from tests.middlewares.apps.common import echo, page, starlette


def limited(middleware: Any) -> FastAPI:
    """One request a minute for each route."""
    app = FastAPI()
    app.state.limiter = Limiter(key_func=get_remote_address, default_limits=["1/minute"], headers_enabled=True)
    app.add_middleware(UpgradeMiddleware)
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


async def client_of(scope: Scope) -> tuple[str, str]:
    """All of an address are one."""
    return scope["client"][0], "default"


ratelimit = starlette(
    Middleware(
        RateLimitMiddleware,
        authenticate=client_of,
        backend=MemoryBackend(),
        config={r"^/rooms": [Rule(minute=1)], r"^/page": [Rule(minute=1)]},
    )
)
