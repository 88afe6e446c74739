"""The same chat in FastAPI and in Starlette, with `UpgradeMiddleware` added to the application or wrapped around it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, WebSocketException
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_upgrade import UpgradeMiddleware

CallNext = Callable[[Request], Awaitable[Response]]


async def guard(request: Request, call_next: CallNext) -> Response:
    """A user's own `@app.middleware("http")`: it refuses, or lets pass and adds a header."""
    if request.headers.get("authorization") != "Bearer ada":
        return PlainTextResponse("who are you?", 401, {"www-authenticate": "Bearer"})
    request.state.user = "ada"
    response = await call_next(request)
    response.headers["x-user"] = "ada"
    return response


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    yield {"greeting": "hello"}


async def page(request: Request) -> Response:
    return JSONResponse({"page": request.path_params["name"], "body": (await request.body()).decode()})


async def chat(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"x-endpoint", b"chat")])
    welcome = f"{websocket.state.greeting} {websocket.state.user} in {websocket.path_params['room']}"
    await websocket.send_json({"welcome": welcome, "url": str(websocket.url), "query": dict(websocket.query_params)})
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect as disconnect:
        print(f"chat left with {disconnect.code}", flush=True)


async def refuse(websocket: WebSocket) -> None:
    """Starlette's ways to refuse."""
    how = websocket.path_params["how"]
    if how == "close":
        await websocket.close(1008)
    elif how == "denial":
        await websocket.send_denial_response(PlainTextResponse("not you", 402, {"x-why": "because"}))
    elif how == "http":
        raise HTTPException(418, "teapot")
    elif how == "websocket":
        raise WebSocketException(1008, "policy")


def make_starlette(*middleware: Middleware) -> Starlette:
    routes = [
        Route("/pages/{name}", page, methods=["GET", "POST"]),
        WebSocketRoute("/chat/{room}", chat),
        WebSocketRoute("/refuse/{how}", refuse),
    ]
    return Starlette(routes=routes, middleware=list(middleware), lifespan=lifespan)


starlette_added = make_starlette(Middleware(BaseHTTPMiddleware, dispatch=guard), Middleware(UpgradeMiddleware))
starlette_wrapped = UpgradeMiddleware(make_starlette(Middleware(BaseHTTPMiddleware, dispatch=guard)))


async def allowed_room(connection: HTTPConnection, room: int) -> int:
    if room == 13:
        raise HTTPException(404, "no such room")
    return room


def make_fastapi() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/pages/{name}", page, methods=["GET", "POST"])
    app.add_api_websocket_route("/chat/{room}", chat)
    app.add_api_websocket_route("/refuse/{how}", refuse)

    @app.websocket("/rooms/{room}")
    async def rooms(websocket: WebSocket, room: Annotated[int, Depends(allowed_room)], name: str = "nobody") -> None:
        await websocket.accept()
        await websocket.send_json({"room": room, "name": name})
        await websocket.close(4000, "that was all")

    return app


fastapi_added = make_fastapi()
fastapi_added.add_middleware(UpgradeMiddleware)
fastapi_added.middleware("http")(guard)

fastapi_inner = make_fastapi()
fastapi_inner.middleware("http")(guard)
fastapi_wrapped = UpgradeMiddleware(fastapi_inner)
