"""What the applications have in common: a page and a WebSocket, behind nested routers and mounts too."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings

PAGE = "a page that is long enough to be compressed\n" * 100

# Where each FastAPI application has a WebSocket, and a page at .../pages/...: the path, and its template.
PATHS = {
    "/rooms/blue": "/rooms/{room}",
    "/api/v1/rooms/blue": "/api/v1/rooms/{room}",  # one router included in another one
    "/sub/rooms/blue": "/sub/rooms/{room}",  # a mounted application
}

upgrade = Middleware(UpgradeMiddleware, websocket=WebSocketSettings(open_timeout=10.0))


async def page(request: Request) -> Response:
    return PlainTextResponse(PAGE)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def leave(websocket: WebSocket) -> None:
    """Let the disconnect out."""
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


async def fail(websocket: WebSocket) -> None:
    """Raise once a message has come."""
    await websocket.accept()
    await websocket.receive_text()
    raise LookupError("raised in the endpoint")


async def fail_page(request: Request) -> Response:
    """Raise when the response has begun, as `fail` does."""

    async def body() -> AsyncIterator[bytes]:
        yield b"some of the page"
        raise LookupError("raised in the endpoint")

    return StreamingResponse(body())


def starlette(*middleware: Middleware) -> Starlette:
    """With `middleware`, the first of which is outermost, around ours."""
    routes = [Route("/page", page), WebSocketRoute("/rooms/{room}", echo), WebSocketRoute("/fail/{room}", fail)]
    return Starlette(routes=routes, middleware=[*middleware, upgrade])


def fastapi() -> FastAPI:
    """With ours, unless the environment says PLAIN, and ready for more middleware around it."""
    app = FastAPI()
    if "PLAIN" not in os.environ:
        app.add_middleware(
            UpgradeMiddleware,
            websocket=WebSocketSettings(open_timeout=10.0),
            extend_server="UNATTACHED" not in os.environ,
        )
    app.add_api_route("/page", page)
    app.add_api_websocket_route("/fail/{room}", fail)
    app.add_api_websocket_route("/leave/{room}", leave)
    app.add_api_websocket_route("/refuse/{room}", refuse)
    app.add_api_route("/fail-page/{room}", fail_page)
    api, version = APIRouter(), APIRouter()
    for router in (app, version):
        router.add_api_websocket_route("/rooms/{room}", echo)
        router.add_api_route("/pages/{room}", page)
    api.include_router(version, prefix="/v1")
    app.include_router(api, prefix="/api")
    app.mount("/sub", Starlette(routes=[WebSocketRoute("/rooms/{room}", echo), Route("/pages/{room}", page)]))
    return app
