"""`WebSocketProtocol` step by step: what it reads, keeps and writes, and when it tells its transport to pause."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_upgrade.websocket.flusher import Flusher
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import Phase, WebSocketProtocol
from tests.unit.line import (
    CLOSING,
    Line,
    Opening,
    advance,
    at_once,
    binary,
    compressed,
    disconnect,
    new_protocol,
    opened,
    received,
    soon,
    step_by_step,
    waiting,
)
from tests.unit.waiting import turns
from tests.unit.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, close, frame

# What each message costs, besides its bytes, of the share that a connection has of a turn.
MESSAGE_COST = 1024
JOIN_LIMIT = 128 * 1024


def text(number: int) -> bytes:
    return frame(TEXT, str(number).encode())


def texts(*numbers: int) -> bytes:
    return b"".join(map(text, numbers))


def in_two_reads(protocol: WebSocketProtocol, data: bytes) -> None:
    """Most messages come in one read, which has a way of its own. These do not take it."""
    protocol.data_received(data[:3])
    protocol.data_received(data[3:])


def phase(protocol: WebSocketProtocol) -> Phase:
    """A type checker does not know that calls change it."""
    return protocol.phase


async def taken(protocol: WebSocketProtocol, count: int) -> list[Any]:
    """What so many messages carry."""
    messages = [await soon(Messages(protocol).receive()) for _ in range(count)]
    assert all(message["type"] == "websocket.receive" and len(message) == 2 for message in messages), messages
    return [message["text"] if "text" in message else message["bytes"] for message in messages]


# A message that somebody waits for


@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
@pytest.mark.parametrize(("opcode", "data"), [(TEXT, "one"), (BINARY, b"one")])
def test_who_waits_is_given_the_message(read: Any, opcode: int, data: str | bytes) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        task = await waiting(protocol)
        read(protocol, frame(opcode, b"one"))
        await turns(3)
        assert task.done()
        assert task.result() == received(data)
        assert protocol.queue == []
        assert line.told == []

    test()


@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
def test_each_message_is_counted_once_with_its_bytes(read: Any) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        for number in range(1, 4):
            task = await waiting(protocol)
            read(protocol, text(number))
            await turns(3)
            assert task.done()
            assert protocol.messages_received == number
            assert protocol.bytes_received == number * len(text(1))
        assert protocol.counts is not None

    test()


@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
def test_without_counts_the_numbers_are_0(read: Any) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(counts=False)
        task = await waiting(protocol)
        read(protocol, text(1))
        await turns(3)
        assert task.done()
        protocol.data_received(texts(2, 3))
        for data in (b"4", bytes(200)):
            at_once(Messages(protocol).send(binary(data)))
            await asyncio.sleep(0)
        assert line.frames == [Frame(BINARY, b"4"), Frame(BINARY, bytes(200))]
        assert protocol.counts is None
        assert protocol.messages_received == protocol.bytes_received == 0
        assert protocol.messages_sent == protocol.bytes_sent == 0

    test()


@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
def test_what_the_client_sends_is_a_sign_of_life(read: Any) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        assert protocol.heard is False
        read(protocol, text(1))
        assert protocol.heard is True
        protocol.heard = False
        task = await waiting(protocol)
        assert task.done()
        task = await waiting(protocol)
        read(protocol, text(2))
        assert protocol.heard is True

    test()


def test_messages_are_given_in_order_to_those_who_wait() -> None:
    """Also where the second comes before the first has been taken."""

    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        tasks = [await waiting(protocol) for _ in range(3)]
        for number in range(3):
            protocol.data_received(text(number))
        await turns(3)
        assert [task.result()["text"] for task in tasks if task.done()] == ["0", "1", "2"]

    test()


@pytest.mark.parametrize("data", [frame(PING), frame(TEXT, b"a", fin=False), text(1)[:-1]], ids=["ping", "part", "cut"])
def test_who_waits_is_not_woken_without_a_message(data: bytes) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        task = await waiting(protocol)
        protocol.data_received(data)
        await turns(3)
        assert not task.done()
        assert protocol.queue == []
        assert protocol.messages_received == 0

    test()


@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
def test_a_message_for_somebody_who_was_cancelled_is_for_the_next(read: Any) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        tasks = [await waiting(protocol) for _ in range(3)]
        tasks[0].cancel()
        tasks[1].cancel()
        read(protocol, text(1))
        await turns(3)
        assert tasks[2].done()
        assert tasks[2].result() == received("1")
        assert protocol.messages_received == 1

    test()


@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
def test_what_comes_after_our_close_frame_is_not_given(read: Any) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        task = await waiting(protocol)
        at_once(Messages(protocol).send(CLOSING))
        read(protocol, text(1))
        await turns(3)
        assert not task.done()
        assert protocol.queue == []
        assert protocol.messages_received == 0
        assert protocol.bytes_received == len(text(1))
        protocol.data_received(close(1000))
        await turns(3)
        assert task.done()
        assert task.result() == disconnect(1000)

    test()


@pytest.mark.parametrize("somebody_waits", [False, True])
@pytest.mark.parametrize("read", [WebSocketProtocol.data_received, in_two_reads])
def test_a_message_keeps_an_idle_connection(read: Any, somebody_waits: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(idle_timeout=10.0)
        for number in range(4):
            task = await waiting(protocol) if somebody_waits else None
            await advance(7)
            read(protocol, text(number))
            await turns(3)
            assert task is None or task.done()
        assert phase(protocol) is Phase.OPEN
        await advance(9)
        assert phase(protocol) is Phase.OPEN
        assert line.written == []
        await advance(2)
        assert phase(protocol) is Phase.LEAVING
        assert line.frames == [Frame(CLOSE, b"\x03\xe9no message for 10 seconds")]

    test()


# Pongs


def test_a_pong_is_written_at_the_end_of_the_turn() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        for _ in range(2):
            protocol.data_received(frame(PING, b"a"))
            protocol.data_received(frame(PING, b"b"))
            assert line.written == []
            await asyncio.sleep(0)
            assert line.frames == [Frame(PONG, b"a"), Frame(PONG, b"b")]
            await turns()
            assert len(line.written) == 1
            line.written.clear()
        assert line.told == []
        assert phase(protocol) is Phase.OPEN

    test()


def test_the_pongs_of_a_turn_count_as_one_connection_that_writes() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        for _ in range(300):
            protocol.data_received(frame(PING))
        assert line.written == []
        assert not Flusher.of(asyncio.get_running_loop()).full
        await asyncio.sleep(0)
        assert len(line.written) == 1
        assert len(line.frames) == 300

    test()


@pytest.mark.parametrize(("size", "at_once"), [(9, False), (10, True), (11, True)])
def test_pongs_that_fill_the_buffer_are_written_at_once(size: int, at_once: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(write_buffer_size=12)
        protocol.data_received(frame(PING, bytes(size)))
        assert line.written == ([b"\x8a" + bytes([size]) + bytes(size)] if at_once else [])
        await asyncio.sleep(0)
        assert len(line.written) == 1

    test()


def test_a_client_that_pings_and_reads_nothing_is_not_read() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.pause_writing()
        protocol.data_received(texts(1))
        assert not protocol.reading_paused
        protocol.data_received(frame(PING))
        assert protocol.reading_paused is True
        assert line.told == ["pause_reading"]
        protocol.resume_writing()
        assert protocol.reading_paused is False
        assert line.told == ["pause_reading", "resume_reading"]
        await turns(3)
        assert line.frames == [Frame(PONG, b"")]

    test()


# Long frames


def test_a_long_frame_is_read_into_a_buffer_and_what_follows_as_before() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=1 << 30)
        data = bytes(range(250)) * 800
        for number in range(2):
            line.receive(frame(BINARY, data)[:1000])
            reader = line.get_protocol()
            assert reader is not protocol
            assert isinstance(reader, asyncio.BufferedProtocol)
            assert line.told == ["set_protocol"]
            protocol.heard = False
            line.receive(frame(BINARY, data)[1000:-1])
            assert protocol.heard is True
            assert protocol.queue == []
            # Another long one begins in the same read: the same reader goes on.
            line.receive(frame(BINARY, data)[-1:] + frame(BINARY, data[::-1])[:1000])
            assert line.get_protocol() is reader
            line.receive(frame(BINARY, data[::-1])[1000:])
            assert await taken(protocol, 2) == [data, data[::-1]]
            assert line.told == ["set_protocol"]
            line.receive(text(1))
            assert line.get_protocol() is protocol
            assert line.told == ["set_protocol"] * 2
            assert await taken(protocol, 1) == ["1"]
            line.told.clear()
            assert protocol.messages_received == 3 * number + 3
            assert protocol.bytes_received == (number + 1) * (2 * len(frame(BINARY, data)) + len(text(1)))

    test()


def test_a_long_frame_without_counts() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(counts=False)
        line.receive(frame(BINARY, bytes(200_000))[:100])
        line.receive(frame(BINARY, bytes(200_000))[100:])
        assert await taken(protocol, 1) == [bytes(200_000)]

    test()


def test_shorter_frames_are_read_as_usual() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(frame(BINARY, bytes(60_000))[:100])
        protocol.data_received(frame(BINARY, bytes(60_000))[100:] + texts(1, 2))
        assert line.get_protocol() is protocol
        assert line.told == []
        assert await taken(protocol, 3) == [bytes(60_000), "1", "2"]

    test()


# What comes after the end


@pytest.mark.parametrize("ended", [True, False])
def test_what_comes_after_the_end_is_ignored_up_to_a_limit(ended: bool) -> None:
    """A megabyte more than the longest message."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        if ended:
            protocol.data_received(close(1000))
            assert phase(protocol) is Phase.ANSWERING
        half = bytes(17 * 1024 * 1024 // 2)
        for part in (half, half, b"x"):
            assert line.told == []
            protocol.data_received(part if ended else frame(PING))
        assert line.told == (["pause_reading"] if ended else [])
        protocol.resume_writing()
        protocol.data_received(b"y" if ended else text(1))
        assert line.told == (["pause_reading"] if ended else [])

    test()


def test_who_still_sends_after_both_close_frames_is_cut_off() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(close(1000))
        assert await soon(Messages(protocol).receive()) == disconnect(1000)
        assert line.frames == [Frame(CLOSE, b"\x03\xe8")]
        assert line.told == ["write_eof"]
        protocol.data_received(bytes(17 * 1024 * 1024 + 1))
        assert "pause_reading" in line.told
        assert "abort" not in line.told
        await advance(2)
        assert "abort" in line.told

    test()


# The queue


def test_messages_that_nobody_waits_for_are_kept_in_order() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(texts(1, 2, 3))
        protocol.data_received(text(4))
        protocol.data_received(texts(5, 6))
        assert protocol.queue == ["6", "5", "4", "3", "2", "1"]
        assert protocol.messages_received == 6
        assert await taken(protocol, 6) == list("123456")
        assert line.told == []

    test()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_so_many_are_woken_as_there_are_messages(count: int) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        tasks = [await waiting(protocol) for _ in range(3)]
        protocol.data_received(texts(*range(count)) + frame(PING))
        await turns(3)
        assert [task.done() for task in tasks] == [number < count for number in range(3)]
        assert len(protocol.queue) == max(count - 3, 0)

    test()


@pytest.mark.parametrize("together", [False, True])
def test_the_number_of_messages_pauses_reading(together: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=5)
        protocol.data_received(texts(1, 2, 3, 4))
        assert protocol.reading_paused is False
        assert protocol.queue is protocol.ready
        protocol.data_received(texts(5, 6, 7) if together else text(5))
        assert protocol.reading_paused is True
        assert protocol.queue is not protocol.ready
        assert line.told == ["pause_reading"]
        protocol.data_received(text(8))
        assert line.told == ["pause_reading"]

    test()


@pytest.mark.parametrize(("size", "pauses"), [(49, False), (50, True)])
def test_the_size_of_messages_pauses_reading(size: int, pauses: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=100)
        protocol.data_received(frame(TEXT, b"x" * 50))
        assert line.told == []
        protocol.data_received(frame(TEXT, b"y" * size))
        assert protocol.reading_paused is pauses
        assert line.told == ["pause_reading"] * pauses

    test()


def test_what_is_no_message_takes_no_room_in_the_queue() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=100)
        for number in range(5):
            protocol.data_received(frame(PING, bytes(125)) + texts(number, number))
        assert line.told == []
        protocol.data_received(frame(TEXT, b"a" * 89) + frame(TEXT, b"b"))
        assert line.told == ["pause_reading"]

    test()


def test_what_has_come_before_of_a_message_takes_room_in_the_queue() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=1000)
        data = frame(TEXT, b"a" * 990)
        protocol.data_received(data[:-1])
        protocol.data_received(data[-1:] + texts(1))
        assert line.told == []
        protocol.data_received(frame(TEXT, b"123456789"))
        assert line.told == ["pause_reading"]

    test()


@pytest.mark.parametrize("limits", [{"max_queue": 1}, {"max_queue_size": 1}])
def test_what_somebody_waits_for_does_not_pause_reading(limits: dict[str, Any]) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(**limits)
        task = await waiting(protocol)
        in_two_reads(protocol, text(1))
        assert line.told == []
        await turns(3)
        assert task.done()
        tasks = [await waiting(protocol) for _ in range(2)]
        protocol.data_received(texts(2, 3))
        assert line.told == []
        await turns(3)
        assert all(task.done() for task in tasks)
        tasks = [await waiting(protocol) for _ in range(2)]
        protocol.data_received(texts(4, 5, 6))
        assert line.told == ["pause_reading"]

    test()


@pytest.mark.parametrize(("limit", "resumed_at"), [(2, 1), (5, 2), (6, 3), (1, 0)])
def test_reading_goes_on_when_half_of_the_messages_are_taken(limit: int, resumed_at: int) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=limit)
        for _ in range(2):
            protocol.data_received(texts(*range(limit)))
            assert line.told == ["pause_reading"]
            for left in reversed(range(limit)):
                assert await taken(protocol, 1) == [str(limit - left - 1)]
                resumed = left <= resumed_at
                assert line.told == ["pause_reading", "resume_reading"][: 1 + resumed]
                assert protocol.reading_paused is not resumed
                assert (protocol.queue is protocol.ready) is resumed
            line.told.clear()

    test()


@pytest.mark.parametrize(("limit", "resumed"), [(100, True), (99, False), (101, True), (102, True)])
def test_reading_goes_on_when_half_of_the_bytes_are_taken(limit: int, resumed: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=limit)
        protocol.data_received(frame(TEXT, b"x" * 52) + frame(TEXT, b"y" * 50))
        assert line.told == ["pause_reading"]
        await taken(protocol, 1)
        assert line.told == ["pause_reading", "resume_reading"][: 1 + resumed]
        await taken(protocol, 1)
        assert line.told == ["pause_reading", "resume_reading"]

    test()


def test_a_third_of_the_bytes_left_lets_reading_go_on() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=100)
        protocol.data_received(frame(TEXT, b"x" * 60) + frame(TEXT, b"y" * 40))
        await taken(protocol, 1)
        assert line.told == ["pause_reading", "resume_reading"]

    test()


def test_reading_does_not_go_on_while_the_client_takes_nothing() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=2)
        protocol.data_received(texts(1, 2))
        protocol.pause_writing()
        assert await taken(protocol, 2) == ["1", "2"]
        assert line.told == ["pause_reading"]
        protocol.heard = False
        protocol.resume_writing()
        assert protocol.heard is True
        assert line.told == ["pause_reading", "resume_reading"]

    test()


def test_a_transport_that_closes_is_not_told_to_read() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=2)
        protocol.data_received(texts(1, 2))
        line.close()
        assert await taken(protocol, 2) == ["1", "2"]
        assert line.told == ["pause_reading", "close"]

    test()


def test_a_transport_that_is_gone_is_not_told_to_pause() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=2)
        protocol.connection_lost(None)
        protocol.data_received(texts(1, 2, 3))
        assert line.told == []
        assert protocol.reading_paused is False
        assert await taken(protocol, 3) == ["1", "2", "3"]
        assert await soon(Messages(protocol).receive()) == disconnect(1006)

    test()


def test_a_full_queue_does_not_stop_us_from_reading_the_answer_to_our_close_frame() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=2)
        protocol.data_received(texts(1, 2, 3))
        at_once(Messages(protocol).send(CLOSING))
        assert phase(protocol) is Phase.CLOSING
        assert line.told == ["pause_reading", "resume_reading"]
        assert protocol.reading_paused is False
        protocol.data_received(texts(4, 5, 6))
        assert line.told == ["pause_reading", "resume_reading"]
        assert protocol.queue == ["3", "2", "1"]

    test()


# What is held: compressed messages that would be too long for the queue


def test_what_fills_the_queue_when_it_is_inflated_holds_the_rest() -> None:
    messages = [bytes([number]) * 100 for number in range(6)]

    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=150)
        protocol.data_received(b"".join(map(compressed, messages)))
        assert protocol.messages_received == 2
        assert line.told == ["pause_reading"]
        assert await taken(protocol, 6) == messages
        assert protocol.messages_received == 6
        await turns(3)
        assert line.told == ["pause_reading", "resume_reading"]
        protocol.data_received(text(1))
        assert await taken(protocol, 1) == ["1"]

    test()


def test_what_waits_already_counts_too() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(deflate=True, max_queue_size=150)
        protocol.data_received(frame(BINARY, bytes(60)))
        protocol.data_received(compressed(bytes(100)) + compressed(bytes(10)))
        assert protocol.messages_received == 2

    test()


def test_an_empty_queue_counts_nothing() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(deflate=True, max_queue_size=101)
        protocol.data_received(compressed(bytes(100)) + compressed(bytes(10)))
        assert protocol.messages_received == 2

    test()


def test_what_was_held_is_read_once_however_often_there_is_room() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=100)
        protocol.data_received(b"".join(compressed(bytes([number]) * 100) for number in range(3)))
        assert len(protocol.queue) == 1
        message = protocol.look(True)
        assert message == received(bytes(100))
        protocol.resume_writing()
        protocol.resume_writing()
        assert protocol.queue == []
        await asyncio.sleep(0)
        assert protocol.queue == [b"\1" * 100]
        await turns(3)
        assert protocol.queue == [b"\1" * 100]
        assert line.told == ["pause_reading"]

    test()


def test_what_is_read_before_goes_on_with_what_was_held() -> None:
    """And that the rest was to be read is no sign of life."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=100)
        protocol.data_received(compressed(bytes(100)) + compressed(b"1"))
        assert protocol.look(True) == received(bytes(100))
        assert protocol.queue == []
        protocol.data_received(text(2))
        assert protocol.queue == ["2", b"1"]
        protocol.heard = False
        await turns(3)
        assert protocol.heard is False
        assert await taken(protocol, 2) == [b"1", "2"]
        assert protocol.reading_paused is False
        assert line.told == ["pause_reading", "resume_reading"]

    test()


def test_reading_goes_on_although_no_message_was_held() -> None:
    """But a ping, of which the application does not know."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=100)
        protocol.data_received(compressed(bytes(100)) + frame(PING, b"!"))
        assert await taken(protocol, 1) == [bytes(100)]
        task = await waiting(protocol)
        await turns(3)
        assert line.frames == [Frame(PONG, b"!")]
        assert line.told == ["pause_reading", "resume_reading"]
        protocol.data_received(text(1))
        await turns(3)
        assert task.done()
        assert task.result() == received("1")

    test()


@pytest.mark.parametrize("tail", [b"", close(1001)])
def test_the_end_comes_behind_what_is_held(tail: bytes) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(deflate=True, max_queue_size=100)
        protocol.data_received(compressed(bytes(100)) * 2 + text(1) + tail)
        if not tail:
            protocol.eof_received()
        assert phase(protocol) is Phase.OPEN
        assert await taken(protocol, 3) == [bytes(100), bytes(100), "1"]
        assert phase(protocol) is Phase.ANSWERING
        assert await soon(Messages(protocol).receive()) == disconnect(1001 if tail else 1006)

    test()


# The handshake


def test_the_application_talks_to_the_handshake_first() -> None:
    @step_by_step
    async def test() -> None:
        opening, line = Opening(), Line()
        protocol = new_protocol(handshake=opening)
        messages = Messages(protocol)
        assert phase(protocol) is Phase.CONNECTING
        assert protocol.queue is not protocol.ready
        assert protocol.handshake is opening
        assert protocol.wait() is None
        assert at_once(messages.receive()) == {"type": "websocket.connect"}
        at_once(messages.send({"type": "websocket.accept"}))
        at_once(messages.send(binary(b"early")))
        assert opening.sent == [{"type": "websocket.accept"}, binary(b"early")]
        line.set_protocol(protocol)
        protocol.connection_made(line)
        at_once(messages.send(binary(b"1")))
        await asyncio.sleep(0)
        assert line.frames == [Frame(BINARY, b"1")]
        protocol.data_received(texts(1, 2))
        assert at_once(messages.receive()) == {"type": "websocket.connect"}
        assert protocol.queue is not protocol.ready
        protocol.handshake_ended()
        assert protocol.handshake is None
        assert protocol.queue is protocol.ready
        assert at_once(messages.receive()) == received("1")
        assert len(opening.sent) == 2

    test()


def test_a_queue_may_be_full_before_the_handshake_has_ended() -> None:
    @step_by_step
    async def test() -> None:
        line = Line()
        protocol, _ = opened(line, handshake=Opening(), max_queue=2)
        protocol.data_received(texts(1, 2))
        protocol.handshake_ended()
        assert protocol.queue is not protocol.ready
        assert await taken(protocol, 2) == ["1", "2"]
        assert protocol.queue is protocol.ready
        assert line.told == ["pause_reading", "resume_reading"]

    test()


def test_the_handshake_may_end_twice() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(handshake=Opening())
        ready = protocol.ready
        protocol.data_received(texts(1, 2))
        protocol.handshake_ended()
        protocol.handshake_ended()
        assert protocol.queue == ["2", "1"]
        assert protocol.queue is protocol.ready is ready

    test()


def test_reading_may_go_on_before_the_handshake_has_ended() -> None:
    @step_by_step
    async def test() -> None:
        line = Line()
        protocol, _ = opened(line, handshake=Opening())
        protocol.pause_writing()
        protocol.data_received(frame(PING))
        assert protocol.queue is not protocol.ready
        protocol.resume_writing()
        assert line.told == ["pause_reading", "resume_reading"]
        assert protocol.queue is not protocol.ready

    test()


# Taking messages


@pytest.mark.parametrize(("count", "waits"), [(31, False), (32, True), (33, False), (64, True), (63, False)])
def test_who_takes_from_a_full_queue_waits_for_a_turn_at_times(count: int, waits: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(max_queue=1)
        protocol.data_received(texts(*range(count)))
        if waits:
            assert protocol.look(False) is None
            assert len(protocol.queue) == count
            assert protocol.look(True) == received("0")
        else:
            assert protocol.look(False) == received("0")
        assert len(protocol.queue) == count - 1

    test()


def test_who_takes_waits_in_turn_until_there_is_a_message() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        first, second = protocol.wait(), protocol.wait()
        assert first is not None
        assert second is not None
        assert first is not second
        protocol.data_received(text(1))
        assert first.done()
        assert not second.done()
        assert protocol.look(False) == received("1")
        assert protocol.look(True) is None

    test()


def test_who_gives_up_waiting_leaves_the_message_to_the_next() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        first, second, third = protocol.wait(), protocol.wait(), protocol.wait()
        assert first is not None
        assert second is not None
        assert third is not None
        protocol.give_up_waiting(second)
        protocol.data_received(text(1))
        assert first.done()
        assert not third.done()
        protocol.give_up_waiting(first)
        assert third.done()
        assert not second.done()

    test()


def test_after_the_end_there_is_nothing_to_wait_for() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(text(1) + close(1001, b"leaving"))
        assert phase(protocol) is Phase.ANSWERING
        assert protocol.wait() is None
        assert protocol.look(False) == received("1")
        assert phase(protocol) is Phase.ANSWERING
        assert protocol.closed_with is None
        assert line.written == []
        assert protocol.wait() is None
        assert protocol.look(False) == disconnect(1001, "leaving")
        assert phase(protocol) is Phase.ENDED
        assert protocol.closed_with == 1001
        assert line.frames == [Frame(CLOSE, b"\x03\xe9")]
        assert protocol.wait() is None
        # Whoever asks again waits for a turn.
        assert protocol.look(False) is None
        assert protocol.look(True) == disconnect(1001, "leaving")
        assert protocol.look(False) is None

    test()


# Writing


def test_what_is_sent_in_a_turn_leaves_in_one_write() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        total = 0
        for count in (1, 2, 3, 1, 2):
            line.written.clear()
            for number in range(count):
                at_once(Messages(protocol).send(binary(bytes([number]))))
            assert line.written == []
            assert protocol.messages_sent == total // 3 + count
            assert protocol.bytes_sent == total
            total += 3 * count
            await asyncio.sleep(0)
            assert line.written == [b"".join(bytes([0x82, 1, number]) for number in range(count))]
            await turns(3)
            assert len(line.written) == 1
            assert protocol.messages_sent == total // 3
            assert protocol.bytes_sent == total

    test()


def test_what_is_not_a_message_does_not_count_as_one() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        at_once(Messages(protocol).send(binary(b"1")))
        at_once(Messages(protocol).send(binary(bytes(300))))
        protocol.data_received(frame(PING, b"!"))
        assert protocol.messages_sent == 2
        protocol.send_ping()
        assert protocol.messages_sent == 2
        assert line.frames == [Frame(BINARY, b"1"), Frame(BINARY, bytes(300)), Frame(PONG, b"!"), Frame(PING, b"")]
        assert len(line.written) == 1
        at_once(Messages(protocol).send(CLOSING))
        assert protocol.messages_sent == 2
        assert protocol.bytes_sent == sum(map(len, line.written)) == 3 + 304 + 3 + 2 + 4

    test()


def test_a_message_that_was_written_costs_nothing_in_the_next_turn() -> None:
    """One byte more would be a connection's share of a turn, which is written at once."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened(write_buffer_size=MESSAGE_COST + 6)
        for count in (1, 2, 3):
            at_once(Messages(protocol).send(binary(b"12345")))
            assert len(line.written) == count - 1
            await asyncio.sleep(0)
            assert len(line.written) == count
        at_once(Messages(protocol).send(binary(b"123456")))
        assert len(line.written) == 4

    test()


def test_nothing_is_written_when_the_transport_is_gone() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        at_once(Messages(protocol).send(binary(b"1")))
        protocol.connection_lost(None)
        await turns(3)
        assert line.written == []
        assert protocol.bytes_sent == 0

    test()


def test_nothing_is_written_where_there_is_nothing() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.flush()
        assert line.written == []

    test()


class OfUvloop(Line):
    """uvloop's transports write several pieces with one system call."""

    __module__ = "uvloop.loop"

    def writelines(self, list_of_data: Any) -> None:
        self.told.append("writelines")
        self.written.extend(map(bytes, list_of_data))


@pytest.mark.parametrize("kind", [Line, OfUvloop])
@pytest.mark.parametrize(
    ("short", "size", "joined"),
    [
        (0, JOIN_LIMIT - 10, True),
        (0, JOIN_LIMIT - 9, False),
        # They cost more than they have bytes.
        (50, JOIN_LIMIT - 10 - 150, True),
        (50, JOIN_LIMIT - 9 - 150, False),
        (1, 1000, True),
        (1, 1024 * 1024, False),
    ],
)
def test_long_pieces_are_not_copied_into_one(kind: type[Line], short: int, size: int, joined: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(kind(), write_buffer_size=1 << 30)
        payloads = [b"x"] * short + [bytes(size)]
        for count in (1, 2):
            line.written.clear()
            line.told.clear()
            for payload in payloads:
                at_once(Messages(protocol).send(binary(payload)))
            await turns(3)
            assert line.frames == [Frame(BINARY, payload) for payload in payloads]
            assert len(line.written) == (1 if joined else short + 2)
            assert line.told == ([] if joined or kind is Line else ["writelines"])
            assert protocol.messages_sent == count * len(payloads)
            assert protocol.bytes_sent == count * sum(map(len, line.written))

    test()


# A client that takes too little


def test_a_client_that_takes_nothing_is_waited_for() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        assert protocol.wait_to_write() is None
        protocol.pause_writing()
        first, second, third = (protocol.wait_to_write() for _ in range(3))
        assert first is not None
        assert second is not None
        assert third is not None
        protocol.waited_to_write(second)
        protocol.waited_to_write(second)
        third.cancel()
        assert not first.done()
        protocol.resume_writing()
        assert first.done()
        assert not second.done(), "nobody waits for it"
        protocol.waited_to_write(first)
        assert protocol.wait_to_write() is None
        protocol.pause_writing()
        fourth = protocol.wait_to_write()
        assert fourth is not None
        protocol.connection_lost(None)
        assert fourth.done()
        assert protocol.wait_to_write() is None
        assert line.written == []

    test()


def test_a_client_that_takes_nothing_is_not_waited_for_before_a_close() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.pause_writing()
        protocol.shutdown()
        assert protocol.wait_to_write() is None
        assert line.frames == [Frame(CLOSE, b"\x03\xf4")]

    test()


def test_a_message_in_parts_is_one() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        task = await waiting(protocol)
        protocol.data_received(frame(TEXT, b"a", fin=False))
        protocol.data_received(frame(CONTINUATION, b"b"))
        await turns(3)
        assert task.done()
        assert task.result() == received("ab")
        assert protocol.messages_received == 1

    test()
