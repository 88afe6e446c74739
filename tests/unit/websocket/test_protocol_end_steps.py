"""`WebSocketProtocol` step by step: who may send when, and how a connection ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.flusher import Flusher
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import Phase, WebSocketProtocol
from tests.unit.line import (
    CLOSING,
    Line,
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
    the_loop,
    waiting,
    waits,
)
from tests.unit.waiting import turns
from tests.unit.wire import BINARY, CLOSE, PING, TEXT, Frame, close, frame


def phase(protocol: WebSocketProtocol) -> Phase:
    """A type checker does not know that calls change it."""
    return protocol.phase


def closed(code: int, reason: bytes = b"") -> Frame:
    """A close frame of ours."""
    return Frame(CLOSE, code.to_bytes(2, "big") + reason)


class Other:
    """Another connection of the same loop."""

    def flush(self) -> None:
        """It has nothing to write."""


# Sending


def test_before_there_is_a_transport_a_message_waits() -> None:
    @step_by_step
    async def test() -> None:
        protocol = new_protocol()
        assert protocol.put(binary(b"1")) is False
        assert protocol.wait_to_write() is not None

    test()


def test_an_open_connection_sends_at_once() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(write_buffer_size=5000)
        assert line.limit == 5000
        assert protocol.put(binary(b"1")) is True
        assert protocol.put({"type": "websocket.send", "text": "gr\u00fcn"}) is True
        assert protocol.put({"type": "websocket.send", "bytes": None, "text": "2"}) is True
        assert protocol.put(CLOSING) is False
        await asyncio.sleep(0)
        assert line.frames == [Frame(BINARY, b"1"), Frame(TEXT, "gr\u00fcn".encode()), Frame(TEXT, b"2")]

    test()


def test_a_connection_that_has_had_its_share_waits_for_the_next_turn() -> None:
    @step_by_step
    async def test() -> None:
        Flusher.of(the_loop()).add(Other())
        await asyncio.sleep(0)
        assert Flusher.of(the_loop()).turn == 1
        protocol, line = opened(write_buffer_size=2048)
        assert protocol.must_wait_a_turn() is False
        assert protocol.put(binary(bytes(1023))) is True
        assert line.written == []
        assert protocol.must_wait_a_turn() is False
        assert protocol.put(binary(b"2")) is True
        assert len(line.frames) == 2
        assert protocol.must_wait_a_turn() is True
        assert protocol.put(binary(b"3")) is False
        protocol.put_after_waiting(binary(b"4"))
        assert protocol.put(binary(b"5")) is False, "it is the same turn"
        await asyncio.sleep(0)
        assert protocol.must_wait_a_turn() is False
        protocol.put_after_waiting(binary(b"6"))
        assert protocol.put(binary(b"7")) is True
        await asyncio.sleep(0)
        assert [each.payload for each in line.frames[1:]] == [b"2", b"4", b"6", b"7"]

    test()


def test_when_all_together_have_had_their_share_who_sends_again_waits() -> None:
    @step_by_step
    async def test() -> None:
        flusher = Flusher.of(the_loop())
        for _ in range(200):
            flusher.add(Other())
        assert flusher.full
        protocol, line = opened()
        assert protocol.put(binary(b"1")) is False
        assert protocol.must_wait_a_turn() is False
        assert protocol.must_wait_a_turn() is True
        protocol.put_after_waiting(binary(b"2"))
        assert protocol.put(binary(b"3")) is True, "it is going to write anyway"
        await turns(3)
        assert line.frames == [Frame(BINARY, b"2"), Frame(BINARY, b"3")]
        assert protocol.must_wait_a_turn() is False

    test()


def test_the_messages_of_a_turn_count_as_one_connection_that_writes() -> None:
    @step_by_step
    async def test() -> None:
        pairs = [opened() for _ in range(4)]
        for protocol, _ in pairs:
            for _ in range(50):
                assert protocol.put(binary(b"1"))
        assert not Flusher.of(the_loop()).full
        assert [line.written for _, line in pairs] == [[]] * 4
        await asyncio.sleep(0)
        assert [len(line.written) for _, line in pairs] == [1] * 4

    test()


def test_messages_that_are_sent_keep_an_idle_connection() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(idle_timeout=10.0)
        for _ in range(3):
            await advance(7)
            assert protocol.put(binary(b"1"))
        await advance(9)
        assert phase(protocol) is Phase.OPEN
        await advance(2)
        assert phase(protocol) is Phase.LEAVING
        assert line.frames[3:] == [closed(1001, b"no message for 10 seconds")]
        assert protocol.closed_with == 1001

    test()


@pytest.mark.parametrize("kind", ["message", "close"])
def test_nothing_is_sent_after_a_close_of_ours(kind: str) -> None:
    message = binary(b"1") if kind == "message" else CLOSING

    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        at_once(Messages(protocol).send({"type": "websocket.close", "code": 4000, "reason": "enough"}))
        with pytest.raises(RuntimeError, match=f"^Unexpected ASGI message '{message['type']}', after sending"):
            at_once(Messages(protocol).send(message))
        assert line.frames == [closed(4000, b"enough")]

    test()


@pytest.mark.parametrize("message", [{"type": "websocket.close"}, {"type": "websocket.close", "reason": None}])
def test_a_close_is_a_normal_closure_by_default(message: dict[str, Any]) -> None:
    @step_by_step
    async def test() -> None:
        _, line = pair = opened()
        at_once(Messages(pair[0]).send(message))
        assert line.frames == [closed(1000)]

    test()


def test_a_code_that_may_not_be_sent_changes_nothing() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        with pytest.raises(ValueError, match="1006"):
            protocol.close(1006)
        assert phase(protocol) is Phase.OPEN
        assert protocol.put(binary(b"1")) is True
        at_once(Messages(protocol).send(CLOSING))
        assert line.frames == [Frame(BINARY, b"1"), closed(1000)]

    test()


def test_a_message_of_an_unknown_type_is_refused() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        expected = "^Expected ASGI message 'websocket.send' or 'websocket.close', but got 'websocket.accept'.$"
        with pytest.raises(RuntimeError, match=expected):
            at_once(Messages(protocol).send({"type": "websocket.accept"}))
        assert line.written == []

    test()


def test_who_sends_after_the_end_is_told_of_it() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        protocol.data_received(close(1001, b"bye"))
        at_once(Messages(protocol).send(binary(b"answer")))
        assert at_once(Messages(protocol).receive()) == disconnect(1001, "bye")
        for message in (binary(b"1"), CLOSING, CLOSING):
            if message is CLOSING:
                at_once(Messages(protocol).send(message))  # nothing to do
                continue
            with pytest.raises(ClientDisconnected) as caught:
                at_once(Messages(protocol).send(message))
            assert (caught.value.code, caught.value.reason) == (1001, "bye")

    test()


def test_who_sends_while_the_transport_closes_is_told_of_the_loss() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.pause_writing()
        line.close()
        protocol.resume_writing()
        with pytest.raises(ClientDisconnected) as caught:
            at_once(Messages(protocol).send(binary(b"1")))
        assert (caught.value.code, caught.value.reason) == (1006, "")
        await turns(3)
        assert line.written == []

    test()


# Waiting


def test_a_message_wakes_one_who_waits() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        first, second, third = protocol.wait(), protocol.wait(), protocol.wait()
        assert first is not None
        assert second is not None
        assert third is not None
        protocol.data_received(frame(TEXT, b"1")[:2])
        protocol.data_received(frame(TEXT, b"1")[2:])
        assert (first.done(), second.done(), third.done()) == (True, False, False)
        protocol.give_up_waiting(first)
        assert (second.done(), third.done()) == (True, False)

    test()


def test_who_was_cancelled_before_the_message_passes_nothing_on() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        first, second, third = protocol.wait(), protocol.wait(), protocol.wait()
        assert first is not None
        assert second is not None
        assert third is not None
        first.cancel()
        protocol.data_received(frame(TEXT, b"1"))
        assert (second.done(), third.done()) == (True, False)
        protocol.give_up_waiting(first)
        assert not third.done()

    test()


def test_who_was_woken_for_what_has_been_taken_passes_nothing_on() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        first, second = protocol.wait(), protocol.wait()
        assert first is not None
        assert second is not None
        protocol.data_received(frame(TEXT, b"1"))
        assert protocol.look(False) == received("1")
        protocol.give_up_waiting(first)
        assert not second.done()

    test()


def test_what_somebody_waits_for_may_hold_the_rest() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=100)
        task = await waiting(protocol)
        protocol.data_received(compressed(bytes(100)) * 3)
        assert line.told == ["pause_reading"]
        await turns(3)
        assert task.done()
        for _ in range(2):
            assert await soon(Messages(protocol).receive()) == received(bytes(100))
        assert line.told == ["pause_reading", "resume_reading"]

    test()


def test_what_is_held_is_read_after_a_close_of_ours() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=100)
        protocol.close(1000)
        protocol.data_received(compressed(bytes(100)) * 5 + close(1000))
        await turns(10)
        assert phase(protocol) is Phase.ENDED
        assert protocol.messages_received == 0
        assert line.frames == [closed(1000)]

    test()


# The end of the input


def test_a_close_frame_that_is_read_behind_the_loss_ends_nothing_more() -> None:
    """It was held, and there was room for it just before the connection was lost."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=100)
        protocol.data_received(compressed(bytes(100)) * 2 + close(1000))
        assert at_once(Messages(protocol).receive()) == received(bytes(100))
        protocol.connection_lost(None)
        await turns(5)
        assert phase(protocol) is Phase.LOST
        assert protocol.closed_with == 1006
        assert line.written == []

    test()


def test_the_end_of_the_client_leaves_time_for_answers() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(frame(TEXT, b"1"))
        assert protocol.eof_received() is True
        assert phase(protocol) is Phase.ANSWERING
        at_once(Messages(protocol).send(binary(b"answer")))
        await advance(0.9)
        assert phase(protocol) is Phase.ANSWERING
        await advance(0.2)
        assert phase(protocol) is Phase.ENDED
        assert line.frames == [Frame(BINARY, b"answer")], "nobody is there for a close frame"
        assert line.told == ["close"]
        assert at_once(Messages(protocol).receive()) == received("1")
        assert at_once(Messages(protocol).receive()) == disconnect(1006)

    test()


def test_over_tls_nothing_can_be_answered() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(Line(sslcontext=object()))
        assert protocol.eof_received() is False

    test()


def test_the_end_of_the_client_after_a_close() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.close(1000)
        assert protocol.eof_received() is False
        assert phase(protocol) is Phase.ENDED
        assert line.frames == [closed(1000)]
        assert "close" in line.told
        assert "write_eof" not in line.told

    test()


def test_who_waits_is_told_of_the_end_at_once() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        tasks = [await waiting(protocol) for _ in range(2)]
        tasks[0].cancel()
        protocol.data_received(close(1001, b"bye"))
        assert phase(protocol) is Phase.ENDED
        assert line.frames == [closed(1001)]
        assert line.told == ["write_eof"]
        await turns(3)
        assert tasks[1].done()
        assert tasks[1].result() == disconnect(1001, "bye")
        await advance(1.1)
        assert line.told == ["write_eof", "close"]

    test()


def test_a_broken_rule_is_told() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        task = await waiting(protocol)
        protocol.data_received(frame(TEXT, b"x", rsv=0x40))
        await turns(3)
        assert task.result() == disconnect(1002, "reserved bit set")
        assert line.frames == [closed(1002, b"reserved bit set")]
        assert line.told == []
        await advance(0.1)
        assert line.told == ["write_eof"]
        await advance(9)
        assert line.told == ["write_eof"]
        await advance(2)
        assert line.told == ["write_eof", "abort"]

    test()


def test_a_transport_that_cannot_end_one_direction_is_closed() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(Line(ends_one_way=False))
        await waiting(protocol)
        protocol.data_received(close(1000))
        assert line.frames == [closed(1000)]
        assert line.told == ["close"]

    test()


def test_a_transport_that_was_closed_is_cut_off_in_time() -> None:
    """It is closed once, and has `close_timeout` for what it still has to write."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.close(1000)
        protocol.eof_received()
        told = list(line.told)
        await advance(9.9)
        assert line.told == told
        await advance(0.2)
        assert line.told == [*told, "abort"]

    test()


def test_the_end_of_a_client_that_was_not_read_is_waited_for() -> None:
    """It has pinged without reading, so we had stopped to read. Its end of TCP would not be seen so."""

    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        task = await waiting(protocol)
        protocol.pause_writing()
        protocol.data_received(frame(PING) + close(1000))
        assert line.told == ["pause_reading", "resume_reading", "write_eof"]
        await turns(3)
        assert task.result() == disconnect(1000)

    test()


# Our end


def test_a_close_waits_for_the_client() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(ping_interval=20.0, idle_timeout=5.0)
        assert protocol.closing() is None
        protocol.close(4000, "enough")
        protocol.close(4001)
        assert phase(protocol) is Phase.CLOSING
        assert line.frames == [closed(4000, b"enough")]
        closing = protocol.closing()
        assert closing is not None
        assert closing is protocol.closed()
        assert protocol.closed_with is None
        await advance(9)
        assert line.told == []
        assert not closing.done()
        protocol.data_received(close(4002, b"too"))
        assert phase(protocol) is Phase.ENDED
        assert protocol.closed_with == 4002
        assert at_once(Messages(protocol).receive()) == disconnect(4002, "too")
        assert line.frames == [closed(4000, b"enough")]
        protocol.connection_lost(None)
        assert closing.done()
        assert phase(protocol) is Phase.LOST
        assert protocol.closing() is None
        assert protocol.closed() is None
        assert protocol.closed_with == 4002
        told = list(line.told)
        await advance(100)
        assert line.told == told

    test()


@pytest.mark.parametrize("reads", [False, True])
def test_a_client_that_does_not_answer_a_close_is_cut_off(reads: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        line.unsent = 100
        protocol.close(1000)
        line.unsent -= reads
        await advance(11)
        assert line.told == ([] if reads else ["abort"])
        await advance(11)
        assert line.told == ["abort"]

    test()


def test_a_close_of_ours_after_the_client_ended() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(close(1001))
        protocol.close(4000)
        assert phase(protocol) is Phase.ENDED
        assert line.frames == [closed(4000)]
        assert protocol.closed_with == 1001
        assert line.told == ["write_eof"]

    test()


def test_the_server_stops() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        task = await waiting(protocol)
        protocol.shutdown()
        assert phase(protocol) is Phase.LEAVING
        assert line.frames == [closed(1012)]
        await turns(3)
        assert task.result() == disconnect(1012)
        with pytest.raises(ClientDisconnected):
            at_once(Messages(protocol).send(binary(b"1")))
        protocol.shutdown()
        line.unsent = 100
        await advance(0.9)
        assert line.told == []
        await advance(0.2)
        assert line.told == ["abort"]
        assert line.frames == [closed(1012)]

    test()


def test_a_client_that_leaves_while_the_server_stops_does_not_change_the_code() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.shutdown()
        protocol.data_received(close(1000))
        assert phase(protocol) is Phase.ENDED
        assert protocol.closed_with == 1012
        assert line.frames == [closed(1012)]

    test()


def test_the_server_stops_while_the_application_answers() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(close(1001))
        protocol.shutdown()
        assert phase(protocol) is Phase.ENDED
        assert line.frames == [closed(1001)]

    test()


def test_cut_ends_all_at_once() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.cut()
        assert line.told == ["abort"]
        protocol.connection_lost(None)
        protocol.cut()
        assert line.told == ["abort"]

    test()


# The loss


def test_the_loss_is_told_with_the_code_of_the_client() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.data_received(frame(TEXT, b"1") + close(1001, b"bye"))
        protocol.connection_lost(None)
        assert phase(protocol) is Phase.LOST
        assert protocol.closed_with == 1001
        assert at_once(Messages(protocol).receive()) == received("1")
        assert at_once(Messages(protocol).receive()) == disconnect(1001, "bye")
        await advance(20)
        assert phase(protocol) is Phase.LOST
        assert line.told == []
        assert line.written == []

    test()


def test_nothing_watches_over_what_is_gone() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(ping_interval=20.0, ping_timeout=20.0, idle_timeout=30.0)
        end = protocol.closed()
        assert end is not None
        end.cancel()
        protocol.connection_lost(None)
        for _ in range(10):
            await advance(20)
        assert phase(protocol) is Phase.LOST
        assert protocol.closed_with == 1006
        assert line.written == []
        assert line.told == []

    test()


def test_the_loss_wakes_all() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        protocol.pause_writing()
        end = protocol.closed()
        receiver, drainer = protocol.wait(), protocol.wait_to_write()
        assert end is not None
        assert receiver is not None
        assert drainer is not None
        protocol.connection_lost(None)
        assert end.done()
        assert receiver.done()
        assert drainer.done()
        assert protocol.closed() is None

    test()


# Pings


def test_a_silent_client_is_pinged_and_given_up() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(ping_interval=20.0, ping_timeout=40.0)
        task = await waiting(protocol)
        await advance(19)
        assert line.written == []
        await advance(1.1)
        assert line.frames == [Frame(PING, b"")]
        pinged = the_loop().now
        while phase(protocol) is Phase.OPEN and the_loop().now < pinged + 60:
            await advance(0.125)
        assert 39 < the_loop().now - pinged < 50
        assert phase(protocol) is Phase.ENDED
        assert line.frames == [Frame(PING, b""), closed(1011, b"keepalive ping timeout")]
        assert task.result() == disconnect(1011, "keepalive ping timeout")
        # RFC 6455 §7.1.7: nothing of what still comes is processed.
        protocol.data_received(frame(TEXT, b"late") + frame(PING))
        assert protocol.queue == []
        await turns(3)
        assert len(line.frames) == 2

    test()


def test_a_client_that_answers_is_pinged_again() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(ping_interval=20.0, ping_timeout=20.0)
        for count in range(1, 5):
            for _ in range(21):
                await advance(1)
            protocol.data_received(frame(0xA))
            assert len(line.frames) == count
        assert phase(protocol) is Phase.OPEN

    test()


def test_a_message_waits_for_the_client_again_after_it_was_slow() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.pause_writing()
        assert waits(Messages(protocol).send(binary(b"1")))
        protocol.resume_writing()
        at_once(Messages(protocol).send(binary(b"2")))
        assert protocol.put(binary(b"3")) is True
        protocol.pause_writing()
        assert protocol.put(binary(b"4")) is False
        await turns(3)
        assert line.frames == [Frame(BINARY, b"2"), Frame(BINARY, b"3")]

    test()


def test_who_has_closed_and_sends_is_told_so_after_the_answer_too() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        protocol.close(1000)
        protocol.data_received(close(1000))
        with pytest.raises(RuntimeError, match="after sending"):
            at_once(Messages(protocol).send(binary(b"1")))

    test()


@pytest.mark.parametrize("somebody_waits", [False, True])
def test_nothing_watches_over_what_has_ended(somebody_waits: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(ping_interval=20.0, idle_timeout=20.0, answer_timeout=100.0)
        if somebody_waits:
            await waiting(protocol)
        protocol.data_received(close(1001))
        await advance(25)
        await advance(25)
        assert line.frames == ([closed(1001)] if somebody_waits else [])
        assert phase(protocol) is (Phase.ENDED if somebody_waits else Phase.ANSWERING)

    test()
