"""`WebSocketSession`: one handshake, with a server and middleware around that a test makes up."""

from __future__ import annotations

import asyncio
import builtins
import re
import struct
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard.handshake import Handshake
from asgi_upgrade.testing import UpgradeTransport
from asgi_upgrade.websocket.bridge import CONVERTED, Bridge
from asgi_upgrade.websocket.deflate import PerMessageDeflate
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.handshake import Accept, negotiate
from asgi_upgrade.websocket.session import WebSocketSession
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit import wire
from tests.unit.calls import HANDSHAKE, REQUEST
from tests.unit.waiting import PATIENCE, turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

DISCONNECT = {"type": "http.disconnect"}


class Nowhere(asyncio.Transport):
    """Leads nowhere, and closes when it is told to."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._protocol: Any = protocol
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close


class Server:
    """Offers the extension for one handshake, and keeps what is sent; it does not switch.

    Args:
        answer: What it says of the switch; ``None``, nothing.
    """

    def __init__(self, answer: bool | None = None) -> None:
        self.answer = answer
        self.sent: list[Message] = []
        self.scopes: list[Scope] = []
        self.essential: list[tuple[bytes, bytes]] = []
        self.switched: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
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

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent if message["type"] == "http.response.body")

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
            "extensions": {"http.upgrade": self.extension, "tls": {}},
        }

    def session(
        self,
        *,
        receive: Receive | None = None,
        send: Send | None = None,
        changes: dict[str, Any] | None = None,
        subprotocols: tuple[str, ...] = (),
        **settings: Any,
    ) -> WebSocketSession:
        scope = {**self.scope(), **(changes or {})}
        self.scopes.append(scope)
        accept = negotiate(scope)
        assert isinstance(accept, Accept)
        return WebSocketSession(
            scope,
            receive or self.receive,
            send or self.send,
            handshake=Handshake(self.extension, accept, None, WebSocketSettings(**settings), subprotocols),  # type: ignore[arg-type]
        )

    def _connect(self, protocol: Any, headers: Any) -> asyncio.Future[bool]:
        self.essential = headers
        if self.answer is not None:
            self.switched.set_result(self.answer)
        return self.switched


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
        await asyncio.wait_for(running, PATIENCE)
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
        await turns()
        server.gone.set()
        await asyncio.wait_for(running, PATIENCE)

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
        await turns()
        server.gone.set()
        await asyncio.wait_for(running, PATIENCE)
        assert server.status == 400

    asyncio.run(test())
    assert not caplog.records


def test_a_server_that_stops_ends_the_wait_for_the_client() -> None:
    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session().run(wait_and_return))
        await turns()
        server.stop()
        await asyncio.wait_for(running, PATIENCE)
        assert server.status == 503

    asyncio.run(test())


def test_a_server_that_stops_leaves_an_answer_that_has_begun_alone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await turns()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await turns(60)
        assert not waiting.done()
        await send({"type": "websocket.http.response.body", "body": b"no"})
        assert (await waiting)["type"] == "websocket.disconnect"

    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session().run(app))
        await turns(60)
        server.stop()
        await asyncio.wait_for(running, PATIENCE)
        assert server.status == 401

    asyncio.run(test())


# What the application sees


def serve(
    app: Any, scope: dict[str, Any] | None = None, switched: bool | None = False, **settings: Any
) -> tuple[Server, Any]:
    """Run `app` on one handshake; `switched` is what the server says to the 101, `None` if it never gets there."""
    servers: list[Server] = []
    returned: list[Any] = []

    async def test() -> None:
        servers.append(server := Server(switched))
        session = server.session(changes=scope, **settings)
        returned.append(await asyncio.wait_for(session.run(app), PATIENCE))

    asyncio.run(test())
    return servers[0], returned[0]


class Scopes:
    """Keeps what it is called with, and returns."""

    scope: Scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> str:
        self.scope = scope
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.close"})
        return "returned"


@pytest.mark.parametrize(
    ("scheme", "expected"), [("http", "ws"), ("https", "wss"), ("wss", "wss"), ("ws", "ws"), (None, "ws")]
)
def test_the_application_gets_the_scope_of_a_websocket(scheme: str | None, expected: str) -> None:
    app = Scopes()
    headers = [*HANDSHAKE, (b"sec-websocket-protocol", b"a, b"), (b"cookie", b"c=1")]
    given = {"scheme": scheme, "headers": headers, "state": {"key": 1}, "query_string": b"q"}
    server, returned = serve(app, given)
    scope = app.scope
    assert isinstance(scope[CONVERTED], Handshake)
    assert returned == "returned"
    assert (scope["type"], scope["scheme"], scope["path"], scope["query_string"]) == ("websocket", expected, "/", b"q")
    assert scope["subprotocols"] == ["a", "b"]
    assert scope["headers"] == headers
    assert scope["state"] == {"key": 1}
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert scope["extensions"] == {"websocket.http.response": {}, "tls": {}}
    assert "method" not in scope
    assert not [key for key in scope if key == "asgi_upgrade.handshake"]
    assert server.scopes[0]["type"] == "http", "the request's is what it was"
    assert server.scopes[0]["method"] == "GET"


def test_the_middleware_around_sees_where_the_router_has_taken_the_handshake() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(endpoint=wait_and_return, path_params={"a": 1}, route="route", router="router", mine="mine")
        if scope["query_string"]:
            await send({"type": "websocket.close"})

    for query in (b"", b"close"):
        server, _ = serve(app, {"query_string": query})
        scope = server.scopes[0]
        assert (scope["endpoint"], scope["path_params"]) == (wait_and_return, {"a": 1})
        assert (scope["route"], scope["router"]) == ("route", "router")
        assert "mine" not in scope


# Refusals


@pytest.mark.parametrize(
    ("reason", "body"),
    [
        ("not you", b"not you\n"),
        ("", b"The application refused the WebSocket.\n"),
        (None, b"The application refused the WebSocket.\n"),
        ([{"loc": "query"}], b"The application refused the WebSocket.\n"),
    ],
)
def test_a_close_before_the_accept_is_a_403(reason: Any, body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
        for kind in ("websocket.accept", "websocket.close", "websocket.send"):
            with pytest.raises(RuntimeError, match="after the WebSocket was refused"):
                await send({"type": kind})
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    caplog.set_level("INFO")
    server, _ = serve(app)
    assert (server.status, server.body) == (403, body)
    said = [record.getMessage() for record in caplog.records]
    assert said == (
        ["GET / HTTP/1.1: the WebSocket is refused: [{'loc': 'query'}]"] if isinstance(reason, list) else []
    )


def test_a_denial_response_comes_in_as_many_pieces_as_the_application_likes() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        start = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"WWW-Authenticate", b"Basic")]}
        await send(start)
        with pytest.raises(RuntimeError, match=r"Expected ASGI message 'websocket.http.response.body', but got"):
            await send(start)
        await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"are you?"})
        with pytest.raises(RuntimeError, match="after the WebSocket was refused"):
            await send({"type": "websocket.http.response.body"})
        assert (await receive())["type"] == "websocket.disconnect"

    server, _ = serve(app)
    assert server.sent == [
        {"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Basic")]},
        {"type": "http.response.body", "body": b"who ", "more_body": True},
        {"type": "http.response.body", "body": b"are you?", "more_body": False},
    ]


@pytest.mark.parametrize("status", [100, 101, 199, 600])
def test_a_status_that_is_no_final_one_refuses_nothing(status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=f"cannot be refused with status {status}"):
            await send({"type": "websocket.http.response.start", "status": status})
        await send({"type": "websocket.http.response.start", "status": 200})
        await send({"type": "websocket.http.response.body"})

    server, _ = serve(app)
    assert (server.status, server.body) == (200, b"")


@pytest.mark.parametrize("kind", ["websocket.send", "http.response.start", "websocket.http.response.body"])
def test_before_the_answer_no_other_message_makes_sense(kind: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=f"but got '{kind}'"):
            await send({"type": kind, "status": 200})
        await send({"type": "websocket.close"})

    server, _ = serve(app)
    assert server.status == 403


def test_a_return_without_an_answer_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Says nothing."""

    server, _ = serve(app)
    assert (server.status, server.body) == (500, b"The application did not answer the WebSocket handshake.\n")
    assert [record.getMessage() for record in caplog.records] == [
        "/: the application returned without accepting the WebSocket."
    ]


def test_an_application_that_never_answers_is_cancelled_and_the_client_gets_503(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cancelled: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    server, _ = serve(app, open_timeout=0.05)
    assert cancelled
    assert (server.status, server.body) == (503, b"The application did not answer the WebSocket handshake in time.\n")
    assert [record.getMessage() for record in caplog.records] == [
        "/: no answer to the WebSocket handshake in 0.05 seconds."
    ]


def test_a_cancellation_of_others_is_raised_again_and_answers_nothing() -> None:
    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session().run(wait_and_return))
        await turns()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert server.sent == []

    asyncio.run(test())


def test_an_error_before_the_answer_is_raised_again_and_the_server_answers() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("a mistake")

    async def test() -> None:
        server = Server()
        with pytest.raises(ValueError, match="a mistake"):
            await server.session().run(app)
        assert server.sent == []

    asyncio.run(test())


# Accepting


def test_the_101_is_announced_to_the_server_and_goes_out_through_the_middleware() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-mine", b"yes")]})
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        with pytest.raises(ClientDisconnected):
            await send({"type": "websocket.send", "text": "nobody"})

    lists = [(b"sec-websocket-protocol", b"a, b"), (b"sec-websocket-extensions", b"permessage-deflate")]
    server, _ = serve(app, {"headers": [*HANDSHAKE, *lists]}, deflate=PerMessageDeflate())
    essential = dict(server.essential)
    assert essential[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert essential[b"sec-websocket-protocol"] == b"b"
    assert essential[b"sec-websocket-extensions"].startswith(b"permessage-deflate")
    assert b"x-mine" not in essential
    assert server.status == 101
    sent = dict(server.sent[0]["headers"])
    assert essential.items() <= sent.items()
    assert sent[b"x-mine"] == b"yes"
    assert [message["type"] for message in server.sent] == ["http.response.start", "http.response.body"], (
        "no second answer"
    )


@pytest.mark.parametrize(("named", "chosen"), [(None, b"b"), ("a", b"a")])
def test_where_the_application_names_no_subprotocol_the_configured_ones_decide(
    named: str | None, chosen: bytes
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept", "subprotocol": named})

    server, _ = serve(app, {"headers": [*HANDSHAKE, (b"sec-websocket-protocol", b"a, b")]}, subprotocols=("c", "b"))
    assert dict(server.essential)[b"sec-websocket-protocol"] == chosen


@pytest.mark.parametrize("allowed", [True, False])
def test_a_subprotocol_that_was_not_offered_fails_unless_it_is_allowed(
    caplog: pytest.LogCaptureFixture, *, allowed: bool
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept", "subprotocol": "mine"})

    server, _ = serve(app, allow_unoffered_subprotocols=allowed)
    assert server.status == (101 if allowed else 400)
    if not allowed:
        text = b"The application chose the subprotocol mine, and this handshake offers: none\n"
        assert server.body == text
        assert text.decode().strip() in caplog.text


def test_a_101_that_does_not_reach_the_server_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise AssertionError("not reached")

    server, _ = serve(app, switched=None, open_timeout=0.05)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("GET / HTTP/1.1: the 101 did not reach the server in 0.05 seconds.")
    assert server.switched.cancelled()
    assert server.status == 101


# A connection, in process


def conversation(app: Any, client: Any, more: tuple[tuple[bytes, bytes], ...] = (), **options: Any) -> None:
    """`client(websocket)` speaks with `app` through the whole of the package, without a server."""

    async def test() -> None:
        transport = UpgradeTransport(UpgradeMiddleware(app, websocket=WebSocketSettings(**options)))
        headers = [*(field for field in HANDSHAKE if field[0] != b"host"), *more]
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
            http.stream("GET", "/room", headers=headers) as response,
        ):
            assert response.status_code == 101
            await client(response.extensions["network_stream"])

    asyncio.run(asyncio.wait_for(test(), 60))


def test_the_end_of_a_connection_is_logged_with_its_code(caplog: pytest.LogCaptureFixture) -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            assert await receive() == {"type": "websocket.receive", "text": "hello"}
            await send({"type": "websocket.send", "text": "world"})
            assert (await receive())["code"] == 4000

    async def client(stream: Any) -> None:
        await stream.write(wire.frame(wire.TEXT, b"hello"))
        data = b""
        while len(data) < 7:
            data += await stream.read(100)
        assert data == wire.frame(wire.TEXT, b"world", mask=None)
        await stream.write(wire.close(4000))
        assert await stream.read(100) == wire.frame(wire.CLOSE, struct.pack("!H", 4000), mask=None)

    caplog.set_level("INFO")
    began = time.monotonic()
    conversation(App(), client)
    (line,) = [line for line in caplog.messages if "closed with" in line]
    match = re.fullmatch(
        r"\S+ - WebSocket /room closed with 4000 after (\d+\.\d{3}) seconds; "
        r"messages received: 1 \(19 bytes\), sent: 1 \(11 bytes\)",
        line,
    )
    assert match is not None, line
    assert float(match[1]) < time.monotonic() - began + 0.001


def test_nothing_is_counted_and_no_line_is_written_if_nobody_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            caplog.set_level("INFO")  # too late for this connection

    async def client(stream: Any) -> None:
        await stream.read(100)
        await stream.write(wire.close(1000))

    caplog.set_level("WARNING")
    conversation(App(), client)
    assert not [record for record in caplog.records if "closed with" in record.getMessage()]


def test_an_application_that_returns_closes_with_1000_and_one_that_fails_with_1011() -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            if fails:
                raise ValueError("a mistake")

    async def client(stream: Any) -> None:
        code = 1011 if fails else 1000
        assert await stream.read(100) == wire.frame(wire.CLOSE, struct.pack("!H", code), mask=None)
        await stream.write(wire.close(code))

    for fails in (False, True):
        if fails:
            with pytest.raises(ValueError, match="a mistake"):
                conversation(App(), client)
        else:
            conversation(App(), client)


def test_a_message_longer_than_the_settings_allow_ends_the_connection_with_1009() -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            assert (await receive())["text"] == "0123456789"
            assert (await receive())["code"] == 1009

    async def client(stream: Any) -> None:
        await stream.write(wire.frame(wire.TEXT, b"0123456789") + wire.frame(wire.TEXT, b"01234567890"))
        data = await stream.read(100)
        assert data.startswith(wire.frame(wire.CLOSE, struct.pack("!H", 1009), mask=None)[:1])
        assert data[2:4] == struct.pack("!H", 1009)

    conversation(App(), client, max_message_size=10)


@pytest.mark.parametrize("fails", [False, True])
def test_where_the_client_does_not_answer_the_close_frame_the_log_says_so(
    caplog: pytest.LogCaptureFixture, *, fails: bool
) -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            if fails:
                raise ValueError("a mistake")

    async def client(stream: Any) -> None:
        while await stream.read(100):
            pass

    caplog.set_level("INFO")
    try:
        conversation(App(), client, close_timeout=0.05)
    except ValueError:
        assert fails
    assert "closed with 1006 after" in caplog.text


def test_what_was_agreed_on_is_done_to_the_messages() -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": "a" * 1000})

    async def client(stream: Any) -> None:
        data = await stream.read(2000)
        assert data[0] == 0x80 | wire.RSV1 | wire.TEXT
        assert len(data) < 100
        await stream.write(wire.close(1000))

    conversation(App(), client, ((b"sec-websocket-extensions", b"permessage-deflate"),))


def test_a_message_in_more_frames_than_the_settings_allow_ends_the_connection() -> None:
    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            assert (await receive())["text"] == "ab"
            assert (await receive())["code"] in (1008, 1009)

    def frames(*payloads: bytes) -> bytes:
        last = len(payloads) - 1
        kinds = (wire.TEXT, *[wire.CONTINUATION] * last)
        return b"".join(
            wire.frame(kind, payload, fin=number == last)
            for number, (kind, payload) in enumerate(zip(kinds, payloads, strict=True))
        )

    async def client(stream: Any) -> None:
        await stream.write(frames(b"a", b"b") + frames(b"a", b"b", b"c"))
        assert (await stream.read(100))[:1] == b"\x88"

    conversation(App(), client, max_message_frames=2)


# Carried by the server's own WebSocket


def bridged(
    app: Any, *received: Message, around: Callable[[Send], Send] = lambda send: send, **settings: Any
) -> list[Message]:
    """What the server is sent for a WebSocket of its own, whose handshake comes to a session.

    Args:
        app: The application.
        received: What comes after `websocket.connect`.
        around: What a middleware makes of `send`.
        settings: Of the session.
    """
    queue: asyncio.Queue[Message] = asyncio.Queue()
    sent: list[Message] = []
    for message in ({"type": "websocket.connect"}, *received):
        queue.put_nowait(message)

    async def send(message: Message) -> None:
        sent.append(message)

    async def handshake(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = scope["extensions"]["asgi_upgrade.bridge"]
        passed = Handshake(bridge, Accept(b"", bridge.subprotocols), None, WebSocketSettings(**settings), ("b",))
        await WebSocketSession(scope, receive, around(send), handshake=passed).run(app)

    async def test() -> None:
        scope = {**Server().scope(), "type": "websocket", "scheme": "ws", "subprotocols": ["a", "b"]}
        scope["extensions"] = {"websocket.http.response": {}}
        await asyncio.wait_for(Bridge(scope, queue.get, send).run(handshake), PATIENCE)

    asyncio.run(test())
    return sent


def test_the_servers_own_websocket_carries_the_messages() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", "headers": [(b"x-mine", b"yes")]})
        assert (await receive())["text"] == "hello"
        await send({"type": "websocket.send", "text": "world"})
        assert (await receive())["type"] == "websocket.disconnect"

    sent = bridged(app, {"type": "websocket.receive", "text": "hello"}, {"type": "websocket.disconnect", "code": 1000})
    accept = sent.pop(0)
    assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", "b")
    assert (b"x-mine", b"yes") in accept["headers"]
    assert sent == [{"type": "websocket.send", "text": "world"}]


def test_who_waits_for_the_client_of_the_servers_own_websocket_is_told_when_it_leaves() -> None:
    sent = bridged(wait_and_return, {"type": "websocket.disconnect", "code": 1001})
    assert sent[0]["status"] == 400


def test_the_server_gets_the_applications_own_close() -> None:
    close = {"type": "websocket.close", "code": 4003, "reason": "no"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(close)

    assert bridged(app) == [close]


def test_the_server_decides_what_to_make_of_a_disconnect_that_the_application_raises() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise WebSocketDisconnect(1000)

    with pytest.raises(WebSocketDisconnect):
        bridged(app)


def test_an_error_of_an_application_on_the_servers_own_websocket_is_raised_again() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        bridged(app)


def test_an_application_on_the_servers_own_websocket_may_end_its_accept_after_its_time_is_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accepting = asyncio.ensure_future(send({"type": "websocket.accept"}))
        try:
            await asyncio.shield(accepting)
        except asyncio.CancelledError:
            cancelled.set()
            await accepting
            raise

    def slow(send: Send) -> Send:
        async def wait_and_send(message: Message) -> None:
            await cancelled.wait()
            await send(message)

        return wait_and_send

    cancelled = asyncio.Event()
    sent = bridged(app, around=slow, open_timeout=0.05)
    assert sent[0]["type"] == "websocket.accept"


# What goes wrong on the way of the 101


@pytest.mark.parametrize("slow", [False, True])
def test_an_application_whose_accept_has_failed_may_still_refuse(*, slow: bool) -> None:
    """A middleware raises at the 101, or the application waits for its accept no longer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises((ValueError, asyncio.TimeoutError)):
            await asyncio.wait_for(send({"type": "websocket.accept"}), 0.05)
        await send({"type": "websocket.close", "code": 1008, "reason": "no"})

    async def test() -> None:
        server = Server()

        async def refusing(message: Message) -> None:
            if message.get("status") == 101:
                if slow:
                    await asyncio.sleep(PATIENCE)
                raise ValueError("no 101 goes through here")
            await server.send(message)

        await asyncio.wait_for(server.session(send=refusing).run(app), PATIENCE)
        assert server.status == 403
        assert server.body == b"no\n"

    asyncio.run(test())


def test_the_time_to_answer_begins_before_the_application_does_anything() -> None:
    went_on = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal went_on
        time.sleep(0.7)  # noqa: ASYNC251 - it blocks the loop, which is what it does wrong
        for _ in range(20):  # turns of the loop, which take no time; in one of the first, the time is over
            await asyncio.sleep(0)
        went_on = True
        await asyncio.sleep(PATIENCE)

    async def test() -> None:
        server = Server()
        await asyncio.wait_for(server.session(open_timeout=0.6).run(app), PATIENCE)
        assert server.status == 503

    asyncio.run(test())
    assert not went_on


@pytest.mark.parametrize(("late", "status"), [("accept", 101), ("close", 403), ("nothing", 503)])
def test_an_application_may_answer_its_cancellation(late: str, status: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            if late == "nothing":
                return
            await send({"type": f"websocket.{late}"})

    async def test() -> None:
        server = Server(answer=False)
        task = asyncio.current_task()
        assert task is not None
        with suppress(ClientDisconnected):  # this server does not switch
            await asyncio.wait_for(server.session(open_timeout=0.05).run(app), PATIENCE)
        assert [message["status"] for message in server.sent if "status" in message] == [status]
        if sys.version_info >= (3, 11):
            assert not task.cancelling()

    asyncio.run(test())


def test_an_application_that_accepts_in_a_task_may_ask_for_the_connect_event_after_its_time_is_up() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accepting = asyncio.ensure_future(send({"type": "websocket.accept"}))
        try:
            await asyncio.shield(accepting)
        except asyncio.CancelledError:
            await accepting
            assert await receive() == {"type": "websocket.connect"}
            raise

    async def test() -> None:
        server = Server(answer=True)

        async def slow(message: Message) -> None:
            if message.get("status") == 101:
                await asyncio.sleep(0.3)
                protocol.connection_made(Nowhere(protocol))
            await server.send(message)

        session = server.session(send=slow, open_timeout=0.1, close_timeout=0.1)
        protocol = session.ends[0].__self__._protocol  # type: ignore[attr-defined]
        await asyncio.wait_for(session.run(app), PATIENCE)
        assert server.status == 101

    asyncio.run(test())
