"""One request on a stream: `receive` and `send` in every order, and what an application does wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.http2.server import ServerSide
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import ErrorCodes, body, joined, start, stays

if TYPE_CHECKING:
    from starlette.types import Message

DISCONNECT = {"type": "http.disconnect"}


def trailers(*headers: tuple[bytes, bytes], more: bool = False) -> Message:
    return {"type": "http.response.trailers", "headers": list(headers), "more_trailers": more}


# Messages that do not fit


@pytest.mark.parametrize(
    ("before", "message", "error"),
    [
        ([], body(b"x"), r"Expected ASGI message 'http.response.start', but got 'http.response.body'"),
        ([start()], start(), r"Expected ASGI message 'http.response.body', but got 'http.response.start'"),
        ([start()], trailers(), r"Expected ASGI message 'http.response.body', but got 'http.response.trailers'"),
        ([start(), body()], body(), r"Unexpected ASGI message 'http.response.body' sent, after response already"),
        ([start(trailers=True), body()], body(), r"Expected ASGI message 'http.response.trailers', but got"),
        ([start(trailers=True), body(), trailers()], trailers(), r"Unexpected ASGI message"),
        ([], start(101), r"A response cannot have status 101"),
        ([], start(199), r"A response cannot have status 199"),
        ([], start(1000), r"A response cannot have status 1000"),
        ([start(200, (b"content-length", b"3"))], body(b"four"), r"Response content longer than Content-Length"),
        ([start(200, (b"content-length", b"3"))], body(b"12"), r"Response content shorter than Content-Length"),
        (
            [start(200, (b"Content-Length", b"3")), body(b"12", more=True)],
            body(b"34", more=True),
            r"Response content longer than Content-Length",
        ),
    ],
)
@timeless
async def test_a_message_that_does_not_fit(before: list[Message], message: Message, error: str) -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        for each in before:
            await call.send(each)
        with pytest.raises(RuntimeError, match=f"^{error}"):
            await call.send(message)


@pytest.mark.parametrize("message", [start(200, (b"x", b"a\r\nb: c")), start(200, (b"x y", b""))])
@timeless
async def test_a_field_that_would_break_the_response(message: Message) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        with pytest.raises(ValueError):  # noqa: PT011 - the grammar's own tests read the text
            await call.send(message)
        await call.respond(200, b"other")  # nothing has begun yet
        await pair.settle()
        assert pair.answers[stream_id].body == b"other"


@pytest.mark.parametrize("status", [200, 999])
@timeless
async def test_a_status_at_the_limits(status: int) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        await (await pair.called()).respond(status)
        await pair.settle()
        assert pair.answers[stream_id].status == status


# Responses


@timeless
async def test_a_declared_length_that_is_kept() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start(200, (b"content-length", b"5")))
        await call.send(body(b"12", more=True))
        await call.send(body(b"345"))
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.body, answer.ended) == (b"12345", True)
        assert (b"content-length", b"5") in answer.headers


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
@timeless
async def test_a_response_without_content(method: bytes, status: int) -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=method)
        call = await pair.called()
        await call.send(start(status, *[(b"content-length", b"5")] if method == b"HEAD" else [], trailers=True))
        await call.send(body(b"1", more=True))
        await call.send(body(b"2"))
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.status, answer.body, answer.ended, answer.trailers) == (status, b"", True, [])


@timeless
async def test_fields_of_a_connection_are_left_out() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        hop = [b"Connection", b"Keep-Alive", b"Transfer-Encoding", b"Upgrade", b"Proxy-Connection", b"HTTP2-Settings"]
        await call.send(start(200, *[(name, b"x") for name in hop], (b"X-Upper", b"1"), (b"set-cookie", b"2")))
        await call.send(body())
        await pair.settle()
        assert pair.answers[stream_id].headers == [(b":status", b"200"), (b"x-upper", b"1"), (b"set-cookie", b"2")]


@timeless
async def test_trailers_come_at_the_end() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start(trailers=True))
        await call.send(body(b"x"))
        await pair.settle()
        assert not pair.answers[stream_id].ended
        await call.send(trailers((b"X-One", b"1"), (b"Connection", b"close"), more=True))
        await pair.settle()
        assert not pair.answers[stream_id].ended
        await call.send(trailers((b"x-two", b"2")))
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.trailers, answer.ended) == ([(b"x-one", b"1"), (b"x-two", b"2")], True)
        assert await call.receive() == DISCONNECT


@timeless
async def test_trailers_that_were_announced_may_be_none() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start(trailers=True))
        await call.send(body(b"x"))
        await call.send({"type": "http.response.trailers"})
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.body, answer.trailers, answer.ended) == (b"x", [], True)


@timeless
async def test_trailers_wait_for_the_body() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start(trailers=True))
        sending = asyncio.ensure_future(call.send(body(bytes(70_000))))
        await pair.settle()
        assert not sending.done()
        ending = asyncio.ensure_future(call.send(trailers((b"x", b"y"))))
        await pair.settle()
        assert not ending.done()
        pair.client.increment_flow_control_window(100_000)
        pair.client.increment_flow_control_window(100_000, stream_id)
        await pair.settle()
        assert ending.done()
        assert len(pair.answers[stream_id].body) == 70_000
        assert pair.answers[stream_id].trailers == [(b"x", b"y")]


@timeless
async def test_empty_parts_of_a_body_send_nothing() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        for part in (b"", b"x", b""):
            await call.send(body(part, more=True))
        await pair.settle()
        assert not pair.answers[stream_id].ended
        await call.send({"type": "http.response.body"})
        await pair.settle()
        assert (pair.answers[stream_id].body, pair.answers[stream_id].ended) == (b"x", True)


@timeless
async def test_messages_may_lack_what_is_empty() -> None:
    async with joined() as pair:
        stream_id, other_id = pair.ask(), pair.ask()
        for headers in ({}, {"headers": [(b"content-length", b"0")]}):
            call = await pair.called()
            await call.send({"type": "http.response.start", "status": 200, **headers})
            await call.send({"type": "http.response.body"})
        await pair.settle()
        for answer in (pair.answers[stream_id], pair.answers[other_id]):
            assert (answer.status, answer.body, answer.ended) == (200, b"", True)


@timeless
async def test_a_task_that_gives_up_again_and_again_piles_up_nothing() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        for _ in range(10):
            sending = asyncio.ensure_future(call.send(body(bytes(70_000), more=True)))
            await pair.settle()
            sending.cancel()
        pair.client.increment_flow_control_window(2**20)
        pair.client.increment_flow_control_window(2**20, stream_id)
        await pair.settle()
        assert len(pair.answers[stream_id].body) == 70_000


@timeless
async def test_two_tasks_may_send_at_once() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        sending = [asyncio.ensure_future(call.send(body(each * 50_000, more=True))) for each in (b"a", b"b")]
        await pair.settle()
        assert [each.done() for each in sending] == [True, False]
        pair.client.increment_flow_control_window(100_000)
        pair.client.increment_flow_control_window(100_000, stream_id)
        await pair.settle()
        assert sending[1].done()
        assert pair.answers[stream_id].body == b"a" * 50_000 + b"b" * 50_000


@timeless
async def test_a_send_that_was_cancelled_is_sent_all_the_same() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        sending = asyncio.ensure_future(call.send(body(b"a" * 70_000, more=True)))
        await pair.settle()
        sending.cancel()
        ending = asyncio.ensure_future(call.send(body(b"b")))
        await pair.settle()
        assert sending.cancelled()
        assert not ending.done()
        pair.client.increment_flow_control_window(100_000)
        pair.client.increment_flow_control_window(100_000, stream_id)
        await pair.settle()
        assert ending.done()
        assert pair.answers[stream_id].body == b"a" * 70_000 + b"b"
        assert pair.answers[stream_id].ended


@pytest.mark.parametrize("handshake", [False, True])
@timeless
async def test_what_nobody_has_waited_for_is_sent_before_the_end(handshake: bool) -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.connect() if handshake else pair.ask()
        call = await pair.called()
        await call.send(start())
        sending = asyncio.ensure_future(call.send(body(b"a" * 70_000)))
        await pair.settle()
        sending.cancel()
        call.done()
        await pair.settle()
        assert len(pair.server.tasks) == 1
        pair.client.increment_flow_control_window(100_000)
        pair.client.increment_flow_control_window(100_000, stream_id)
        await pair.settle()
        assert pair.answers[stream_id].ended
        assert not pair.server.tasks


# `receive`


@timeless
async def test_receive_waits_for_each_part_and_for_the_end() -> None:
    """Which trailers may be; what follows is the disconnect."""
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        for part in (b"one", b"another"):
            receiving = asyncio.ensure_future(call.receive())
            assert await stays(receiving)
            pair.client.send_data(stream_id, part)
            await pair.settle()
            assert receiving.result() == {"type": "http.request", "body": part, "more_body": True}
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        pair.client.send_headers(stream_id, [(b"x-end", b"1")], end_stream=True)
        await pair.settle()
        assert receiving.result() == {"type": "http.request", "body": b"", "more_body": False}
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        pair.client.reset_stream(stream_id)
        await pair.settle()
        assert receiving.result() == {"type": "http.disconnect"}
        call.done()


@timeless
async def test_receive_behind_the_response_is_a_disconnect() -> None:
    async with joined() as pair:
        pair.ask(method=b"POST", end=False)
        call = await pair.called()
        receiving = asyncio.ensure_future(call.receive())
        assert await stays(receiving)
        await call.respond()
        assert await receiving == DISCONNECT
        assert await call.receive() == DISCONNECT


@timeless
async def test_a_loop_that_asks_for_ever_leaves_room_for_others() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        await call.respond()

        async def ask() -> None:
            while True:
                await call.receive()

        asking = asyncio.ensure_future(ask())
        assert await stays(asking)
        asking.cancel()


@timeless
async def test_a_loop_that_sends_to_nobody_leaves_room_for_others() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        pair.client.reset_stream(stream_id)
        await pair.settle()

        async def pour() -> None:
            while True:
                await call.send(body(b"x", more=True))

        pouring = asyncio.ensure_future(pour())
        assert await stays(pouring)
        pouring.cancel()


@pytest.mark.parametrize(("size", "most"), [(1, 64), (30_000, 3)])
@timeless
async def test_a_stream_has_a_share_of_a_turn(size: int, most: int) -> None:
    """64 KiB; a message costs a KiB besides."""
    async with joined(write_buffer_size=2**20) as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.increment_flow_control_window(2**22)
        pair.client.increment_flow_control_window(2**22, stream_id)
        await pair.settle()
        await call.send(start())
        await asyncio.sleep(0)
        sent = 0

        async def pour() -> None:
            nonlocal sent
            while True:
                await call.send(body(bytes(size), more=True))
                sent += 1

        pouring = asyncio.ensure_future(pour())
        await asyncio.sleep(0)
        assert most - 2 <= sent <= most
        pouring.cancel()
        await pair.settle()


@timeless
async def test_100_is_sent_when_the_body_is_asked_for() -> None:
    async with joined() as pair:
        stream_id = pair.ask(b"/", (b"expect", b"100-Continue"), method=b"POST", end=False)
        call = await pair.called()
        await pair.settle()
        assert pair.answers[stream_id].interim == []
        receiving = asyncio.ensure_future(call.receive())
        await pair.settle()
        assert pair.answers[stream_id].interim == [b"100"]
        pair.client.send_data(stream_id, b"x")
        await pair.settle()
        assert (await receiving)["body"] == b"x"
        pair.client.send_data(stream_id, b"y", end_stream=True)
        await pair.settle()
        assert (await call.receive())["body"] == b"y"
        await pair.settle()
        assert pair.answers[stream_id].interim == [b"100"]
        await call.respond()
        await pair.settle()
        assert pair.answers[stream_id].interim == [b"100"]


@pytest.mark.parametrize("expect", [[], [(b"expect", b"something")]])
@timeless
async def test_100_is_not_sent_unasked(expect: list[tuple[bytes, bytes]]) -> None:
    async with joined() as pair:
        stream_id = pair.ask(b"/", *expect, method=b"POST", end=False)
        call = await pair.called()
        receiving = asyncio.ensure_future(call.receive())
        await pair.settle()
        assert pair.answers[stream_id].interim == []
        receiving.cancel()


@pytest.mark.parametrize("why", ["answered", "gone"])
@timeless
async def test_100_is_not_sent_too_late(why: str) -> None:
    async with joined() as pair:
        stream_id = pair.ask(b"/", (b"expect", b"100-continue"), method=b"POST", end=False)
        call = await pair.called()
        if why == "answered":
            await call.send(start(401))
        else:
            pair.client.reset_stream(stream_id)
            await pair.settle()
        receiving = asyncio.ensure_future(call.receive())
        await pair.settle()
        assert pair.answers[stream_id].interim == []
        receiving.cancel()


# The application's end


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR)
    return caplog


@pytest.mark.parametrize("handshake", [False, True])
@timeless
async def test_an_exception_before_the_response(handshake: bool, log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.connect() if handshake else pair.ask()
        call = await pair.called()
        call.fail(ZeroDivisionError("of the application"))
        await pair.settle()
        answer = pair.answers[stream_id]
        assert answer.headers == [
            (b":status", b"500"),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"21"),
        ]
        assert (answer.body, answer.ended) == (b"Internal Server Error", True)
        [record] = log.records
        assert record.message == "Exception in ASGI application"
        assert record.exc_info is not None
        assert record.exc_info[0] is ZeroDivisionError


class Fatal(BaseException):
    """Not for anybody to catch for good."""


@pytest.mark.parametrize("error", [ZeroDivisionError(), Fatal()])
@timeless
async def test_only_what_is_no_exception_goes_on(error: BaseException, log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        [task] = pair.server.tasks
        call.fail(error)
        await pair.settle()
        assert pair.answers[stream_id].status == 500
        assert task.exception() is (error if isinstance(error, Fatal) else None)
        assert len(log.records) == 1


@timeless
async def test_an_exception_within_the_response_resets(log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        await call.send(body(b"half", more=True))
        call.fail(ZeroDivisionError())
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.INTERNAL_ERROR
        assert not pair.answers[stream_id].ended
        assert len(log.records) == 1


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "ASGI callable returned without starting response."),
        ([start()], "ASGI callable returned without completing response."),
        ([start(trailers=True), body(b"x")], "ASGI callable returned without completing response."),
    ],
)
@timeless
async def test_an_application_that_returns_too_early(
    messages: list[Message], problem: str, log: pytest.LogCaptureFixture
) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        for message in messages:
            await call.send(message)
        call.done()
        await pair.settle()
        assert log.messages == [problem]
        answer = pair.answers[stream_id]
        assert (answer.status, answer.reset) == ((200, ErrorCodes.INTERNAL_ERROR) if messages else (500, None))


@timeless
async def test_an_application_that_returns_something(log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        call.done("some\nthing")
        await pair.settle()
        assert pair.answers[stream_id].status == 500
        assert log.messages == [r"ASGI callable should return None, but returned 'some\nthing'."]


@timeless
async def test_an_application_need_not_answer_who_has_gone(log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.reset_stream(stream_id)
        await pair.settle()
        call.done()
        await pair.settle()
        assert not log.records
        assert not pair.server.tasks


@timeless
async def test_an_exception_when_the_client_has_gone_is_logged_only(log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.reset_stream(stream_id)
        await pair.settle()
        call.fail(ZeroDivisionError())
        await pair.settle()
        assert len(log.records) == 1
        assert not pair.goaways


@timeless
async def test_the_log_is_the_servers(log: pytest.LogCaptureFixture) -> None:
    async with joined(server=ServerSide(logger=logging.getLogger("the.server"))) as pair:
        pair.ask()
        (await pair.called()).done()
        await pair.settle()
        assert [record.name for record in log.records] == ["the.server"]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("whole", [False, True])
@timeless
async def test_an_application_that_is_cancelled(whole: bool, begun: bool, log: pytest.LogCaptureFixture) -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=whole)
        call = await pair.called()
        if begun:
            await call.send(start())
        [task] = pair.server.tasks
        task.cancel()
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.INTERNAL_ERROR
        assert not log.records
        assert task.cancelled()


@timeless
async def test_trailers_that_wait_for_a_client_that_has_gone_are_no_error() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start(trailers=True))
        sending = []
        for message in (body(bytes(100_000)), trailers((b"x", b"1"))):
            sending.append(asyncio.ensure_future(call.send(message)))
            await pair.settle()
        assert not any(each.done() for each in sending)
        pair.client.reset_stream(stream_id)
        await pair.settle()
        await asyncio.gather(*sending)


class Kept(bytearray):
    """Bytes that show whether they are still kept."""


@timeless
async def test_what_a_client_does_not_take_is_not_kept_when_it_has_gone() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        parts = [Kept(100_000), Kept(1)]
        kept = [weakref.ref(part) for part in parts]
        sending = []
        while parts:
            message = {"type": "http.response.body", "body": parts.pop(0), "more_body": True}
            sending.append(asyncio.ensure_future(call.send(message)))
            del message
            await pair.settle()
        assert all(part() is not None for part in kept)
        pair.client.reset_stream(stream_id)
        await pair.settle()
        assert all(each.done() for each in sending)
        sending.clear()
        gc.collect()
        assert all(part() is None for part in kept)
        assert not call.end.done(), "the application goes on"


@timeless
async def test_what_is_missing_of_a_request_is_not_wanted_behind_its_response() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        await call.respond(413, b"enough")
        await pair.settle()
        assert pair.answers[stream_id].reset is None  # the application may still read
        call.done()
        await pair.settle()
        answer = pair.answers[stream_id]
        assert (answer.body, answer.ended, answer.reset) == (b"enough", True, ErrorCodes.NO_ERROR)


@timeless
async def test_a_stop_of_the_server_lets_a_request_be() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        receiving: asyncio.Future[Any] = asyncio.ensure_future(call.receive())
        pair.protocol.shutdown()
        await pair.settle()
        assert not receiving.done()
        pair.client.send_data(stream_id, b"x", end_stream=True)
        await pair.settle()
        assert receiving.result()["body"] == b"x"
