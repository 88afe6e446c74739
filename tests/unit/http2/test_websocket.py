"""WebSockets on streams: which request is one, and who owns its stream when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.http2.server import ServerSide
from tests.unit import wire
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import ErrorCodes, Pair, body, joined, start, stays

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from tests.unit.http2.pair import Call

DISCONNECT = {"type": "http.disconnect"}
REQUEST = {"type": "http.request", "body": b"", "more_body": False}
SCOPES: list[Scope] = []


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    SCOPES.append(scope)
    if scope["type"] != "websocket":
        await send(start())
        await send(body(b"http"))
        return
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-mine", b"1")]})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


middleware = UpgradeMiddleware(echo, extend_server=False, subprotocols=["chat"])


class Recorder(asyncio.Protocol):
    """Keeps what its transport tells it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.transport: Any = None
        self.error: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(bytes(data))

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", type(exc)))
        self.error = exc


LOST = ("lost", type(None))
RESET = ("lost", ConnectionResetError)


async def switched(pair: Pair, recorder: asyncio.BaseProtocol | None = None) -> tuple[int, Call, Any]:
    """A stream that has been given to a protocol."""
    recorder = recorder or Recorder()
    stream_id = pair.connect()
    call = await pair.called()
    done = call.announce(recorder)
    await call.send(start(101))
    assert await done is True
    await pair.settle()
    assert pair.answers[stream_id].status == 200
    return stream_id, call, recorder


# With the middleware


@timeless
async def test_an_extended_connect_becomes_a_websocket() -> None:
    async with joined(middleware) as pair:
        await pair.settle()
        stream_id = pair.connect(b"/chat?a=b", (b"sec-websocket-protocol", b"chat"))
        await pair.settle()
        answer = pair.answers[stream_id]
        assert answer.headers == [(b":status", b"200"), (b"sec-websocket-protocol", b"chat"), (b"x-mine", b"1")]
        scope = SCOPES[-1]
        assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "2")
        assert (scope["path"], scope["query_string"], scope["subprotocols"]) == ("/chat", b"a=b", ["chat"])
        pair.client.send_data(stream_id, wire.frame(wire.TEXT, b"hello"))
        await pair.settle()
        assert wire.read_frames(answer.body) == [wire.Frame(wire.TEXT, b"hello")]
        answer.body = b""
        pair.client.send_data(stream_id, wire.close(1000))
        await pair.settle()
        assert wire.read_frames(answer.body) == [wire.Frame(wire.CLOSE, b"\x03\xe8")]
        assert answer.ended


@pytest.mark.parametrize(
    ("pseudo", "headers", "status"),
    [
        ({}, [], 200),
        ({"authority": b""}, [(b"host", b"example.com")], 200),
        ({"authority": b"example.com"}, [(b"host", b"example.com")], 200),
        ({"authority": b"example.com:80"}, [], 200),
        ({"authority": b"exa mple.com"}, [], 400),
        ({"authority": b"a@example.com"}, [], 400),
        ({"authority": b"example.com:port"}, [], 400),
        ({"protocol": b"echo"}, [], 501),
        ({"protocol": b"websockets"}, [], 501),
        ({}, [(b"sec-websocket-version", b"12")], 400),
    ],
)
@timeless
async def test_what_the_handshake_has_to_say(
    pseudo: dict[str, bytes], headers: list[tuple[bytes, bytes]], status: int
) -> None:
    async with joined(middleware) as pair:
        await pair.settle()
        SCOPES.clear()
        stream_id = pair.connect(b"/", *headers, **pseudo)
        await pair.settle()
        assert pair.answers[stream_id].status == status
        assert len(SCOPES) == (1 if status == 200 else 0)


@timeless
async def test_an_extended_connect_without_an_authority_is_no_handshake() -> None:
    """h2 or we: nothing of it reaches the application."""
    async with joined(middleware) as pair:
        await pair.settle()
        SCOPES.clear()
        stream_id = pair.connect(authority=b"")
        await pair.settle()
        assert pair.answers[stream_id].status == 400 or pair.goaways
        assert not SCOPES


@pytest.mark.parametrize("authority", [b"evil.example", b"example.com:8080"])
@timeless
async def test_authority_goes_before_host(authority: bytes) -> None:
    """Also where the own origin is compared with it. h2 refuses two that differ."""
    async with joined(middleware) as pair:
        await pair.settle()
        SCOPES.clear()
        headers = [(b"host", b"example.com"), (b"origin", b"http://example.com")]
        stream_id = pair.connect(b"/", *headers, authority=authority)
        await pair.settle()
        assert pair.answers[stream_id].status == 403 or pair.goaways
        assert not SCOPES


# Its request


@timeless
async def test_the_request_that_an_extended_connect_is() -> None:
    async with joined(server=ServerSide(websocket_limits={"max_size": 5})) as pair:
        pair.connect(b"/chat", (b"x-forwarded-proto", b"wss"))
        call = await pair.called()
        assert (call.scope["type"], call.scope["method"], call.scope["http_version"]) == ("http", "GET", "2")
        assert (b"x-forwarded-proto", b"https") in call.scope["headers"]
        entry = call.scope["extensions"]["http.upgrade"]
        assert (entry["protocol"], entry["version"], entry["lingers"]) == ("websocket", "1.2", True)
        assert entry["websocket"] == {"max_size": 5}
        assert await call.receive() == REQUEST
        assert await stays(asyncio.ensure_future(call.receive()))


@timeless
async def test_no_limits_are_not_mentioned() -> None:
    async with joined() as pair:
        pair.connect()
        call = await pair.called()
        assert "websocket" not in call.scope["extensions"]["http.upgrade"]


@timeless
async def test_a_request_that_is_no_connect_has_no_extension() -> None:
    async with joined() as pair:
        pair.ask(b"/", (b"sec-websocket-version", b"13"))
        call = await pair.called()
        assert "http.upgrade" not in call.scope["extensions"]


@timeless
async def test_a_handshake_may_be_refused_like_any_request() -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        future = call.announce(Recorder())
        await call.respond(401, b"who are you?")
        assert await future is False
        call.done()
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.status, answer.body, answer.ended) == (401, b"who are you?", True)
        assert answer.reset == ErrorCodes.NO_ERROR  # the client's direction is not wanted


@timeless
async def test_an_application_without_the_middleware_may_answer_in_websocket_messages() -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        await call.send({"type": "websocket.accept"})
        await call.send({"type": "websocket.send", "text": "hello"})
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.status, wire.read_frames(answer.body)) == (200, [wire.Frame(wire.TEXT, b"hello")])
        pair.client.send_data(stream_id, wire.frame(wire.TEXT, b"and you"))
        await pair.settle()
        assert (await call.receive())["text"] == "and you"
        call.done()
        await pair.settle()
        assert wire.read_frames(answer.body)[-1].opcode == wire.CLOSE
        pair.client.send_data(stream_id, wire.close(1000), end_stream=True)
        await pair.settle()
        assert answer.ended


@timeless
async def test_receive_ends_with_a_refusal() -> None:
    async with joined() as pair:
        pair.connect()
        call = await pair.called()
        assert await call.receive() == REQUEST
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        await call.respond(403)
        assert await receiving == DISCONNECT


@pytest.mark.parametrize("how", ["reset", "lost"])
@timeless
async def test_a_client_that_leaves_before_the_answer(how: str) -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        future = call.announce(Recorder())
        assert await call.receive() == REQUEST
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        if how == "reset":
            pair.client.reset_stream(stream_id)
        else:
            pair.wire.reset()
        await pair.settle()
        assert await receiving == DISCONNECT
        assert await future is False
        assert call.announce(Recorder()).result() is False
        await call.send(start(101))  # to nobody
        assert call.announce(Recorder()).result() is False
        call.done()
        await pair.settle()


# The 101


@timeless
async def test_the_101_leaves_as_200() -> None:
    told: list[tuple[str, int]] = []
    side = ServerSide(
        default_headers=lambda: [(b"server", b"mine")],
        on_response=lambda scope, status: told.append((scope["path"], status)),
    )
    async with joined(server=side) as pair:
        stream_id = pair.connect(b"/chat")
        call = await pair.called()
        recorder = Recorder()
        future = call.announce(recorder, (b"sec-websocket-accept", b"key"), (b"Sec-WebSocket-Protocol", b"a"))
        headers = [
            (b"x-added", b"1"),
            (b"connection", b"x"),
            (b"upgrade", b"other"),
            (b"content-length", b"5"),
            (b"sec-websocket-protocol", b"b"),
        ]
        await call.send(start(101, *headers))
        assert future.result() is True
        await pair.settle()
        assert pair.answers[stream_id].headers == [
            (b":status", b"200"),
            (b"server", b"mine"),
            (b"sec-websocket-protocol", b"a"),
            (b"x-added", b"1"),
        ]
        assert told == [("/first", 200), ("/chat", 200)]
        assert recorder.told == ["made"]
        assert not pair.answers[stream_id].ended


@pytest.mark.parametrize("why", ["unannounced", "cancelled", "replaced"])
@timeless
async def test_a_101_that_nobody_stands_behind(why: str) -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        if why == "cancelled":
            call.announce(Recorder()).cancel()
        if why == "replaced":
            first, second = Recorder(), Recorder()
            futures = [call.announce(each) for each in (first, second)]
            await call.send(start(101))
            assert [each.result() for each in futures] == [False, True]
            assert (first.told, second.told) == ([], ["made"])
            return
        await call.send(start(101))
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.status, answer.ended) == (500, True)
        assert b"could not be switched" in answer.body


@timeless
async def test_a_101_that_is_malformed_changes_nothing() -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        future = call.announce(Recorder())
        with pytest.raises(ValueError):  # noqa: PT011
            await call.send(start(101, (b"x", b"a\nb")))
        with pytest.raises(ValueError, match="must name the protocol"):
            call.scope["extensions"]["http.upgrade"]["connect"](Recorder(), [])
        await call.send(start(101))
        assert future.result() is True
        await pair.settle()
        assert pair.answers[stream_id].status == 200


@timeless
async def test_it_is_too_late_to_announce_when_a_response_has_begun() -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        await call.send(start(200))
        assert call.announce(Recorder()).result() is False
        with pytest.raises(RuntimeError):
            await call.send(start(101))
        await call.send(body())
        await pair.settle()
        assert pair.answers[stream_id].ended


@timeless
async def test_what_comes_early_is_kept_for_the_protocol() -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        pair.client.send_data(stream_id, b"early")
        pair.client.send_data(stream_id, b" bird", end_stream=True)
        await pair.settle()
        assert await call.receive() == REQUEST
        recorder = Recorder()
        call.announce(recorder)
        await call.send(start(101))
        assert recorder.told == ["made", b"early bird", "eof"]
        await pair.settle()
        assert pair.client.remote_flow_control_window(stream_id) >= 0


@timeless
async def test_messages_behind_the_101_go_nowhere() -> None:
    async with joined() as pair:
        stream_id, call, _ = await switched(pair)
        await call.send(body(b"x"))
        await call.send(start(200))
        await pair.settle()
        assert (pair.answers[stream_id].body, pair.answers[stream_id].ended) == (b"", False)

        async def pour() -> None:
            while True:
                await call.send(body(b"x"))

        pouring = asyncio.ensure_future(pour())
        assert await stays(pouring)
        pouring.cancel()


@timeless
async def test_receive_ends_with_the_stream() -> None:
    async with joined() as pair:
        stream_id, call, recorder = await switched(pair)
        assert await call.receive() == REQUEST
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        pair.client.reset_stream(stream_id)
        await pair.settle()
        assert await receiving == DISCONNECT
        assert recorder.told == ["made", RESET]


@pytest.mark.parametrize("how", ["abort", "close"])
@timeless
async def test_a_receive_that_waits_already_ends_with_the_stream(how: str) -> None:
    async with joined() as pair:
        stream_id = pair.connect()
        call = await pair.called()
        assert await call.receive() == REQUEST
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        recorder = Recorder()
        call.announce(recorder)
        await call.send(start(101))
        assert await stays(receiving)
        if how == "close":
            pair.client.end_stream(stream_id)
            await pair.settle()
        getattr(recorder.transport, how)()
        await pair.settle()
        assert receiving.done()
        assert await receiving == DISCONNECT


# The end


@timeless
async def test_a_loop_that_asks_behind_the_end_leaves_room_for_others() -> None:
    async with joined() as pair:
        stream_id, call, _ = await switched(pair)
        pair.client.reset_stream(stream_id)
        await pair.settle()

        async def ask() -> None:
            for _ in range(100):
                await call.receive()

        asking = asyncio.ensure_future(ask())
        assert await stays(asking)
        await asking


@timeless
async def test_the_stream_ends_when_the_application_returns(caplog: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id, call, recorder = await switched(pair)
        recorder.transport.write(b"last words")
        call.done()
        await pair.settle()
        assert not caplog.records
        answer = pair.answers[stream_id]
        assert (answer.body, answer.ended, answer.reset) == (b"last words", True, ErrorCodes.NO_ERROR)
        assert recorder.told[-1] == LOST
        assert not pair.server.tasks


@timeless
async def test_an_application_that_has_failed_is_cancelled_while_its_stream_ends() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id, call, recorder = await switched(pair)
        [task] = pair.server.tasks
        recorder.transport.write(bytes(100_000))
        call.fail(ZeroDivisionError())
        await pair.settle()
        assert not task.done()
        task.cancel()
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.CANCEL
        assert recorder.told[-1] == LOST


@timeless
async def test_nothing_keeps_a_stream_that_has_ended() -> None:
    async with joined(idle_timeout=1000) as pair:
        _, call, recorder = await switched(pair)
        kept = weakref.ref(recorder.transport)
        call.done()
        await pair.settle()
        del recorder, call
        pair.calls.clear()
        gc.collect()
        assert kept() is None


@timeless
async def test_a_client_that_takes_nothing_is_waited_for_a_while_only() -> None:
    async with joined(close_timeout=5, ping_interval=None, write_timeout=None) as pair:
        pair.grants = False
        stream_id, call, recorder = await switched(pair)
        recorder.transport.write(bytes(100_000))
        call.done()
        await pair.pass_time(4.9)
        assert pair.answers[stream_id].reset is None
        await pair.pass_time(0.2)
        assert pair.answers[stream_id].reset == ErrorCodes.CANCEL
        assert not pair.server.tasks


class Lingering(Recorder):
    """Closes its transport by itself."""

    def closing(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


@timeless
async def test_a_protocol_that_closes_by_itself_is_let_be() -> None:
    async with joined(close_timeout=5) as pair:
        stream_id, call, recorder = await switched(pair, Lingering())
        call.done()
        await pair.pass_time(2)
        assert not pair.answers[stream_id].ended
        recorder.transport.write(b"goodbye")
        recorder.transport.close()
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.body, answer.ended, answer.reset) == (b"goodbye", True, ErrorCodes.NO_ERROR)
        assert not pair.server.tasks


@timeless
async def test_an_exception_of_the_application_ends_its_stream(caplog: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id, call, recorder = await switched(pair)
        call.fail(ZeroDivisionError())
        await pair.settle()
        assert [record.message for record in caplog.records] == ["Exception in ASGI application"]
        assert pair.answers[stream_id].ended
        assert recorder.told[-1] == LOST


@timeless
async def test_a_cancelled_application_loses_its_stream() -> None:
    async with joined() as pair:
        stream_id, _call, recorder = await switched(pair)
        [task] = pair.server.tasks
        task.cancel()
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.INTERNAL_ERROR
        assert recorder.told[-1] == RESET
        assert task.cancelled()


@timeless
async def test_an_announcement_ends_with_the_application() -> None:
    async with joined() as pair:
        pair.connect()
        call = await pair.called()
        future = call.announce(Recorder())
        call.done()
        await pair.settle()
        assert future.result() is False


@timeless
async def test_resets_leave_other_streams_alone() -> None:
    async with joined() as pair:
        one, _, first = await switched(pair)
        two, _, second = await switched(pair)
        pair.client.send_data(one, b"lost")
        pair.client.send_data(two, b"kept")
        pair.client.reset_stream(one)
        await pair.settle()
        assert first.told[0] == "made"
        assert first.told[-1] == RESET
        assert str(first.error) == "the HTTP/2 stream was reset"
        assert second.told == ["made", b"kept"]
        first.transport.write(b"to nobody")
        first.transport.close()
        first.transport.abort()
        await pair.settle()
        assert not pair.goaways


class Echo(Recorder):
    """Answers at once."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


@timeless
async def test_an_answer_to_who_has_reset_in_the_same_segment_goes_nowhere() -> None:
    async with joined() as pair:
        one, _, first = await switched(pair, Echo())
        two, _, _ = await switched(pair, Echo())
        pair.client.send_data(one, b"lost")
        pair.client.send_data(two, b"kept")
        pair.client.reset_stream(one)
        await pair.settle()
        assert first.told == ["made", b"lost", RESET]
        assert pair.answers[one].body == b""
        assert pair.answers[two].body == b"kept"
        assert not pair.goaways


@timeless
async def test_nothing_is_answered_to_data_whose_stream_was_reset_in_one_go() -> None:
    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.write(data)

    async with joined() as pair:
        stream_id, call, echo = await switched(pair, Echo())
        pair.client.send_data(stream_id, b"one")
        await pair.settle()
        pair.client.send_data(stream_id, b"two")
        pair.client.reset_stream(stream_id)
        await pair.settle()
        assert echo.told[-1] == RESET
        assert pair.answers[stream_id].body == b"one"
        call.done()
        await pair.settle()
        pair.ask()
        await pair.called()


@timeless
async def test_a_lost_connection_is_a_loss_for_every_stream() -> None:
    async with joined() as pair:
        _, call, recorder = await switched(pair)
        pair.wire.reset()
        await pair.settle()
        assert recorder.told == ["made", RESET]
        call.done()
        await pair.settle()


# The server stops


class Stoppable(Recorder):
    def shutdown(self) -> None:
        self.told.append("shutdown")


@timeless
async def test_a_protocol_is_told_that_the_server_stops() -> None:
    async with joined() as pair:
        _, _, recorder = await switched(pair, Stoppable())
        pair.protocol.shutdown()
        assert recorder.told == ["made", "shutdown"]


@timeless
async def test_a_protocol_that_does_not_want_to_know_is_closed() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair)
        pair.protocol.shutdown()
        await pair.settle()
        assert pair.answers[stream_id].ended
        assert recorder.told[-1] == LOST


@timeless
async def test_a_switch_while_the_server_stops_is_told_at_once() -> None:
    async with joined() as pair:
        pair.connect()
        call = await pair.called()
        pair.protocol.shutdown()
        recorder = Stoppable()
        call.announce(recorder)
        await call.send(start(101))
        assert recorder.told == ["made", "shutdown"]


@timeless
async def test_an_endpoint_that_has_not_answered_is_told() -> None:
    async with joined() as pair:
        pair.connect()
        call = await pair.called()
        told: list[int] = []
        on_shutdown = call.scope["extensions"]["http.upgrade"]["on_shutdown"]
        on_shutdown(lambda: told.append(1))
        pair.protocol.shutdown()
        assert told == [1]
        on_shutdown(lambda: told.append(2))
        assert told == [1, 2]


@timeless
async def test_a_message_type_of_another_kind() -> None:
    message: Message = {"type": "http.response.body", "body": b"x"}
    async with joined() as pair:
        pair.connect()
        call = await pair.called()
        with pytest.raises(RuntimeError, match=r"^Expected ASGI message 'http.response.start'"):
            await call.send(message)
