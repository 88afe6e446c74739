"""The times of a connection where several of them are due, or others are busy."""

from __future__ import annotations

import asyncio

from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import DATA, ErrorCodes, body, frame, joined, start, stays
from tests.unit.http2.test_limits import pings, reason


@timeless
async def test_the_first_reason_to_end_a_connection_is_sent_whatever_else_is_due() -> None:
    async with joined(first=True, open_timeout=10, ping_interval=5, ping_timeout=5, idle_timeout=1000) as pair:
        pair.taking = False
        await asyncio.sleep(10.5)
        assert pings(pair) == 1, "which was not answered in time"
        assert reason(pair) == ErrorCodes.SETTINGS_TIMEOUT
        assert not pair.wire.aborted


@timeless
async def test_a_byte_in_the_moment_of_the_ping_is_a_sign_of_life() -> None:
    async with joined(ping_interval=10, ping_timeout=5) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        await pair.called()
        pair.taking = False
        await asyncio.sleep(10)
        await asyncio.sleep(0)
        assert pings(pair) == 1
        pair.wire.deliver(frame(DATA, 0, stream_id, b"x"))
        await asyncio.sleep(9)
        assert not pair.wire.aborted


@timeless
async def test_a_stream_whose_own_window_is_shut_is_not_excused_by_others() -> None:
    async with joined(write_timeout=10, ping_interval=None, idle_timeout=1000) as pair:
        pair.grants = False
        pair.client.increment_flow_control_window(2**20)
        one, two = pair.ask(), pair.ask()
        calls = [await pair.called(), await pair.called()]
        sending = [asyncio.ensure_future(call.respond(200, bytes(65535 + 5))) for call in calls]
        for _ in range(4):
            await pair.pass_time(3)
            pair.client.increment_flow_control_window(1, two)
            await pair.settle()
        assert pair.answers[one].reset == ErrorCodes.CANCEL
        assert pair.answers[two].reset is None
        assert sending[0].done()
        assert await stays(sending[1])


@timeless
async def test_how_long_a_client_may_take_nothing_is_counted_from_the_message() -> None:
    async with joined(write_timeout=10, ping_interval=None, idle_timeout=1000) as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        await call.send(body(bytes(65535), more=True))  # the whole window
        await pair.pass_time(8)
        sending = asyncio.ensure_future(call.send(body(b"x")))
        await pair.pass_time(9.5)
        assert pair.answers[stream_id].reset is None
        await pair.pass_time(1)
        assert pair.answers[stream_id].reset == ErrorCodes.CANCEL
        await sending


@timeless
async def test_without_a_write_timeout_no_stream_is_reset() -> None:
    async with joined(write_timeout=None, ping_interval=None) as pair:
        pair.grants = False
        stream_id = pair.ask()
        call = await pair.called()
        sending = asyncio.ensure_future(call.respond(200, bytes(100_000)))
        await pair.settle()
        await asyncio.sleep(3600)
        assert not sending.done()
        pair.client.increment_flow_control_window(2**20)
        pair.client.increment_flow_control_window(2**20, stream_id)
        await pair.settle()
        await sending
        assert pair.answers[stream_id].ended
