"""The two directions of an `UpgradeStream`, its buffers and its end, on a loop whose time passes by itself."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asgi_upgrade.streams import protocol as streams_protocol
from tests.unit.connections import upgrade_connection
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import stays
from tests.unit.streams.wired import open_stream
from tests.unit.waiting import turns

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

MIB = 1024 * 1024


def begin(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine)


def now() -> float:
    return asyncio.get_running_loop().time()


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Sending


@timeless
async def test_send_waits_while_more_than_the_buffer_waits_to_be_sent() -> None:
    stream, _, wire = open_stream(write_buffer_size=1000)
    await stream.send(bytes(1000))
    await stream.send(b"one more")
    assert len(wire.unsent) == 1008
    sending = begin(stream.send(b"later"))
    assert await stays(sending)
    with pytest.raises(anyio.BusyResourceError, match="writing to"):
        await stream.send(b"me too")
    with pytest.raises(anyio.BusyResourceError, match="writing to"):
        await stream.send_eof()
    with pytest.raises(anyio.BusyResourceError, match="taking over"):
        stream.asyncio_streams()
    assert wire.take() == bytes(1000) + b"one more"
    await sending
    assert wire.take() == b"later"


@timeless
async def test_a_send_that_was_cancelled_leaves_the_way_free() -> None:
    stream, _, wire = open_stream(write_buffer_size=1000)
    await stream.send(bytes(1001))
    sending = begin(stream.send(b"never"))
    assert await stays(sending)
    await cancel(sending)
    wire.take()
    await stream.send(b"sent")
    assert wire.take() == b"sent"
    for operation in (partial(stream.send, b"never"), stream.send_eof):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await operation()
        assert scope.cancelled_caught
    assert (wire.take(), wire.ended) == (b"", False)
    await stream.send_eof()
    assert wire.ended


@pytest.mark.parametrize("operation", ["send", "receive"])
@timeless
async def test_one_task_at_a_time_also_while_it_only_lets_others_run(operation: str) -> None:
    """Every seventeenth operation that finds what it needs gives the loop a turn."""
    stream, _, wire = open_stream()
    wire.deliver(bytes(100))

    async def work() -> None:
        await (stream.send(b"x") if operation == "send" else stream.receive(1))

    for _ in range(2):
        for _ in range(16):
            start = begin(work())
            await asyncio.sleep(0)
            assert start.done()
        yielding = begin(work())
        await asyncio.sleep(0)
        assert not yielding.done()
        with pytest.raises(anyio.BusyResourceError):
            await work()
        with pytest.raises(anyio.BusyResourceError):
            stream.asyncio_streams()
        await yielding


@timeless
async def test_the_sixteen_are_counted_from_the_last_wait() -> None:
    stream, _, wire = open_stream()
    wire.deliver(bytes(10))
    for _ in range(10):
        await stream.receive(1)
    receiving = begin(stream.receive())
    await turns()
    wire.deliver(b"x")
    await receiving
    wire.deliver(bytes(100))
    for _ in range(16):
        start = begin(stream.receive(1))
        await asyncio.sleep(0)
        assert start.done()


@timeless
async def test_an_answer_to_what_was_waited_for_leaves_at_once_even_in_a_cancelled_scope_and_only_that() -> None:
    stream, _, wire = open_stream()
    receiving = begin(stream.receive())
    await turns()
    wire.deliver(b"question")
    assert await receiving == b"question"
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.send(b"answer")
        await stream.send(b"never")
    assert scope.cancelled_caught
    assert wire.take() == b"answer"


@timeless
async def test_a_loss_is_known_to_send_before_the_transport_has_told_it() -> None:
    stream, _, wire = open_stream()
    wire.closing = True
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(b"too late")
    wire.closing = False
    wire.reset()
    await turns()
    with pytest.raises(anyio.BrokenResourceError) as caught:
        await stream.send(b"too late")
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@timeless
async def test_send_eof_ends_our_direction_once_and_no_other() -> None:
    stream, _, wire = open_stream()
    await stream.send(b"all")
    await stream.send_eof()
    assert wire.ended
    wire.ended = False
    await stream.send_eof()
    assert not wire.ended, "a second call does nothing"
    with pytest.raises(anyio.ClosedResourceError):
        await stream.send(b"more")
    wire.deliver(b"go on")
    assert await stream.receive() == b"go on"


@timeless
async def test_send_eof_to_a_client_that_has_gone_does_not_touch_the_transport() -> None:
    stream, _, wire = open_stream()
    wire.closing = True
    await stream.send_eof()
    assert not wire.ended
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(b"too late")


# Receiving


@timeless
async def test_short_pieces_are_joined_and_a_long_one_is_not_copied() -> None:
    stream, _, wire = open_stream()
    long = bytes(512)
    for piece in (b"a", b"b", long, b"c", b"d", bytes(511), b"e"):
        wire.deliver(piece)
    assert await stream.receive() == b"ab"
    assert await stream.receive() is long
    assert await stream.receive() == b"cd" + bytes(511)
    assert await stream.receive() == b"e"


@timeless
async def test_what_was_not_asked_for_stays_for_the_next_receive() -> None:
    stream, _, wire = open_stream()
    for piece in (b"x" * 600, b"y" * 600):
        wire.deliver(piece)
    sizes = [1, 598, 1, 600]
    received = [await stream.receive(size) for size in sizes]
    assert received == [b"x", b"x" * 598, b"x", b"y" * 600]
    wire.deliver(b"abc")
    assert [await stream.receive(2), await stream.receive(2)] == [b"ab", b"c"]
    wire.deliver(bytes(65537))
    assert [len(await stream.receive()), len(await stream.receive())] == [65536, 1]


@timeless
async def test_reading_stops_at_the_buffers_size_and_goes_on_when_half_of_it_is_taken() -> None:
    stream, _, wire = open_stream(read_buffer_size=1000)
    wire.deliver(bytes(600))
    wire.deliver(bytes(399))
    assert wire.reading
    wire.deliver(b"x" * 600)
    assert not wire.reading
    assert await stream.receive(600) == bytes(600)
    assert await stream.receive(398) == bytes(398)
    assert not wire.reading, "601 bytes are there"
    await stream.receive(1)
    assert not wire.reading
    await stream.receive(99)
    assert not wire.reading, "501 bytes are there"
    assert await stream.receive(1) == b"x"
    assert wire.reading
    wire.deliver(bytes(500))
    assert not wire.reading, "and stops again"


@timeless
async def test_what_a_task_waits_for_does_not_fill_the_buffer_unless_more_comes() -> None:
    stream, _, wire = open_stream(read_buffer_size=1000)
    receiving = begin(stream.receive())
    await turns()
    wire.deliver(b"x" * 5000)
    assert wire.reading, "it is taken at once"
    wire.deliver(b"y" * 5000)
    assert not wire.reading
    assert await receiving == b"x" * 5000
    assert not wire.reading
    assert await stream.receive() == b"y" * 5000
    assert wire.reading


@timeless
async def test_nothing_is_read_on_behind_the_end() -> None:
    stream, _, wire = open_stream(read_buffer_size=1000)
    wire.deliver(bytes(1000))
    wire.end()
    assert await stream.receive() == bytes(1000)
    assert not wire.reading, "asyncio has forgotten the socket there, and warns"
    stream, _, wire = open_stream(read_buffer_size=1000)
    wire.deliver(bytes(1000))
    wire.closing = True
    assert await stream.receive() == bytes(1000)
    assert not wire.reading


@timeless
async def test_a_receive_that_was_cancelled_leaves_the_way_free() -> None:
    stream, _, wire = open_stream()
    receiving = begin(stream.receive())
    assert await stays(receiving)
    with pytest.raises(anyio.BusyResourceError, match="reading from"):
        await stream.receive()
    with pytest.raises(anyio.BusyResourceError, match="taking over"):
        stream.asyncio_streams()
    await cancel(receiving)
    wire.deliver(b"late")
    assert await stream.receive() == b"late"
    with pytest.raises(ValueError, match="max_bytes must be a positive integer"):
        await stream.receive(0)
    wire.deliver(b"x")
    assert await stream.receive(1) == b"x"


@timeless
async def test_the_end_of_the_input_wakes_receive_and_the_other_direction_stays() -> None:
    stream, _, wire = open_stream()
    receiving = begin(stream.receive())
    await turns()
    wire.end()
    with pytest.raises(anyio.EndOfStream):
        await receiving
    await stream.send(b"answer")
    assert wire.take() == b"answer"
    assert not wire.lost


@timeless
async def test_a_connection_that_the_client_has_ended_without_an_error_ends_the_stream() -> None:
    stream, _, wire = open_stream(half_close=False)
    receiving = begin(stream.receive())
    await turns()
    wire.end()
    with pytest.raises(anyio.EndOfStream):
        await receiving
    await turns()
    assert wire.lost, "one direction does not end alone here"
    stream, _, wire = open_stream()
    wire.close()
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()


# Signs of life


@timeless
async def test_idle_is_the_time_since_a_byte_came_or_left_or_was_taken() -> None:
    stream, protocol, wire = open_stream()
    await asyncio.sleep(5)
    assert protocol.idle_time() == pytest.approx(5)
    wire.deliver(b"x")
    assert protocol.idle_time() == 0
    await asyncio.sleep(3)
    await stream.send(bytes(100))
    assert protocol.idle_time() == 0
    await asyncio.sleep(2)
    assert protocol.idle_time() == pytest.approx(2)
    del wire.unsent[:50]
    assert protocol.idle_time() == 0, "the client has taken a part"
    await asyncio.sleep(4)
    assert protocol.idle_time() == pytest.approx(4)
    wire.take()
    assert protocol.idle_time() == 0
    await asyncio.sleep(4)
    await stream.send(b"x")
    wire.take()
    assert protocol.idle_time() == 0, "it is gone already"
    await asyncio.sleep(4)
    protocol.touch()
    assert protocol.idle_time() == 0


class System:
    """What the operating system says of a connection, as the test has it, and when it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gone = False
        self.asked: list[tuple[float, Any]] = []
        self.began = now()
        monkeypatch.setattr(streams_protocol, "has_gone_silent", self.answer)
        monkeypatch.setattr(streams_protocol, "is_reset", self.answer)

    def answer(self, sock: socket.socket, interval: float | None = None) -> bool:
        assert sock.fileno() >= 0
        self.asked.append((now() - self.began, interval))
        return self.gone


@pytest.mark.parametrize(("interval", "pause"), [(0.25, 1.0), (1.0, 1.0), (7.0, 7.0)])
@timeless
async def test_whether_the_client_answers_is_looked_at_again_and_again_but_not_every_moment(
    interval: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with upgrade_connection(keepalive_interval=interval) as (stream, _):
        # The first look is the one at the switch, before this.
        system = System(monkeypatch)
        await asyncio.sleep(3.5 * pause)
        assert [when for when, _ in system.asked] == [pytest.approx(number * pause) for number in (1, 2, 3)]
        assert {told for _, told in system.asked} == {interval}
        system.gone = True
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await stream.receive()
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert str(caught.value.__cause__) == "the client has not acknowledged anything for a long time"
        assert len(system.asked) == 4
        await asyncio.sleep(3 * pause)
        assert len(system.asked) == 4


@timeless
async def test_a_client_that_has_left_is_looked_for_while_nobody_reads_and_only_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with upgrade_connection(keepalive_interval=None, read_buffer_size=1000) as (stream, _):
        system = System(monkeypatch)
        protocol = stream._protocol
        await asyncio.sleep(10)
        assert system.asked == []
        protocol.data_received(bytes(1000))
        await asyncio.sleep(2.5)
        assert [when for when, _ in system.asked] == [pytest.approx(11), pytest.approx(12)]
        await stream.receive()
        await asyncio.sleep(10)
        assert len(system.asked) == 2, "reading goes on"
        protocol.data_received(bytes(1000))
        await asyncio.sleep(1.5)
        assert len(system.asked) == 3
        system.gone = True
        await protocol.wait_closed()
        assert await stream.receive() == bytes(1000)
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await stream.receive()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert str(caught.value.__cause__) == "the client has reset the connection"
        await asyncio.sleep(10)
        assert len(system.asked) == 4


@timeless
async def test_nothing_is_asked_about_a_connection_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upgrade_connection(keepalive_interval=5.0, read_buffer_size=1000) as (stream, _):
        system = System(monkeypatch)
        stream._protocol.data_received(bytes(1000))
        stream._protocol.transport.abort()
        await asyncio.sleep(20)
        assert system.asked == []


# What a handler's exception means

OF_STREAMS = (anyio.EndOfStream(), anyio.IncompleteRead(), anyio.BrokenResourceError())
OF_ASYNCIO = (asyncio.IncompleteReadError(b"", 1), ConnectionResetError(), BrokenPipeError())


@pytest.mark.parametrize(
    ("end", "delegated", "explained"),
    [
        (None, False, ()),
        (None, True, ()),
        ("ended", False, ()),
        ("ended", True, OF_ASYNCIO),
        ("reset", False, OF_STREAMS),
        ("reset", True, (*OF_STREAMS, *OF_ASYNCIO)),
    ],
)
@timeless
async def test_which_errors_a_client_explains_that_has_ended_its_side_or_has_gone(
    end: str | None, delegated: bool, explained: tuple[Exception, ...]
) -> None:
    stream, protocol, wire = open_stream()
    if delegated:
        stream.asyncio_streams()
    if end is not None:
        wire.end() if end == "ended" else wire.reset()
    await turns()
    for error in (*OF_STREAMS, *OF_ASYNCIO):
        assert protocol.explains(error) is (error in explained)
    assert not protocol.explains(ValueError())
    wire.reset()


@timeless
async def test_an_error_that_the_stream_has_told_or_that_comes_of_it_is_explained() -> None:
    stream, protocol, wire = open_stream()
    wire.end()
    with pytest.raises(anyio.EndOfStream) as caught:
        await stream.receive()
    assert protocol.explains(caught.value)
    for error, explained in ((anyio.IncompleteRead(), True), (RuntimeError(), False)):
        error.__cause__ = caught.value
        assert protocol.explains(error) is explained
    other = anyio.IncompleteRead()
    other.__cause__ = anyio.EndOfStream()
    assert not protocol.explains(other)


# Closing


@timeless
async def test_closing_discards_what_came_and_reads_until_the_client_has_ended() -> None:
    stream, protocol, wire = open_stream(read_buffer_size=1000)
    wire.deliver(bytes(2000))
    await stream.send(b"last words")
    receiving, closing = begin(stream.receive(1)), begin(stream.aclose())
    assert len(await receiving) == 1
    assert await stays(closing)
    again = begin(stream.aclose())
    assert await stays(again)
    assert (wire.reading, wire.ended, wire.closing) == (True, True, False)
    wire.deliver(bytes(5000))
    assert wire.reading
    for operation in (stream.receive(), stream.send(b""), stream.send_eof()):
        with pytest.raises(anyio.ClosedResourceError):
            await operation
    with pytest.raises(anyio.ClosedResourceError):
        stream.asyncio_streams()
    assert wire.take() == b"last words"
    wire.end()
    await closing
    await again
    await asyncio.sleep(60)
    assert not wire.aborted, "the limit on the time has gone with the connection"
    protocol.cut()
    assert not wire.aborted


@timeless
async def test_closing_a_connection_that_was_lost_does_nothing() -> None:
    stream, _, wire = open_stream()
    wire.reset()
    await turns()
    await stream.aclose()
    await asyncio.sleep(60)
    assert (wire.aborted, wire.ended) == (False, False)


@pytest.mark.parametrize("reason", ["ended", "no half close"])
@timeless
async def test_closing_when_the_other_direction_has_ended_or_cannot_go_on_alone_ends_both(reason: str) -> None:
    stream, _, wire = open_stream(half_close=reason == "ended")
    if reason == "ended":
        wire.end()
    await stream.send(b"last words")
    closing = begin(stream.aclose())
    assert await stays(closing)
    assert (wire.closing, wire.ended) == (True, False)
    assert wire.take() == b"last words"
    await closing
    assert not wire.aborted


@timeless
async def test_closing_wakes_who_waits() -> None:
    stream, _, wire = open_stream(write_buffer_size=1000)
    await stream.send(bytes(1001))
    waiting = [begin(stream.receive()), begin(stream.send(b"never"))]
    await turns()
    closing = begin(stream.aclose())
    await turns()
    for task in waiting:
        assert task.done()
        with pytest.raises(anyio.ClosedResourceError):
            await task
    assert wire.take() == bytes(1001)
    wire.end()
    await closing


@timeless
async def test_a_client_that_has_already_ended_its_direction_does_not_keep_the_connection_open() -> None:
    stream, protocol, wire = open_stream()
    protocol.close()
    await turns()
    assert not wire.lost
    wire.end()
    await turns()
    assert wire.lost
    await stream.aclose()


@pytest.mark.parametrize("stopping", ["", "before", "after"])
@timeless
async def test_how_long_a_client_has_that_takes_a_part_each_time(stopping: str) -> None:
    stream, protocol, wire = open_stream(close_timeout=10.0, stop_timeout=3.0, write_buffer_size=1000)
    await stream.send(bytes(1000))
    if stopping == "before":
        protocol.shutdown()
    began = now()
    closing = begin(stream.aclose())
    for part in (500, 200):
        await asyncio.sleep(5)
        if not stopping:
            assert not wire.lost
            del wire.unsent[:part]
            await asyncio.sleep(5)
            continue
        if stopping == "after":
            del wire.unsent[:part]
            protocol.shutdown()
        break
    await closing
    # Three periods of ten seconds, the last of them without a byte taken; or the stop's, which ends it either way.
    assert now() - began == pytest.approx({"": 30, "before": 5, "after": 8}[stopping])
    assert wire.aborted
    wire.aborted = False
    await asyncio.sleep(60)
    assert not wire.aborted, "once"


@pytest.mark.parametrize(("close_timeout", "expected"), [(10.0, 3.0), (2.0, 2.0)])
@timeless
async def test_a_stop_makes_the_time_shorter_and_never_longer(close_timeout: float, expected: float) -> None:
    stream, protocol, wire = open_stream(close_timeout=close_timeout, stop_timeout=3.0)
    protocol.shutdown()
    began = now()
    await stream.aclose()
    assert now() - began == pytest.approx(expected)
    assert wire.aborted


@timeless
async def test_a_stop_of_the_server_is_told_once() -> None:
    stream, protocol, wire = open_stream()
    told: list[float] = []
    protocol.on_shutdown = lambda: told.append(now())
    waiting = begin(stream.wait_shutdown())
    assert await stays(waiting)
    assert not stream.shutting_down
    protocol.shutdown()
    await waiting
    protocol.shutdown()
    assert told == [now()]
    assert stream.shutting_down
    wire.reset()
    await turns()
    stream, protocol, wire = open_stream()
    protocol.close()
    wire.end()
    await turns()
    protocol.shutdown()
    await asyncio.sleep(60)
    assert not wire.aborted


@pytest.mark.parametrize(("close_timeout", "linger"), [(10.0, 1.0), (0.25, 0.25)])
@timeless
async def test_a_client_that_sends_on_and_on_is_not_read_for_long(close_timeout: float, linger: float) -> None:
    stream, protocol, wire = open_stream(close_timeout=close_timeout)
    closing = begin(stream.aclose())
    await turns()
    for _ in range(16):
        wire.deliver(bytes(MIB))
    assert wire.reading
    wire.deliver(b"x")
    assert not wire.reading
    began = now()
    await asyncio.sleep(linger / 2)
    protocol.data_received(b"of TLS, which had decrypted more")
    await closing
    assert now() - began == pytest.approx(linger)
    assert wire.aborted
    wire.aborted = False
    await asyncio.sleep(60)
    assert not wire.aborted, "once"


@timeless
async def test_a_client_that_is_not_read_any_more_may_still_take_what_was_sent() -> None:
    stream, _, wire = open_stream(close_timeout=10.0)
    await stream.send(bytes(1000))
    closing = begin(stream.aclose())
    await turns()
    wire.deliver(bytes(16 * MIB + 1))
    await asyncio.sleep(0.9)
    del wire.unsent[:1]
    began = now()
    await closing
    assert now() - began == pytest.approx(10.1)


@timeless
async def test_cutting_discards_everything_and_wakes_who_waits() -> None:
    stream, protocol, wire = open_stream(write_buffer_size=1000)
    await stream.send(bytes(1001))
    waiting = [begin(stream.receive()), begin(stream.send(b"never"))]
    await turns()
    protocol.cut()
    await turns()
    for task in waiting:
        assert task.done()
        with pytest.raises(anyio.ClosedResourceError):
            await task
    assert wire.aborted
    await stream.aclose()
    stream, protocol, wire = open_stream()
    wire.deliver(b"never read")
    protocol.cut()
    with pytest.raises(anyio.ClosedResourceError):
        await stream.receive()


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@timeless
async def test_aclose_that_is_cancelled_cuts(when: str) -> None:
    stream, _, wire = open_stream()
    await stream.send(b"unsent")
    if when == "before":
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
        assert scope.cancelled_caught
        assert not wire.ended, "the client must not take this for the end"
    else:
        closing = begin(stream.aclose())
        assert await stays(closing)
        await cancel(closing)
    assert wire.aborted


# asyncio's streams


@timeless
async def test_asyncios_streams_get_what_came_and_what_comes() -> None:
    stream, _, wire = open_stream(read_buffer_size=1000)
    for piece in (b"x" * 600, b"y" * 600):
        wire.deliver(piece)
    assert not wire.reading
    await stream.receive(100)
    reader, writer = stream.asyncio_streams()
    assert await reader.readexactly(1100) == b"x" * 500 + b"y" * 600
    assert wire.reading
    wire.deliver(b"more")
    assert await reader.readexactly(4) == b"more"
    wire.deliver(bytes(2001))
    assert not wire.reading, "twice the buffer, as the reader has it"
    await reader.readexactly(2001)
    assert wire.reading
    wire.end()
    assert await reader.read() == b""
    writer.write(b"answer")
    await writer.drain()
    assert wire.take() == b"answer"
    writer.close()
    await writer.wait_closed()


@timeless
async def test_asyncios_writer_waits_for_the_client() -> None:
    stream, protocol, wire = open_stream(write_buffer_size=1000)
    await stream.send(bytes(1001))
    _, writer = stream.asyncio_streams()
    for _ in range(2):
        draining = begin(writer.drain())
        assert await stays(draining)
        wire.take()
        await draining
        await asyncio.sleep(7)
        writer.write(bytes(1001))
        assert protocol.idle_time() == 0
    draining = begin(writer.drain())
    assert await stays(draining)
    wire.reset()
    with pytest.raises(ConnectionResetError):
        await draining


@timeless
async def test_asyncios_writer_lets_others_run() -> None:
    stream, _, wire = open_stream()
    _, writer = stream.asyncio_streams()
    passed = 0

    async def count() -> None:
        nonlocal passed
        while True:
            await asyncio.sleep(0)
            passed += 1

    counting = begin(count())
    for _ in range(170):
        writer.write(b"x")
        await writer.drain()
    assert passed >= 9
    await cancel(counting)
    assert wire.take() == b"x" * 170
    await stream.aclose()


@pytest.mark.parametrize("end", ["ended", "lost", "reset"])
@timeless
async def test_asyncios_streams_know_what_has_happened_before(end: str) -> None:
    stream, _, wire = open_stream()
    wire.deliver(b"all")
    {"ended": wire.end, "lost": wire.close, "reset": wire.reset}[end]()
    await turns()
    reader, writer = stream.asyncio_streams()
    if end == "reset":
        for operation in (reader.read, writer.drain):
            with pytest.raises(ConnectionResetError) as caught:
                await operation()
            assert caught.value is reader.exception()
    else:
        assert await reader.read() == b"all"
    if end == "ended":
        await writer.drain()
        await stream.aclose()
    else:
        with pytest.raises(ConnectionResetError):
            await writer.drain()


@timeless
async def test_aclose_closes_what_asyncios_streams_have_and_wakes_nobody_twice() -> None:
    stream, _, wire = open_stream()
    reader, writer = stream.asyncio_streams()
    writer.write(b"last words")
    reading = begin(reader.read())
    closing = begin(stream.aclose())
    assert await stays(closing)
    assert wire.ended
    assert wire.take() == b"last words"
    wire.deliver(b"ignored")
    wire.end()
    await closing
    assert await reading == b""


@timeless
async def test_a_connection_that_was_given_on_is_closed_and_not_waited_for() -> None:
    """As by `loop.start_tls`."""
    stream, protocol, wire = open_stream(close_timeout=5.0)
    await stream.send(b"unsent")
    wire.set_protocol(asyncio.Protocol())
    await stream.aclose()
    assert (wire.closing, wire.ended, wire.aborted) == (True, False, False)
    await asyncio.sleep(60)
    assert not wire.aborted, "its new owner ends it"
    assert wire.take() == b"unsent"
    protocol.connection_lost(None)
