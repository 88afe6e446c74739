"""What observers and the log are told of a session's end, and which limits hold for it."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade import ConnectionClosed, HandshakeEnded, Observer, UpgradeMiddleware
from asgi_upgrade.guard.handshake import Handshake
from asgi_upgrade.testing import UpgradeTransport
from asgi_upgrade.websocket.bridge import Bridge, CountedMessages
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.session import WebSocketSession
from asgi_upgrade.websocket.settings import WebSocketSettings
from asgi_upgrade.websocket.watch import WATCH, Watch
from tests.unit import wire
from tests.unit.calls import HANDSHAKE, Call, run, websocket_scope
from tests.unit.waiting import PATIENCE, turns
from tests.unit.websocket.test_session import Nowhere, Server, serve, wait_and_return

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send


class Told(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def handshake_ended(self, event: HandshakeEnded) -> None:
        self.events.append((event.outcome.value, event.status))

    def connection_closed(self, event: ConnectionClosed) -> None:
        self.events.append((event.code, event.messages_received, event.messages_sent))


def sends(*messages: dict[str, Any]) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def raises(error: BaseException) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


ACCEPT = {"type": "websocket.accept"}
DENY = {"type": "websocket.http.response.start", "status": 503}


def leave(server: Server) -> None:
    server.gone.set()


def stop(server: Server) -> None:
    server.stop()


@pytest.mark.parametrize(
    ("app", "meanwhile", "expected"),
    [
        (sends({"type": "websocket.close"}), None, ("refused", 403)),
        (sends(DENY, {"type": "websocket.http.response.body"}), None, ("refused", 503)),
        (sends(DENY), None, ("refused", 503)),
        (sends(ACCEPT), None, ("client_left", 101)),
        (sends(), None, ("failed", 500)),
        (raises(ValueError("a mistake")), None, ("failed", None)),
        (raises(WebSocketDisconnect(1001)), None, ("client_left", None)),
        (wait_and_return, leave, ("client_left", 400)),
        (wait_and_return, stop, ("stopped", 503)),
        (hangs, None, ("timed_out", 503)),
    ],
)
def test_an_observer_is_told_what_has_become_of_a_handshake(
    app: Any, meanwhile: Callable[[Server], None] | None, expected: tuple[str, int | None]
) -> None:
    told = Told()

    async def test() -> None:
        server = Server(answer=False)
        watch = Watch(server.scope(), lambda scope: None)
        watch.add(told)

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            session = server.session(
                receive=receive, send=send, changes={WATCH: watch}, open_timeout=0.05 if app is hangs else PATIENCE
            )
            await session.run(app)

        running = asyncio.ensure_future(watch.run(observed, server.scope(), server.receive, server.send))
        if meanwhile is not None:
            await turns()
            meanwhile(server)
        await asyncio.wait([running])
        assert isinstance(running.exception(), (ValueError, WebSocketDisconnect, type(None)))

    run(test)
    assert told.events == [expected]


def test_an_observer_is_told_that_the_101_did_not_reach_the_server_in_time() -> None:
    told = Told()

    async def test() -> None:
        server = Server()
        watch = Watch(server.scope(), lambda scope: None)
        watch.add(told)

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            await server.session(send=send, changes={WATCH: watch}, open_timeout=0.05).run(sends(ACCEPT))

        await watch.run(observed, server.scope(), server.receive, server.send)

    run(test)
    assert told.events == [("timed_out", 101)]


@pytest.mark.parametrize(
    ("error", "code"), [(None, 1000), (ValueError("a mistake"), 1011), (WebSocketDisconnect(1001), 1000)]
)
def test_an_observer_is_told_of_the_connection_when_it_has_ended(error: Exception | None, code: int) -> None:
    told = Told()

    class App:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            assert (await receive())["text"] == "hello"
            for _ in range(2):
                await send({"type": "websocket.send", "text": "world"})
            if error is not None:
                raise error

    async def test() -> None:
        transport = UpgradeTransport(UpgradeMiddleware(App(), observer=told))
        headers = [field for field in HANDSHAKE if field[0] != b"host"]
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://test") as http,
            http.stream("GET", "/room", headers=headers) as response,
        ):
            stream = response.extensions["network_stream"]
            assert told.events == [("accepted", 101)]
            await stream.write(wire.frame(wire.TEXT, b"hello"))
            data = b""
            while len(data) < 2 * 7 + 4:
                data += await stream.read(100)
            await stream.write(wire.close(code))
            assert await stream.read(100) == b""

    with pytest.raises(ValueError, match="a mistake") if code == 1011 else nullcontext():
        run(test)
    assert told.events == [("accepted", 101), (code, 1, 2)]


def test_an_observer_is_told_of_a_connection_that_the_server_carries() -> None:
    told = Told()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send({"type": "websocket.send", "text": "world"})
        assert (await receive())["type"] == "websocket.disconnect"

    async def handshake(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = scope["extensions"]["asgi_upgrade.bridge"]
        watch = Watch(scope, lambda scope: None)
        watch.add(told)
        scope[WATCH] = watch
        passed = Handshake(bridge, Accept(b""), None, WebSocketSettings(), ())

        async def observed(scope: Scope, receive: Receive, send: Send) -> None:
            await WebSocketSession(scope, receive, send, handshake=passed).run(app)

        await watch.run(observed, scope, receive, send)

    async def test() -> None:
        call = Call(
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.disconnect", "code": 4000},
        )
        await Bridge(websocket_scope(), call.receive, call.send).run(handshake)

    run(test)
    assert told.events == [("accepted", 101), (4000, 1, 1)]


# What is lost, and what is asked too early


def test_who_has_seen_the_client_leave_cannot_answer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"
        for message in (ACCEPT, DENY, {"type": "websocket.close"}):
            with pytest.raises(ClientDisconnected):
                await send(message)

    async def test() -> None:
        server = Server()
        server.gone.set()
        await server.session().run(app)
        assert server.status == 400
        assert server.body == b"The client has left before the WebSocket handshake was answered.\n"

    run(test)


def test_the_refusal_of_a_server_that_stops_says_so() -> None:
    async def test() -> None:
        server = Server()
        running = asyncio.ensure_future(server.session().run(wait_and_return))
        await turns()
        server.stop()
        await running
        assert (server.status, server.body) == (503, b"The server is stopping.\n")

    run(test)


def test_nothing_can_be_sent_before_the_connection_is_open() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accepting = asyncio.ensure_future(send(ACCEPT))
        await turns()
        with pytest.raises(RuntimeError, match=r"'websocket\.send', before the WebSocket is open"):
            await send({"type": "websocket.send", "text": "too early"})
        server.switched.set_result(False)
        with pytest.raises(ClientDisconnected):
            await accepting

    server: Any = None

    async def test() -> None:
        nonlocal server
        server = Server()
        await server.session().run(app)

    run(test)


def test_who_waits_while_another_task_refuses_is_told_of_the_end() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await turns()
        await send({"type": "websocket.close"})
        assert (await waiting)["type"] == "websocket.disconnect"

    assert serve(app)[0].status == 403


def test_while_the_refusal_goes_out_nothing_else_can_be_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        closing = asyncio.ensure_future(send({"type": "websocket.close"}))
        await turns()
        with pytest.raises(RuntimeError, match=r"Expected ASGI message 'websocket\.http\.response\.body'"):
            await send(ACCEPT)
        goes_out.set()
        await closing

    async def slow(message: Message) -> None:
        await goes_out.wait()
        statuses.append(message.get("status"))

    async def test() -> None:
        await Server().session(send=slow).run(app)

    goes_out = asyncio.Event()
    statuses: list[int | None] = []
    run(test)
    assert statuses == [403, None]


def test_a_101_that_is_late_switches_nothing_even_if_another_task_waits_for_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        accepting.append(asyncio.ensure_future(send(ACCEPT)))
        await hangs(scope, receive, send)

    async def test() -> None:
        server = Server()
        await server.session(open_timeout=0.05).run(app)
        assert server.switched.cancelled()
        await asyncio.wait(accepting)

    accepting: list[asyncio.Future[None]] = []
    run(test)


def test_nothing_of_a_session_is_left_when_the_application_returns() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await turns()
        waiting.cancel()

    async def test() -> None:
        before = asyncio.all_tasks()
        await Server().session().run(app)
        await turns()
        assert asyncio.all_tasks() == before

    run(test)


def test_nothing_of_a_session_is_kept_when_the_application_has_failed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await turns()  # its time has begun to run
        raise ValueError("a mistake")

    async def test() -> None:
        server = Server()
        reference = weakref.ref(server)
        with suppress(ValueError):
            await server.session().run(app)
        del server
        gc.collect()
        assert reference() is None

    run(test)


def test_who_fails_at_once_has_no_time_to_answer() -> None:
    complaints: list[dict[str, Any]] = []

    async def test() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        with suppress(ValueError):
            await Server().session().run(raises(ValueError("a mistake")))
        await turns()
        later = loop.time() + 3600
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "time", lambda: later)
            await turns()  # all timers ring

    asyncio.run(test())
    assert not complaints


def test_an_open_connection_needs_nobody_who_watches_the_request() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = asyncio.all_tasks()
        await receive()
        waiting = asyncio.ensure_future(receive())
        await turns()
        await send(ACCEPT)
        await turns()
        assert asyncio.all_tasks() - before == {waiting}
        opened.leave()
        await waiting

    opened = Open(app)
    run(opened.run)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="nobody counts cancellations")
def test_a_cancellation_that_the_application_has_taken_stays_with_its_task() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await hangs(scope, receive, send)
        await send({"type": "websocket.close"})

    async def test() -> None:
        async def serve_one() -> int:
            await Server().session().run(app)
            task: Any = asyncio.current_task()
            return int(task.cancelling())

        running = asyncio.ensure_future(serve_one())
        await turns()
        running.cancel()
        assert await running == 1

    run(test)


@pytest.mark.parametrize("status", [200, 599])
def test_every_final_status_can_refuse(status: int) -> None:
    server, _ = serve(sends({**DENY, "status": status}, {"type": "websocket.http.response.body"}))
    assert server.status == status


def test_who_waits_for_the_routes_finds_them_when_the_refusal_goes_out() -> None:
    """Metrics look for the route when the response starts."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = "a route"
        await send({"type": "websocket.close"})

    async def test() -> None:
        server = Server()

        async def noting(message: Message) -> None:
            seen.append(server.scopes[0].get("route"))

        await server.session(send=noting).run(app)

    run(test)
    assert set(seen) == {"a route"}


@pytest.mark.parametrize("allowed", [True, False])
def test_the_servers_own_websocket_takes_no_subprotocol_that_was_not_offered_unless_it_is_allowed(
    *, allowed: bool
) -> None:
    async def handshake(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = scope["extensions"]["asgi_upgrade.bridge"]
        settings = WebSocketSettings(allow_unoffered_subprotocols=allowed)
        passed = Handshake(bridge, Accept(b"", ("a", "b")), None, settings, ())
        app = sends({"type": "websocket.accept", "subprotocol": "mine"})
        await WebSocketSession(scope, receive, send, handshake=passed).run(app)

    async def test() -> None:
        call = Call({"type": "websocket.connect"})
        await Bridge(websocket_scope(subprotocols=["a", "b"]), call.receive, call.send).run(handshake)
        if allowed:
            assert call.sent == [{"type": "websocket.accept", "subprotocol": "mine", "headers": []}]
        else:
            assert call.status == 400
            assert call.body.endswith(b"the subprotocol mine, and this handshake offers: a, b\n")

    run(test)


# Limits


class Stays(Nowhere):
    """Keeps what is written, and the client's end of it stays open."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__(protocol)
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = self.aborted = True


class Open:
    """Runs an application on a session whose 101 opens a connection; the test is the client."""

    def __init__(self, app: Any, extension: dict[str, Any] | None = None, **settings: Any) -> None:
        self._app = app
        self._extension = extension or {}
        self._settings = settings
        self.sent: list[Message] = []
        self.protocol: Any = None
        self.transport: Any = None

    async def run(self, changes: dict[str, Any] | None = None) -> None:
        server = Server(answer=True)
        server.extension.update(self._extension)
        session = server.session(send=self._send, changes=changes, **self._settings)
        self.protocol = session.ends[0].__self__._protocol  # type: ignore[attr-defined]
        await session.run(self._app)

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message.get("status") == 101:
            self.transport = Stays(self.protocol)
            self.protocol.connection_made(self.transport)

    def leave(self) -> None:
        self.protocol.connection_lost(None)


def test_the_servers_own_limits_hold_where_the_user_has_set_none() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        opened.protocol.data_received(wire.frame(wire.TEXT, b"0123456789") + wire.frame(wire.TEXT, b"01234567890"))
        assert (await receive())["text"] == "0123456789"
        assert (await receive())["code"] == 1009
        opened.leave()

    opened = Open(app, {"websocket": {"max_message_size": 10}})
    run(opened.run)


@pytest.mark.parametrize("answers_at_once", [True, False])
@pytest.mark.parametrize("answer", [ACCEPT, DENY, {"type": "websocket.close"}])
def test_the_time_to_answer_is_no_concern_of_who_has_answered(answer: dict[str, Any], *, answers_at_once: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not answers_at_once:
            await turns()
        await send(answer)
        await turns()
        loop = asyncio.get_running_loop()
        later = loop.time() + 3600
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "time", lambda: later)
            await turns()  # all timers ring
        if answer is ACCEPT:
            opened.leave()
        went_on.append(True)

    went_on: list[bool] = []
    opened = Open(app, ping_interval=None)
    asyncio.run(opened.run())
    assert went_on


def test_who_waits_for_the_connection_gets_its_first_message() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        waiting = asyncio.ensure_future(receive())
        await turns()
        await send(ACCEPT)
        opened.protocol.data_received(wire.frame(wire.TEXT, b"first") + wire.frame(wire.TEXT, b"second"))
        assert (await waiting)["text"] == "first"
        assert (await receive())["text"] == "second"
        opened.leave()

    opened = Open(app)
    run(opened.run)


def test_who_accepts_first_gets_the_connect_event_before_the_messages() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        opened.protocol.data_received(wire.frame(wire.TEXT, b"first"))
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["text"] == "first"
        opened.leave()
        assert (await receive())["code"] == 1006

    opened = Open(app)
    run(opened.run)


# The end


@pytest.mark.parametrize(("error", "code"), [(ValueError("a mistake"), 1011), (asyncio.CancelledError(), 1012)])
def test_where_no_code_has_come_from_the_client_the_observer_is_told_by_how_the_application_ended(
    error: BaseException, code: int
) -> None:
    """On a server where the end of the connection may linger."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise error

    async def test() -> None:
        watch = Watch(Server().scope(), lambda scope: None)
        watch.add(told)
        running = asyncio.ensure_future(opened.run({WATCH: watch}))
        await asyncio.wait([running])
        opened.leave()

    told = Told()
    opened = Open(app, {"lingers": True})
    run(test)
    assert told.events == [("accepted", 101), (code, 0, 0)]


def test_only_the_session_that_is_furthest_out_tells_the_observer() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        opened.leave()

    async def test() -> None:
        watch = Watch(Server().scope(), lambda scope: None)
        watch.add(told)
        watch.opened(CountedMessages(Call().receive, Call().send))
        await opened.run({WATCH: watch})

    told = Told()
    opened = Open(app)
    run(test)
    assert told.events == [("accepted", 101)]


@pytest.mark.parametrize("error", [None, ValueError("a mistake")])
@pytest.mark.parametrize("extension", [{}, {"lingers": False}, {"lingers": True}])
def test_a_session_waits_for_the_end_of_its_connection_unless_that_may_linger(
    extension: dict[str, Any], error: Exception | None
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        opened.protocol.data_received(wire.close(1000))
        assert (await receive())["code"] == 1000
        if error is not None:
            raise error

    async def test() -> None:
        running = asyncio.ensure_future(opened.run())
        await turns()
        assert running.done() is extension.get("lingers", False)
        opened.leave()
        await asyncio.wait([running])
        assert running.exception() is error
        if error is None:
            assert opened.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}

    opened = Open(app, extension)
    run(test)


def test_a_server_that_waits_no_longer_for_the_client_ends_the_connection_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)

    async def test() -> None:
        running = asyncio.ensure_future(opened.run())
        await turns()
        assert not running.done()
        assert not opened.transport.aborted
        running.cancel()
        await running
        assert opened.transport.aborted
        if sys.version_info >= (3, 11):
            assert not running.cancelling()
        opened.leave()

    caplog.set_level("INFO")
    opened = Open(app)
    run(test)
    assert "closed with 1006 after" in caplog.text


def test_a_server_that_cancels_an_application_closes_its_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await hangs(scope, receive, send)

    async def test() -> None:
        running = asyncio.ensure_future(opened.run())
        await turns()
        before = len(opened.transport.written)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await turns()
        assert opened.transport.written[before:] == wire.frame(wire.CLOSE, (1012).to_bytes(2, "big"), mask=None)
        opened.leave()

    opened = Open(app)
    run(test)


def test_a_log_that_is_turned_on_later_has_no_line_of_a_connection_that_was_open_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it has carried was not counted."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        caplog.set_level("INFO", "asgi_upgrade")
        opened.leave()

    caplog.set_level("WARNING", "asgi_upgrade")
    opened = Open(app)
    run(opened.run)
    assert "closed with" not in caplog.text


def test_a_long_reason_and_a_long_subprotocol_are_cut_for_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    serve(sends({"type": "websocket.close", "reason": ["x" * 1000]}))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "GET / HTTP/1.1: the WebSocket is refused: ['" + "x" * 298
    caplog.clear()
    server, _ = serve(sends({"type": "websocket.accept", "subprotocol": "\n" + "y" * 1000}))
    reason = ("The application chose the subprotocol \\n" + "y" * 1000)[:301]
    assert server.body == reason.encode() + b"\n"
    assert reason + ". Let it choose" in caplog.text
