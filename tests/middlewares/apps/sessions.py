"""Starlette's SessionMiddleware, and starsessions with a cookie of its own beside it."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from starsessions import InMemoryStore, SessionAutoloadMiddleware
from starsessions import SessionMiddleware as StarsessionsMiddleware

from tests.middlewares.apps.common import upgrade


async def login(request: Request) -> Response:
    request.session["user"] = request.path_params["user"]
    return PlainTextResponse("welcome")


async def visit(websocket: WebSocket) -> None:
    """Change the session before the accept, which is when a cookie can still be set."""
    websocket.session["visits"] = websocket.session.get("visits", 0) + 1
    await websocket.accept()
    await websocket.send_json(dict(websocket.session))
    async for text in websocket.iter_text():
        await websocket.send_text(text)


routes = [Route("/login/{user}", login), WebSocketRoute("/visit", visit)]
signed = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key="test"), upgrade])
stored = Starlette(
    routes=routes,
    middleware=[
        Middleware(StarsessionsMiddleware, store=InMemoryStore(), cookie_https_only=False),
        Middleware(SessionAutoloadMiddleware),
        upgrade,
    ],
)
