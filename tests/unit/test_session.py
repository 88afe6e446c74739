"""`WebSocketSession`: one handshake, with a server and middleware around that a test makes up."""

from __future__ import annotations

import asyncio
import builtins
from typing import TYPE_CHECKING, Any

import pytest
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade.guard.handshake import Handshake
from asgi_upgrade.websocket.handshake import Accept, negotiate
from asgi_upgrade.websocket.protocol import ClientDisconnected
from asgi_upgrade.websocket.session import WebSocketSession
from asgi_upgrade.websocket.settings import WebSocketSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

HANDSHAKE = [
    (b"host", b"example.com"),
    (b"connection", b"upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
REQUEST = {"type": "http.request", "body": b"", "more_body": False}
DISCONNECT = {"type": "http.disconnect"}


class Server:
    """Offers the extension for one handshake, and keeps what is sent; it never switches."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()  # the client
        self.stop: Callable[[], None] = lambda: None
        self.extension: dict[str, Any] = {
            "version": "1.2",
            "connect": self._connect,
            "on_shutdown": lambda callback: setattr(self, "stop", callback),
        }
        self._request_given = False

    async def receive(self) -> Message:
        if not self._request_given:
            self._request_given = True
            return REQUEST
        await self.gone.wait()
        return DISCONNECT

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int | None:
        """Of the response, if there is one."""
        return next((message["status"] for message in self.sent if message["type"] == "http.response.start"), None)

    def scope(self) -> Scope:
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": HANDSHAKE,
            "extensions": {"http.upgrade": self.extension},
        }

    def session(self, *, receive: Receive | None = None, send: Send | None = None, **settings: Any) -> WebSocketSession:
        scope = self.scope()
        accept = negotiate(scope)
        assert isinstance(accept, Accept)
        return WebSocketSession(
            scope,
            receive or self.receive,
            send or self.send,
            handshake=Handshake(self.extension, accept, None, WebSocketSettings(**settings), ()),  # type: ignore[arg-type]
        )

    def _connect(self, protocol: Any, headers: Any) -> asyncio.Future[bool]:
        return asyncio.get_running_loop().create_future()


async def wait_and_return(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the client, and go when it goes."""
    assert (await receive())["type"] == "websocket.connect"
    assert (await receive()) == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


@pytest.mark.parametrize("more_body", [False, True])
def test_middleware_that_gives_the_request_for_ever_leaves_the_loop_its_turns(*, more_body: bool) -> None:
    """A widespread shape: what has read the body replaces `receive` by a function that returns it."""
    asked = 0

    async def receive() -> Message:
        nonlocal asked
        asked += 1
        return {**REQUEST, "more_body": more_body}

    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session(receive=receive, open_timeout=0.3).run(wait_and_return))
        await asyncio.wait_for(running, 5)
        assert server.status == 503
        assert 2 < asked < 20

    asyncio.run(test())


def test_middleware_that_has_an_answer_at_first_is_asked_until_the_client_leaves() -> None:
    async def test() -> None:
        server = Server()
        replayed = 5

        async def receive() -> Message:
            nonlocal replayed
            if replayed:
                replayed -= 1
                return REQUEST
            return await server.receive()

        running = asyncio.ensure_future(server.session(receive=receive).run(wait_and_return))
        await asyncio.sleep(0.05)
        server.gone.set()
        await asyncio.wait_for(running, 5)

    asyncio.run(test())


class Group(Exception):
    """What an exception group is to Python 3.10, where it comes from a package."""

    def __init__(self, *exceptions: Exception) -> None:
        super().__init__("unhandled errors in a TaskGroup")
        self.exceptions = exceptions


GONE = ClientDisconnected(1006, "")


@pytest.mark.parametrize("kind", [Group, "group"])
@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ([GONE], False),
        ([GONE, WebSocketDisconnect(1006)], False),
        ([GONE, Group(GONE, GONE)], False),
        ([GONE, ValueError("a mistake")], True),
        ([Group(GONE, ValueError("a mistake"))], True),
    ],
)
def test_a_group_of_nothing_but_disconnects_is_a_disconnect(
    errors: list[Exception], kind: Any, *, raised: bool
) -> None:
    """What a task group makes of a reader and a writer whose client has left."""
    if kind == "group":
        kind = getattr(builtins, "ExceptionGroup", None)
        if kind is None:
            pytest.skip("this Python has none of its own")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise kind(*errors) if kind is Group else kind("errors", errors)

    async def test() -> None:
        server = Server()
        server.gone.set()
        if raised:
            with pytest.raises(kind):
                await server.session().run(app)
        else:
            await server.session().run(app)

    asyncio.run(test())


def test_an_error_that_happens_to_have_exceptions_is_an_error() -> None:
    class Odd(Exception):
        exceptions = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise Odd

    async def test() -> None:
        server = Server()
        server.gone.set()
        with pytest.raises(Odd):
            await server.session().run(app)

    asyncio.run(test())


def test_a_client_that_leaves_before_the_accept_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Middleware that starts a task for what is inside complains of a request without a response."""

    class Plain(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    async def test() -> None:
        server = Server()

        async def inside(scope: Scope, receive: Receive, send: Send) -> None:
            await server.session(receive=receive, send=send).run(wait_and_return)

        running = asyncio.ensure_future(Plain(inside)(server.scope(), server.receive, server.send))
        await asyncio.sleep(0.01)
        server.gone.set()
        await asyncio.wait_for(running, 5)
        assert server.status == 400

    asyncio.run(test())
    assert not caplog.records


def test_a_server_that_stops_ends_the_wait_for_the_client() -> None:
    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session().run(wait_and_return))
        await asyncio.sleep(0.01)
        server.stop()
        await asyncio.wait_for(running, 5)
        assert server.status == 503

    asyncio.run(test())


def test_a_server_that_stops_leaves_an_answer_that_has_begun_alone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0.01)
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await send({"type": "websocket.http.response.body", "body": b"no"})
        assert (await waiting)["type"] == "websocket.disconnect"

    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session().run(app))
        await asyncio.sleep(0.02)
        server.stop()
        await asyncio.wait_for(running, 5)
        assert server.status == 401

    asyncio.run(test())
