"""HTTP middleware of several kinds around a page and WebSockets, as ``docs/guides/middleware.md`` explains them."""

import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketException
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade import UpgradeMiddleware

app = FastAPI()
app.add_middleware(UpgradeMiddleware)  # first: innermost
app.add_middleware(SessionMiddleware, secret_key=secrets.token_hex())
app.add_middleware(GZipMiddleware)  # last: outermost

caller: ContextVar[str] = ContextVar("caller")


@app.middleware("http")
async def measured(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Knock, and say how long the answer took."""
    caller.set(request.headers.get("user-agent", "unknown"))  # the endpoint can read it, as long as it runs
    started = time.perf_counter()
    response = await call_next(request)  # a WebSocket has been accepted here, and nothing has been sent yet
    seconds = time.perf_counter() - started
    response.headers["x-status"] = str(response.status_code)  # 101
    response.headers["x-seconds"] = f"{seconds:.3f}"  # of the handshake
    return response  # this goes out now; the WebSocket stays open


@app.middleware("http")
async def digested(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Read whole pages, but not what never ends."""
    response = await call_next(request)
    if response.status_code == 101:
        return response
    body = b"".join([part async for part in response.body_iterator])  # type: ignore[attr-defined]
    response.headers["x-digest"] = hashlib.sha256(body).hexdigest()
    return Response(body, response.status_code, response.headers)


class Database:
    """Stands for whatever has to be closed in the end."""

    is_open = True


@asynccontextmanager
async def connect() -> AsyncIterator[Database]:
    """Open a database."""
    database = Database()
    try:
        yield database
    finally:
        database.is_open = False


@app.middleware("http")
async def with_short_database(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Lend a database to pages. For a WebSocket it is closed while that is still open."""
    async with connect() as database:
        request.state.short = database
        return await call_next(request)


class WithDatabase:
    """Lends a database to pages and WebSockets, as long as they run."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        async with connect() as database:
            scope.setdefault("state", {})["long"] = database
            await self.app(scope, receive, send)  # this returns when the WebSocket is closed


app.add_middleware(WithDatabase)


@app.get("/page")
async def page() -> str:
    """A page."""
    return caller.get()


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Say who calls and which databases are open, and send back what comes."""
    await websocket.accept()
    state = websocket.state
    await websocket.send_json({"caller": caller.get(), "short": state.short.is_open, "long": state.long.is_open})
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@app.websocket("/closed")
async def closed(websocket: WebSocket) -> None:
    """Refuse by an exception, as a page would."""
    raise HTTPException(410, f"{websocket.url.path} is gone")


@app.websocket("/broken")
async def broken(websocket: WebSocket) -> None:
    """Fail before the WebSocket is accepted."""
    raise LookupError(websocket.url.path)


@app.websocket("/exceptional")
async def exceptional(websocket: WebSocket) -> None:
    """Fail later, as told."""
    await websocket.accept()
    if await websocket.receive_text() == "close":
        raise WebSocketException(4001, "as you wish")
    raise LookupError("broken")
