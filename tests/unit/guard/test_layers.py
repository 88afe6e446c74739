"""What a middleware is taken for by its code."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest
from starlette.authentication import AuthenticationBackend
from starlette.exceptions import WebSocketException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket

from asgi_upgrade.guard.layers import Reading, nested, qualified_name, read, read_code

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

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


def test_to_close_a_websocket_is_enough_to_be_for_websockets() -> None:
    namespace: dict[str, Any] = {"__name__": "mine", "WebSocket": WebSocket}
    source = "async def guard(scope, receive, send):\n    if scope['type'] == 'websocket':\n        "
    exec(f"{source}await WebSocket(scope, receive, send).close()", namespace)
    assert read(namespace["guard"]) is Reading.WEBSOCKET


def test_what_stands_behind_a_middleware_says_nothing_of_it() -> None:
    assert read(pages_only(rooms)) is Reading.HTTP


class Base:
    """A middleware as they are written."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app


class Refusing(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and "token" not in scope:
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


class Denying(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(denial)
        await self.app(scope, receive, send)


class Closing(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).close()
        await self.app(scope, receive, send)


class ClosingByHelper(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await close(send)
        await self.app(scope, receive, send)


class ClosingByMethod(Refusing):
    def other(self) -> None:
        """Nothing is said here, and the base class says it."""


class ClosingInside(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse() -> None:
            await send({"type": "websocket.close", "code": 1008})

        if scope["type"] == "websocket":
            await refuse()


class Watching(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                message["counted"] = True
            return message

        await self.app(scope, counting, send)


class Both(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 401})
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})


class BothByResponse(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse("no", 401)(scope, receive, send)


class BothByMessages(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["seen"] = True
            await send(message)

        if scope["type"] == "websocket":
            await sending({"type": "websocket.close", "code": 1008})


class Alike(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["counted"] = True
        await self.app(scope, receive, send)


class OnlyNaming(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            scope["counted"] = True
        await self.app(scope, receive, send)


class Plain(Base):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Says nothing about websocket.close but in its docstring."""
        await self.app(scope, receive, send)


class Dispatching(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.scope["type"] == "websocket":
            raise ValueError("websocket.close")
        return await call_next(request)


class DispatchingAndMore(Dispatching):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})


class HTTPBackend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> None:
        return None


class WebSocketBackend(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> None:
        if conn.scope["type"] == "websocket":
            raise WebSocketException(1008)


denial = PlainTextResponse("no", 401)


async def close(send: Send) -> None:
    await send({"type": "websocket.close", "code": 1008})


class Compiled:
    """What has no code that could be read."""

    __call__ = len


@pytest.mark.parametrize(
    ("middleware", "reading"),
    [
        (Refusing, Reading.WEBSOCKET),
        (Denying, Reading.WEBSOCKET),
        (Closing, Reading.WEBSOCKET),
        (ClosingByHelper, Reading.WEBSOCKET),
        (ClosingByMethod, Reading.WEBSOCKET),
        (ClosingInside, Reading.WEBSOCKET),
        (Watching, Reading.UNCLEAR),
        (Both, Reading.UNCLEAR),
        (BothByResponse, Reading.UNCLEAR),
        (BothByMessages, Reading.UNCLEAR),
        (OnlyNaming, Reading.UNCLEAR),
        (Alike, Reading.HTTP),
        (Plain, Reading.HTTP),
        (Base, Reading.HTTP),
        (Dispatching, Reading.HTTP),
        (DispatchingAndMore, Reading.WEBSOCKET),
        (Compiled, Reading.UNCLEAR),
        (CORSMiddleware, Reading.HTTP),
        (AuthenticationMiddleware, Reading.HTTP),
    ],
)
def test_what_a_class_is_for(middleware: type, reading: Reading) -> None:
    assert read(middleware) is reading
    assert read(partial(middleware, option=1)) is reading
    if issubclass(middleware, Base):
        made = middleware(rooms)
        assert read(made) is reading
        if "__call__" in vars(middleware):
            assert read(made.__call__) is reading  # type: ignore[operator]


def test_the_backend_decides_what_an_authentication_is_for() -> None:
    assert read(AuthenticationMiddleware(rooms, HTTPBackend())) is Reading.HTTP
    assert read(AuthenticationMiddleware(rooms, WebSocketBackend())) is Reading.WEBSOCKET


def test_code_of_packages_that_are_known_is_not_read() -> None:
    code = Refusing.__call__.__code__
    assert read_code(code, "tests.unit") is Reading.WEBSOCKET
    assert read_code(code, "starlette") is Reading.HTTP
    assert read_code(code, "starlette.middleware.mine") is Reading.HTTP
    assert read_code(code, "starlette_mine") is Reading.WEBSOCKET


def test_helpers_of_other_packages_say_nothing_of_a_middleware() -> None:
    namespace: dict[str, Any] = {"__name__": "elsewhere.helpers"}
    exec("async def close(send):\n    await send({'type': 'websocket.close'})", namespace)
    mine: dict[str, Any] = {"__name__": "mine", "close": namespace["close"]}
    source = "async def guard(scope, receive, send):\n    if scope['type'] == 'websocket':\n        await close(send)"
    exec(source, mine)
    assert read(mine["guard"]) is Reading.UNCLEAR
    namespace["close"].__module__ = "mine.helpers"
    assert read(mine["guard"]) is Reading.UNCLEAR, "`functools.wraps` may have written this"
    namespace["__name__"] = "mine.helpers"
    assert read(mine["guard"]) is Reading.WEBSOCKET


def test_a_closure_that_is_still_empty_is_no_hindrance() -> None:
    def make() -> ASGIApp:
        async def guard(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await later(send)

        made = guard
        assert read(made) is Reading.UNCLEAR
        later = close
        return made

    assert read(make()) is Reading.WEBSOCKET


def test_the_code_in_a_function_is_all_that_is_defined_in_it() -> None:
    def outer() -> None:
        class Inner:
            def method(self) -> None:
                self.made = lambda: None

    assert [code.co_name for code in nested(outer.__code__)] == ["outer", "Inner", "method", "<lambda>"]


def test_a_function_has_the_name_that_it_is_written_with() -> None:
    async def plain(scope: Scope, receive: Receive, send: Send) -> None:
        """Has its own name."""

    @wraps(nested)
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        """Has the name of another."""

    renamed: Any = other
    given: Any = plain
    around = "test_a_function_has_the_name_that_it_is_written_with.<locals>."
    assert qualified_name(given) == f"{around}plain"
    given.__qualname__ = "Given.here"
    assert qualified_name(given) == "Given.here"
    assert renamed.__qualname__ == "nested"
    assert qualified_name(renamed) == (f"{around}other" if sys.version_info >= (3, 11) else "other")
