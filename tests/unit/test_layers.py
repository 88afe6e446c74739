"""What a middleware is taken for by its code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket

from asgi_upgrade.guard.layers import Reading, read

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

CallNext = Callable[[], Awaitable[None]]


def websocket_middleware(function: Callable[[WebSocket, CallNext], Awaitable[None]]) -> Callable[[ASGIApp], ASGIApp]:
    """FastAPI's tests make middleware for WebSockets like this."""

    def make(app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> Any:
            if scope["type"] != "websocket":
                return await app(scope, receive, send)

            async def go_on() -> None:
                await app(scope, receive, send)

            return await function(WebSocket(scope, receive, send), go_on)

        return wrapped

    return make


@websocket_middleware
async def guard(websocket: WebSocket, go_on: CallNext) -> None:
    if "token" in websocket.query_params:
        await go_on()
    else:
        await websocket.close()


async def rooms(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


def pages_only(app: ASGIApp) -> ASGIApp:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await app(scope, receive, send)

    return wrapped


def test_a_guard_that_a_decorator_makes_of_a_function_is_for_websockets() -> None:
    assert read(guard) is Reading.WEBSOCKET


def test_what_stands_behind_a_middleware_says_nothing_of_it() -> None:
    assert read(pages_only(rooms)) is Reading.HTTP
