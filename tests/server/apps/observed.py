"""An application whose observer keeps what it is told: /events gives that, /open what is open."""

import asyncio
import os
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_upgrade import ConnectionClosed, HandshakeEnded, Observer, UpgradeMiddleware, WebSocketSettings


class Keeping(Observer):
    """Keeps all events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def handshake_ended(self, event: HandshakeEnded) -> None:
        self.events.append({"event": "handshake", "path": event.scope["path"], **without_scope(event)})

    def connection_closed(self, event: ConnectionClosed) -> None:
        self.events.append({"event": "closed", "path": event.scope["path"], **without_scope(event)})


class Raising(Observer):
    """Fails at everything."""

    def handshake_ended(self, event: HandshakeEnded) -> None:
        raise LookupError("raised in the observer")

    connection_closed = handshake_ended  # type: ignore[assignment]


def without_scope(event: HandshakeEnded | ConnectionClosed) -> dict[str, Any]:
    return {name: value for name, value in vars(event).items() if name != "scope"}


class Login:
    """A guard for requests, outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["query_string"] == b"anonymous":
            await PlainTextResponse("log in", 401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Limit:
    """Middleware for WebSockets alone, which gets one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["query_string"] == b"limited":
            await send({"type": "websocket.close", "code": 4429})
            return
        await self.app(scope, receive, send)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        await websocket.send({**message, "type": "websocket.send"})


async def refuse(websocket: WebSocket) -> None:
    await websocket.close(4000)


async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("no", 503))


async def fail(websocket: WebSocket) -> None:
    raise LookupError("raised before the accept")


async def fail_later(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError("raised after the accept")


async def forget(websocket: WebSocket) -> None:
    """Answer nothing."""


async def wait(websocket: WebSocket) -> None:
    """Wait for the client, and never answer."""
    await websocket.receive()
    await asyncio.sleep(0 if (await websocket.receive())["type"] == "websocket.disconnect" else 60)


async def leave(websocket: WebSocket) -> None:
    """As many write it: the disconnect is raised."""
    await websocket.accept()
    try:
        while True:
            await websocket.receive_text()
    except WebSocketDisconnect as error:
        raise error from None


async def say_events() -> list[dict[str, Any]]:
    return keeping.events


async def say_open() -> dict[str, Any]:
    return {str(route): asdict(totals) for route, totals in keeping.open_totals().items()}


keeping = Keeping()
observer = Raising() if "OBSERVER_RAISES" in os.environ else keeping

app = FastAPI()
app.add_middleware(
    UpgradeMiddleware,
    observer=observer,
    websocket=WebSocketSettings(open_timeout=0.7),
    extend_server="UNATTACHED" not in os.environ,
    insecure_skip_http_middleware=["/bypassed/{name}"],
)
app.add_middleware(Limit)
app.add_middleware(Login)
for path, endpoint in {
    "/rooms/{room}": echo,
    "/bypassed/{name}": echo,
    "/refuse": refuse,
    "/deny": deny,
    "/fail": fail,
    "/fail-later": fail_later,
    "/forget": forget,
    "/wait": wait,
    "/leave": leave,
}.items():
    app.add_api_websocket_route(path, endpoint)
app.add_api_route("/events", say_events)
app.add_api_route("/open", say_open)
api = APIRouter()
api.add_api_websocket_route("/rooms/{room}", echo)
app.include_router(api, prefix="/api")
rooms = Starlette(routes=[WebSocketRoute("/rooms/{room}", echo)], middleware=[Middleware(Login)])
app.mount("/tenants/{tenant}", Starlette(routes=[Mount("/sub", rooms)]))
app.mount("/{tenant}/raw", PlainTextResponse("a page"))
