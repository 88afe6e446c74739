"""How a connection ends: by the client, by a broken rule, because the server stops, or by force."""

from __future__ import annotations

import asyncio
import gc
import weakref

import h2.events
import pytest

from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import (
    ACK,
    DATA,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    RST_STREAM,
    ErrorCodes,
    Pair,
    body,
    frame,
    frames,
    joined,
    start,
    stays,
)

LAST = 2**31 - 1
BROKEN = frame(DATA, 0, 0, b"x")


def goaways(pair: Pair) -> list[tuple[int, int]]:
    """Last stream and code of each GOAWAY that was written, whether it could be read or not."""
    payloads = [each[3] for each in frames(b"".join(pair.wire.writes)) if each[0] == GOAWAY]
    return [(int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")) for payload in payloads]


# By force


@timeless
async def test_a_request_that_is_cancelled_before_it_has_begun_is_forgotten() -> None:
    """Nothing of the application has run; the connection must not wait for it for ever."""
    pair = Pair()
    pair.switch()
    closed = asyncio.ensure_future(pair.protocol.wait_closed())
    pair.protocol.abort()
    await asyncio.wait_for(closed, 1)
    assert not pair.calls
    assert not pair.server.tasks


@timeless
async def test_a_request_that_the_server_cancels_before_it_has_begun_is_reset() -> None:
    async with joined() as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        pair.flush()
        [task] = pair.server.tasks
        task.cancel()
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.INTERNAL_ERROR
        assert not pair.server.tasks
        pair.ask()
        await pair.called()


@timeless
async def test_a_request_that_is_cancelled_behind_its_response_is_not_reset() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.respond()
        await pair.settle()
        assert pair.answers[stream_id].ended
        pair.ask()
        await pair.called()
        call.end.cancel()
        await pair.settle()
        assert pair.answers[stream_id].reset is None
        pair.ask()
        await pair.called()


@timeless
async def test_abort_ends_everything() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        pair.protocol.abort()
        await pair.settle()
        assert pair.wire.aborted
        assert call.end.cancelled()


@timeless
async def test_a_cancelled_wait_aborts() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        waiting = asyncio.ensure_future(pair.protocol.wait_closed())
        await pair.settle()
        waiting.cancel()
        await pair.settle()
        assert waiting.cancelled()
        assert pair.wire.aborted
        assert call.end.cancelled()


@timeless
async def test_the_wait_is_over_when_the_requests_are() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        waiting = asyncio.ensure_future(pair.protocol.wait_closed())
        pair.wire.reset()
        assert await stays(waiting)
        assert await call.receive() == {"type": "http.disconnect"}
        call.done()
        await waiting


@timeless
async def test_abort_of_what_is_gone() -> None:
    async with joined() as pair:
        pair.wire.reset()
        await pair.settle()
        pair.protocol.abort()
        assert not pair.wire.aborted


# By the client


@pytest.mark.parametrize("how", ["reset", "end"])
@timeless
async def test_a_client_that_leaves_is_a_disconnect_for_all_requests(how: str) -> None:
    async with joined() as pair:
        pair.ask(method=b"POST", end=False)
        pair.ask()
        calls = [await pair.called(), await pair.called()]
        receiving = [asyncio.ensure_future(call.receive()) for call in calls]
        pair.wire.reset() if how == "reset" else pair.wire.end()
        await pair.settle()
        assert [each.result()["type"] for each in receiving] == ["http.disconnect", "http.request"]
        for call in calls:
            assert await call.receive() == {"type": "http.disconnect"}
            await call.respond(200, b"nobody takes it")
            call.done()
        await pair.settle()
        assert not goaways(pair)


@timeless
async def test_a_sender_wakes_when_the_client_has_gone() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        pair.grants = False
        sending = asyncio.ensure_future(call.respond(200, bytes(100_000)))
        await pair.settle()
        assert not sending.done()
        pair.wire.reset()
        await pair.settle()
        assert sending.done()


@timeless
async def test_a_client_may_announce_that_it_opens_no_more_streams() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.send_raw(frame(GOAWAY, 0, 0, bytes(8)))
        await pair.settle()
        assert not pair.wire.ended
        refused = pair.ask()
        await pair.settle()
        assert pair.answers[refused].reset == ErrorCodes.REFUSED_STREAM
        await call.respond(200, b"x")
        call.done()
        await pair.settle()
        assert pair.answers[stream_id].ended
        assert pair.goaways == [(stream_id, ErrorCodes.NO_ERROR)]
        assert pair.wire.ended


@timeless
async def test_an_announcement_without_streams_ends_the_connection() -> None:
    async with joined() as pair:
        pair.send_raw(frame(GOAWAY, 0, 0, bytes(8)))
        await pair.settle()
        assert pair.goaways == [(1, ErrorCodes.NO_ERROR)]
        assert pair.wire.ended


@timeless
async def test_a_client_that_finds_fault_ends_everything() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        pair.flush()
        pair.ask()  # of which it says in the same segment that it takes no answer
        pair.wire.deliver(pair.client.data_to_send() + frame(GOAWAY, 0, 0, bytes(4) + (2).to_bytes(4, "big")))
        await pair.settle()
        assert pair.wire.ended
        assert goaways(pair) == [(3, ErrorCodes.NO_ERROR)]
        assert len(pair.calls) == 2
        await call.receive()
        assert await call.receive() == {"type": "http.disconnect"}


# By a broken rule


@timeless
async def test_a_broken_rule_ends_the_connection_with_a_reason() -> None:
    async with joined() as pair:
        pair.ask(method=b"POST", end=False)
        call = await pair.called()
        receiving = asyncio.ensure_future(call.receive())
        pair.send_raw(BROKEN)
        await pair.settle()
        assert goaways(pair) == [(3, ErrorCodes.PROTOCOL_ERROR)]
        assert receiving.result() == {"type": "http.disconnect"}
        assert pair.wire.ended
        assert not pair.wire.closing  # the client's end is waited for, a moment


@timeless
async def test_a_header_block_that_h2_cannot_read_ends_the_connection() -> None:
    async with joined() as pair:
        pair.send_raw(frame(1, 5, 3, b"\x80"))
        await pair.settle()
        [(_, code)] = goaways(pair)
        assert code in (ErrorCodes.PROTOCOL_ERROR, ErrorCodes.COMPRESSION_ERROR)


@timeless
async def test_an_exception_within_h2_ends_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with joined() as pair:

        def fail(data: bytes) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(pair.protocol.engine, "receive_data", fail)
        pair.wire.deliver(b"x")
        await pair.settle()
        assert goaways(pair) == [(1, ErrorCodes.PROTOCOL_ERROR)]


@timeless
async def test_what_was_answered_before_a_broken_rule_is_sent() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.respond(200, b"x")
        pair.wire.deliver(BROKEN)
        await pair.settle()
        assert pair.answers[stream_id].body == b"x"


@timeless
async def test_nothing_is_read_any_more_behind_the_end() -> None:
    """The client may send what is on its way, and no more: 16 MiB."""
    async with joined() as pair:
        pair.send_raw(BROKEN)
        await pair.settle()
        piece = bytes(2**20)
        for _ in range(16):
            pair.wire.deliver(piece)
            assert pair.wire.reading
        pair.wire.deliver(b"x")
        assert not pair.wire.reading
        assert len(goaways(pair)) == 1


@timeless
async def test_the_end_comes_in_a_bounded_time() -> None:
    """A second for the client's own end; then `close_timeout` for what it has not taken."""
    async with joined(close_timeout=3) as pair:
        began = pair.loop.time()
        pair.taking = False
        pair.send_raw(BROKEN)
        await asyncio.sleep(0.99)
        assert not pair.wire.closing
        await asyncio.sleep(0.02)
        assert pair.wire.closing
        assert not pair.wire.aborted
        await asyncio.sleep(2.98)
        assert not pair.wire.aborted
        await asyncio.sleep(0.02)
        assert pair.wire.aborted
        assert pair.loop.time() - began < 4.1


@timeless
async def test_a_short_close_timeout_holds_for_the_clients_end_too() -> None:
    async with joined(close_timeout=0.25) as pair:
        pair.send_raw(BROKEN)
        await asyncio.sleep(0.24)
        assert not pair.wire.closing
        await asyncio.sleep(0.02)
        assert pair.wire.closing


@timeless
async def test_a_client_that_ends_too_is_let_go_at_once() -> None:
    async with joined() as pair:
        pair.send_raw(BROKEN)
        await pair.settle()
        pair.wire.end()
        await pair.settle()
        assert pair.wire.lost


@timeless
async def test_a_transport_that_cannot_end_in_one_direction_is_closed_at_once() -> None:
    async with joined() as pair:
        pair.wire.can_end = False
        pair.send_raw(BROKEN)
        assert pair.wire.closing
        await pair.settle()
        assert goaways(pair) == [(1, ErrorCodes.PROTOCOL_ERROR)]


async def _ping_and_take_nothing(pair: Pair, pings: int) -> None:
    """The client has so many pings answered, and takes none of the answers."""
    pair.taking = False
    pair.wire.deliver(frame(PING, 0, 0, bytes(8)) * pings)
    await asyncio.sleep(0)


@timeless
async def test_a_reader_that_was_paused_reads_on_to_the_end() -> None:
    """Else the client's end would never be seen."""
    async with joined(write_buffer_size=100, idle_timeout=5) as pair:
        await _ping_and_take_nothing(pair, 50)
        pair.wire.deliver(frame(PING, 0, 0, bytes(8)))
        assert not pair.wire.reading
        await asyncio.sleep(5.1)
        assert pair.wire.ended
        assert pair.wire.reading


@timeless
async def test_a_reader_that_takes_a_little_late_is_read_on() -> None:
    """Nine answers are more than the buffer, and less than twice as much."""
    async with joined(write_buffer_size=100) as pair:
        await _ping_and_take_nothing(pair, 9)
        pair.wire.deliver(frame(PING, 0, 0, bytes(8)))
        assert pair.wire.paused
        assert pair.wire.reading


@timeless
async def test_a_broken_rule_of_a_client_that_takes_nothing_does_not_hide_its_end() -> None:
    async with joined(write_buffer_size=100) as pair:
        await _ping_and_take_nothing(pair, 50)
        pair.wire.deliver(BROKEN)
        assert pair.wire.paused
        assert pair.wire.reading


@timeless
async def test_a_client_that_sends_too_much_behind_the_end_is_not_read_again_when_it_takes_the_end() -> None:
    async with joined(write_buffer_size=100) as pair:
        pair.taking = False
        pair.wire.deliver(frame(PING, 0, 0, bytes(8)) * 9 + BROKEN)
        assert pair.wire.paused
        for _ in range(17):
            pair.wire.deliver(bytes(1024 * 1024))
        assert not pair.wire.reading
        pair.wire.take()
        assert not pair.wire.paused
        assert not pair.wire.reading


@pytest.mark.parametrize("pings", [0, 1])
@timeless
async def test_what_the_last_frame_has_prepared_is_not_written_behind_the_end(pings: int) -> None:
    """Each second frame of padding is answered with a window. With a ping more, the last one is another of the two."""
    async with joined(read_buffer_size=1000, max_concurrent_streams=200) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        await pair.called()
        pair.send_raw(frame(PING, 0, 0, bytes(8)) * pings)
        while not pair.wire.ended:
            pair.wire.deliver(frame(DATA, PADDED, stream_id, b"\xff" + bytes(255)))
        written = len(pair.wire.writes)
        await pair.settle()
        assert len(pair.wire.writes) == written
        assert goaways(pair) == [(stream_id, ErrorCodes.ENHANCE_YOUR_CALM)]


@timeless
async def test_nothing_is_aborted_that_is_gone() -> None:
    async with joined(close_timeout=5) as pair:
        pair.taking = False
        pair.send_raw(BROKEN)
        await asyncio.sleep(2)
        assert pair.wire.closing
        pair.protocol.shutdown()
        pair.wire.take()
        await asyncio.sleep(60)
        assert pair.wire.lost
        assert not pair.wire.aborted


@timeless
async def test_nothing_keeps_a_connection_that_is_gone() -> None:
    async with joined() as pair:
        gone = weakref.ref(pair.protocol)
        pair.wire.reset()
        await pair.settle()
    del pair
    await asyncio.sleep(0)
    gc.collect()
    assert gone() is None


@timeless
async def test_the_time_without_a_request_begins_with_the_end_of_the_last_one() -> None:
    async with joined(idle_timeout=60, ping_interval=None) as pair:
        await pair.pass_time(50)
        one, other = pair.ask(), pair.ask()
        first, second = await pair.called(), await pair.called()
        await first.respond()
        first.done()
        await pair.pass_time(20)
        await second.respond()
        second.done()
        await pair.pass_time(50)
        assert pair.answers[one].ended
        assert pair.answers[other].ended
        assert not pair.wire.ended
        await pair.pass_time(15)
        assert pair.wire.ended


# Because the server stops


@timeless
async def test_an_idle_connection_ends_when_the_server_stops() -> None:
    async with joined() as pair:
        pair.protocol.shutdown()
        assert pair.protocol.stopping or pair.wire.ended
        await pair.settle()
        assert pair.goaways == [(1, ErrorCodes.NO_ERROR)]
        assert pair.wire.ended


@pytest.mark.parametrize("ended", ["by the stop", "before the stop", "long before the stop"])
@timeless
async def test_a_client_that_takes_nothing_does_not_hold_up_the_stop(ended: str) -> None:
    async with joined(close_timeout=30) as pair:
        pair.taking = False
        if ended != "by the stop":
            pair.send_raw(BROKEN)
        if ended == "long before the stop":
            await asyncio.sleep(5)
            assert pair.wire.closing
        pair.protocol.shutdown()
        await asyncio.sleep(2.1)
        assert pair.wire.aborted


@timeless
async def test_a_client_that_has_taken_the_end_is_not_aborted_by_the_stop() -> None:
    async with joined() as pair:
        pair.send_raw(BROKEN)
        await pair.settle()
        pair.protocol.shutdown()
        await asyncio.sleep(60)
        assert pair.wire.lost
        assert not pair.wire.aborted


@timeless
async def test_a_stop_behind_the_loss_changes_nothing() -> None:
    async with joined() as pair:
        pair.wire.reset()
        await pair.settle()
        pair.protocol.shutdown()
        await asyncio.sleep(60)
        assert not pair.wire.aborted


@timeless
async def test_abort_says_nothing_more_to_a_client_that_knows_of_the_stop() -> None:
    async with joined() as pair:
        pair.ask()
        await pair.called()
        pair.protocol.shutdown()
        await pair.settle()
        written = len(pair.wire.writes)
        pair.protocol.abort()
        await pair.settle()
        assert pair.wire.aborted
        assert len(pair.wire.writes) == written


@timeless
async def test_a_second_word_of_the_stop_gives_nobody_more_time() -> None:
    async with joined(close_timeout=30) as pair:
        pair.taking = False
        pair.send_raw(BROKEN)
        await asyncio.sleep(5)
        pair.protocol.shutdown()
        await asyncio.sleep(0.9)
        pair.protocol.shutdown()
        await asyncio.sleep(0.2)
        assert pair.wire.aborted


@timeless
async def test_what_is_in_flight_is_finished_when_the_server_stops() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.taking = False
        pair.protocol.shutdown()
        assert pair.protocol.stopping
        assert goaways(pair) == [(LAST, ErrorCodes.NO_ERROR)]
        # A request that was on its way is served yet.
        late = pair.ask()
        pair.flush()
        late_call = await pair.called()
        pair.taking = True
        await pair.settle()  # the client answers the ping
        assert goaways(pair)[1:] == [(late, ErrorCodes.NO_ERROR)]
        refused = pair.ask()
        await pair.settle()
        assert pair.answers[refused].reset == ErrorCodes.REFUSED_STREAM
        for each in (call, late_call):
            assert not pair.wire.ended
            await each.respond(200, b"x")
            each.done()
            await pair.settle()
        assert pair.answers[stream_id].ended
        assert pair.answers[late].ended
        assert pair.wire.ended
        assert goaways(pair)[2:] == [(late, ErrorCodes.NO_ERROR)]


@timeless
async def test_the_answer_to_the_ping_says_that_the_announcement_has_been_read() -> None:
    """So the ping is behind it; and what was prepared before the second one leaves before it."""
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.taking = False
        pair.protocol.shutdown()
        assert [each[0] for each in frames(bytes(pair.wire.unsent))] == [GOAWAY, PING]
        pair.wire.take()
        await call.respond(200, b"x")
        pair.wire.deliver(frame(PING, ACK, 0, b"shutdown"))
        assert [(each[0], each[2]) for each in frames(bytes(pair.wire.unsent))] == [
            (HEADERS, stream_id),
            (DATA, stream_id),
            (GOAWAY, 0),
        ]


@timeless
async def test_a_client_that_does_not_answer_is_given_a_second() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        await pair.called()
        pair.taking = False
        pair.protocol.shutdown()
        await asyncio.sleep(0.99)
        assert len(goaways(pair)) == 1
        await asyncio.sleep(0.02)
        assert goaways(pair)[1:] == [(stream_id, ErrorCodes.NO_ERROR)]
        pair.taking = True
        await pair.settle()  # its answer comes too late to matter
        assert len(goaways(pair)) == 2


@timeless
async def test_another_ping_is_not_the_answer() -> None:
    async with joined() as pair:
        pair.ask()
        await pair.called()
        pair.taking = False
        pair.protocol.shutdown()
        pair.send_raw(frame(PING, ACK, 0, b"whatever"))
        assert len(goaways(pair)) == 1
        pair.send_raw(frame(PING, ACK, 0, b"shutdown"))
        assert len(goaways(pair)) == 2


@timeless
async def test_the_answer_may_come_without_a_question() -> None:
    async with joined() as pair:
        pair.ask()
        await pair.called()
        pair.send_raw(frame(PING, ACK, 0, b"shutdown"))
        await pair.settle()
        assert not goaways(pair)
        assert not pair.protocol.stopping


@timeless
async def test_a_second_word_of_the_stop_changes_nothing() -> None:
    async with joined() as pair:
        pair.ask()
        await pair.called()
        pair.protocol.shutdown()
        pair.protocol.shutdown()
        await pair.settle()
        pair.protocol.shutdown()
        await pair.settle()
        assert len(goaways(pair)) == 2
        pings = [event for event in pair.events if isinstance(event, h2.events.PingReceived)]
        assert len(pings) == 1


@timeless
async def test_a_stop_behind_the_end_changes_nothing() -> None:
    async with joined() as pair:
        pair.send_raw(BROKEN)
        pair.protocol.shutdown()
        await pair.settle()
        assert len(goaways(pair)) == 1


@timeless
async def test_the_last_bytes_get_a_second_when_the_server_stops() -> None:
    async with joined(close_timeout=30) as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.protocol.shutdown()
        await pair.settle()
        await call.respond()
        await pair.settle()
        pair.taking = False
        call.done()
        await asyncio.sleep(2.1)
        assert pair.wire.aborted
        assert pair.answers[stream_id].ended


@timeless
async def test_a_client_that_leaves_in_the_middle_of_a_stop() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        pair.protocol.shutdown()
        pair.wire.reset()
        await asyncio.sleep(2)
        assert await call.receive() == {"type": "http.disconnect"}
        call.done()
        await pair.settle()
        assert len(goaways(pair)) == 1


@timeless
async def test_a_stream_that_fails_behind_the_end_is_not_reset() -> None:
    async with joined() as pair:
        pair.ask()
        call = await pair.called()
        await call.send(start())
        pair.send_raw(BROKEN)
        call.fail(RuntimeError("late"))
        await pair.settle()
        assert not [each for each in frames(b"".join(pair.wire.writes)) if each[0] == RST_STREAM]
        await call.send(body(b"x"))
