"""What a client may have the connection do for nothing, and how long it may take for anything."""

from __future__ import annotations

import asyncio

import h2.events
import pytest

from asgi_upgrade.http2.budget import Budget
from asgi_upgrade.http2.server import ServerSide
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import (
    ACK,
    DATA,
    GOAWAY,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCodes,
    Pair,
    SettingCodes,
    body,
    frame,
    frames,
    joined,
    start,
    stays,
)


def reason(pair: Pair) -> int | None:
    """The code that the connection has ended with."""
    codes = [int.from_bytes(each[3][4:8], "big") for each in frames(b"".join(pair.wire.writes)) if each[0] == GOAWAY]
    return codes[0] if codes else None


def most(pair: Pair, flood: bytes) -> int:
    """How many of these the connection takes, before time passes."""
    count = 0
    while reason(pair) is None:
        assert count < 20_000, "it takes any number"
        pair.wire.deliver(flood)
        count += 1
    assert reason(pair) == ErrorCodes.ENHANCE_YOUR_CALM
    return count


# Floods. A connection has 1000 to spend; the first request and its preface have used up a few.


@pytest.mark.parametrize(
    ("flood", "price"),
    [
        (frame(PING, 0, 0, bytes(8)), 1),
        (frame(PING, ACK, 0, bytes(8)), 1),
        (frame(SETTINGS, 0, 0), 1),
        (frame(PRIORITY, 0, 99, bytes(5)), 1),
        (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), 1),
        (frame(99, 0, 0, b"?"), 1),
        (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + frame(PING, 0, 0, bytes(8)), 2),
    ],
    ids=["ping", "pong", "settings", "priority", "window", "unknown", "two"],
)
@timeless
async def test_frames_that_serve_nothing_have_a_price(flood: bytes, price: float) -> None:
    async with joined() as pair:
        assert 985 / price <= most(pair, flood) <= 1002 / price


@pytest.mark.parametrize(("size", "price"), [(0, 1.0), (1, 0.1), (63, 0.1)])
@timeless
async def test_short_data_has_a_price(size: int, price: float) -> None:
    async with joined(read_buffer_size=2**20, max_concurrent_streams=10) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        await pair.called()
        assert 985 / price <= most(pair, frame(DATA, 0, stream_id, bytes(size))) <= 1011 / price


@timeless
async def test_long_data_and_the_last_have_none() -> None:
    async with joined(read_buffer_size=2**20, max_concurrent_streams=10) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        await pair.called()
        for _ in range(12_000):
            pair.wire.deliver(frame(DATA, 0, stream_id, bytes(64)))
        assert reason(pair) is None


@pytest.mark.parametrize(("size", "price"), [(6, 0.1), (7, 0)])
@timeless
async def test_a_message_of_a_byte_is_short_data_for_a_body_only(size: int, price: float) -> None:
    """A WebSocket's message of a byte has seven on the wire."""
    async with joined(read_buffer_size=2**20, max_concurrent_streams=10) as pair:
        stream_id = pair.connect()
        call = await pair.called()
        done = call.announce(asyncio.Protocol())
        await call.send(start(101))
        assert await done
        pair.wire.deliver(frame(DATA, 0, stream_id, bytes(size)) * 1000)
        left = 1000 - 1000 * price
        assert left - 15 <= most(pair, frame(PING, 0, 0, bytes(8))) <= left + 2


@timeless
async def test_a_reset_costs_three() -> None:
    async with joined() as pair:
        calls = 0
        while reason(pair) is None:
            stream_id = pair.ask()
            pair.client.reset_stream(stream_id)
            pair.flush()
            calls += 1
            assert calls < 1000
            if not calls % 50:
                await asyncio.sleep(0)
        assert 320 <= calls <= 340
        assert reason(pair) == ErrorCodes.ENHANCE_YOUR_CALM


# What is left is counted by pings.


@timeless
async def test_requests_that_were_served_bring_credit() -> None:
    """They bring resets and priorities with them: two of them each, besides the two for what is sent."""
    async with joined() as pair:
        for _ in range(100):
            for _ in range(5):
                pair.client.ping(bytes(8))
            stream_id = pair.ask()
            call = await pair.called()
            await call.respond()
            call.done()
            await pair.settle()
            assert pair.answers[stream_id].ended
        assert 885 <= most(pair, frame(PING, 0, 0, bytes(8))) <= 902


@timeless
async def test_what_is_sent_brings_credit() -> None:
    """It makes the client send windows: two for each frame."""
    async with joined() as pair:
        stream_id = pair.ask()
        call = await pair.called()
        await call.send(start())
        for _ in range(100):
            for _ in range(3):
                pair.client.ping(bytes(8))
            await call.send(body(b"x", more=True))
            await pair.settle()
        assert len(pair.answers[stream_id].body) == 100
        assert 885 <= most(pair, frame(PING, 0, 0, bytes(8))) <= 902


@pytest.mark.parametrize("why", ["too many", "malformed", "busy", "not implemented"])
@timeless
async def test_refusals_have_a_price(why: str) -> None:
    busy = False
    async with joined(max_concurrent_streams=1, server=ServerSide(is_busy=lambda: busy)) as pair:
        pair.client.remote_settings = type(pair.client.remote_settings)(client=False)  # let it forget the limit
        pair.client.remote_settings.enable_connect_protocol = 1
        if why == "too many":
            pair.ask()
            await pair.called()
        busy = why == "busy"
        for _ in range(100):
            if why == "not implemented":
                pair.connect(protocol=b"echo")
            else:
                pair.ask(b"nowhere" if why == "malformed" else b"/")
            await pair.settle()
        assert 885 <= most(pair, frame(PING, 0, 0, bytes(8))) <= 902


@timeless
async def test_a_ping_may_take_longer_than_the_time_between_pings() -> None:
    async with joined(ping_interval=5, ping_timeout=20) as pair:
        pair.ask()
        await pair.called()
        pair.taking = False
        await asyncio.sleep(24)
        assert not pair.wire.aborted
        await asyncio.sleep(2)
        assert pair.wire.aborted


@timeless
async def test_time_brings_credit() -> None:
    async with joined(idle_timeout=1000) as pair:
        for _ in range(30):
            for _ in range(100):
                pair.wire.deliver(frame(PING, 0, 0, bytes(8)))
            await asyncio.sleep(1)
            await pair.settle()
        assert reason(pair) is None


def test_time_brings_credit_to_a_client_that_has_spent_all() -> None:
    budget = Budget(10.0)
    assert budget.spend(1000, 10.0)
    assert budget.spend(100, 11.0)
    assert not budget.spend(1, 11.0)


@timeless
async def test_answers_to_our_own_ping_cost_nothing() -> None:
    async with joined(ping_interval=1, ping_timeout=5, idle_timeout=10_000) as pair:
        pair.ask()
        await pair.called()
        await pair.pass_time(30)
        pings = sum(isinstance(event, h2.events.PingReceived) for event in pair.events)
        assert pings >= 25
        assert reason(pair) is None


@timeless
async def test_nothing_is_handled_behind_the_frame_that_was_too_much() -> None:
    async with joined() as pair:
        stream_id = pair.ask()
        data = pair.client.data_to_send()
        pair.wire.deliver(frame(PING, 0, 0, bytes(8)) * 1500 + data)
        await pair.settle()
        assert reason(pair) == ErrorCodes.ENHANCE_YOUR_CALM
        assert len(pair.calls) == 1
        assert stream_id == 3


# Sizes


@timeless
async def test_headers_above_the_limit_end_the_connection() -> None:
    async with joined(max_header_size=2000) as pair:
        pair.ask(b"/", (b"x", b"y" * 1500))
        await pair.called()
        pair.ask(b"/", (b"x", b"y" * 2000))
        await pair.settle()
        assert reason(pair) == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(("settings", "code"), [(64, None), (65, ErrorCodes.ENHANCE_YOUR_CALM)])
@timeless
async def test_a_frame_with_more_settings_than_there_are(settings: int, code: int | None) -> None:
    async with joined() as pair:
        pair.wire.deliver(frame(SETTINGS, 0, 0, bytes.fromhex("ff0000000001") * settings))
        assert reason(pair) == code


@timeless
async def test_settings_that_nobody_knows_are_not_kept() -> None:
    async with joined() as pair:
        pair.wire.deliver(frame(SETTINGS, 0, 0, b"".join(bytes([0xFF, each, 0, 0, 0, 1]) for each in range(64))))
        await pair.settle()
        assert all(int(code) < 16 for code in pair.protocol.engine.remote_settings)


@pytest.mark.parametrize("when", ["offered", "set later"])
@timeless
async def test_a_table_as_large_as_the_client_likes_is_not_used(when: str) -> None:
    large: dict[SettingCodes | int, int] = {SettingCodes.HEADER_TABLE_SIZE: 2**20}
    async with joined(settings=large if when == "offered" else {}) as pair:
        if when == "set later":
            pair.client.update_settings(large)
            await pair.settle()
        # A decoder that keeps to the usual size understands everything.
        pair.client.decoder.max_allowed_table_size = 4096
        for number in range(3):
            stream_id = pair.ask()
            call = await pair.called()
            await call.send(start(200, *[(b"x-%d-%d" % (number, each), b"y" * 100) for each in range(20)]))
            await call.send(body())
            await pair.settle()
            assert pair.answers[stream_id].ended
        assert pair.protocol.engine.encoder.header_table_size <= 4096


@timeless
async def test_a_reset_of_what_has_not_begun_ends_the_connection() -> None:
    async with joined() as pair:
        pair.wire.deliver(frame(RST_STREAM, 0, 9, bytes(4)))
        assert reason(pair) == ErrorCodes.PROTOCOL_ERROR


@timeless
async def test_a_reset_of_a_stream_of_ours_ends_the_connection() -> None:
    """There are none."""
    async with joined() as pair:
        pair.ask()
        pair.ask()
        await pair.settle()
        pair.wire.deliver(frame(RST_STREAM, 0, 2, bytes(4)))
        assert reason(pair) == ErrorCodes.PROTOCOL_ERROR


@timeless
async def test_a_reset_of_what_has_ended_does_no_harm() -> None:
    async with joined() as pair:
        pair.wire.deliver(frame(RST_STREAM, 0, 1, bytes(4)))
        pair.ask()
        await pair.called()
        assert reason(pair) is None


# Times


@timeless
async def test_a_client_without_a_preface_is_cut_off() -> None:
    async with joined(first=True, open_timeout=7) as pair:
        await asyncio.sleep(6.99)
        assert reason(pair) is None
        await asyncio.sleep(0.02)
        assert reason(pair) == ErrorCodes.SETTINGS_TIMEOUT


@timeless
async def test_a_preface_in_time_is_enough() -> None:
    async with joined(first=True, open_timeout=7, ping_interval=None, idle_timeout=1000) as pair:
        await pair.called()
        await pair.pass_time(20)
        assert reason(pair) is None


@timeless
async def test_a_connection_without_requests_is_closed() -> None:
    async with joined(idle_timeout=10) as pair:
        await pair.pass_time(8)
        stream_id = pair.ask()
        call = await pair.called()
        await pair.pass_time(30)
        await call.respond()
        call.done()
        await pair.settle()
        assert pair.answers[stream_id].ended
        await pair.pass_time(9.9)
        assert reason(pair) is None
        await pair.pass_time(0.2)
        assert pair.goaways == [(stream_id, ErrorCodes.NO_ERROR)]


@timeless
async def test_a_ping_is_no_request() -> None:
    async with joined(idle_timeout=10) as pair:
        for _ in range(11):
            pair.client.ping(bytes(8))
            await pair.pass_time(1)
        assert reason(pair) == ErrorCodes.NO_ERROR


def pings(pair: Pair) -> int:
    return sum(each[0] == PING and not each[1] & ACK for each in frames(b"".join(pair.wire.writes)))


@timeless
async def test_a_client_that_is_silent_is_asked_and_lost() -> None:
    async with joined(ping_interval=10, ping_timeout=5) as pair:
        pair.ask()
        call = await pair.called()
        pair.taking = False
        await asyncio.sleep(9.9)
        assert pings(pair) == 0
        await asyncio.sleep(0.2)
        assert pings(pair) == 1
        await asyncio.sleep(4.7)
        assert not pair.wire.aborted
        await asyncio.sleep(0.3)
        assert pair.wire.aborted
        assert await call.receive() == {"type": "http.disconnect"}
        assert reason(pair) is None


@timeless
async def test_any_byte_is_a_sign_of_life() -> None:
    async with joined(ping_interval=10, ping_timeout=5) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        await pair.called()
        pair.taking = False
        await asyncio.sleep(12)
        assert pings(pair) == 1
        pair.wire.deliver(frame(DATA, 0, stream_id, b"x"))
        await asyncio.sleep(4)
        assert not pair.wire.aborted
        await asyncio.sleep(5.9)
        assert pings(pair) == 1
        await asyncio.sleep(0.2)
        assert pings(pair) == 2


@timeless
async def test_a_client_that_is_not_read_is_not_blamed_for_its_silence() -> None:
    async with joined(ping_interval=10, ping_timeout=5, write_buffer_size=100, idle_timeout=1000) as pair:
        pair.ask()
        await pair.called()
        pair.taking = False
        for _ in range(2):
            pair.wire.deliver(frame(PING, 0, 0, bytes(8)) * 30)
            await asyncio.sleep(0)
        assert not pair.wire.reading
        await asyncio.sleep(100)
        assert not pair.wire.aborted


@pytest.mark.parametrize(("interval", "timeout", "sent"), [(None, 5, 0), (10, None, 1)])
@timeless
async def test_pings_and_their_timeout_can_be_turned_off(
    interval: float | None, timeout: float | None, sent: int
) -> None:
    async with joined(ping_interval=interval, ping_timeout=timeout) as pair:
        pair.ask()
        await pair.called()
        pair.taking = False
        await asyncio.sleep(1000)
        assert pings(pair) == sent
        assert not pair.wire.aborted


@timeless
async def test_a_client_that_takes_nothing_loses_its_stream_only() -> None:
    async with joined(write_timeout=10, ping_interval=5, idle_timeout=1000) as pair:
        pair.grants = False
        pair.client.increment_flow_control_window(2**20)
        one, two = pair.ask(), pair.ask()
        slow, quick = await pair.called(), await pair.called()
        sending = asyncio.ensure_future(slow.respond(200, bytes(100_000)))
        await pair.pass_time(9.8)
        assert not sending.done()
        await pair.pass_time(0.4)
        assert sending.done()
        assert pair.answers[one].reset == ErrorCodes.CANCEL
        await quick.respond(200, b"x")
        await pair.settle()
        assert pair.answers[two].ended
        assert reason(pair) is None


@timeless
async def test_a_client_that_takes_a_little_keeps_its_stream() -> None:
    async with joined(write_timeout=10, ping_interval=5, idle_timeout=1000) as pair:
        pair.grants = False
        pair.client.increment_flow_control_window(2**20)
        stream_id = pair.ask()
        call = await pair.called()
        sending = asyncio.ensure_future(call.respond(200, bytes(65535 + 5)))
        for _ in range(5):
            await pair.pass_time(8)
            assert not sending.done()
            pair.client.increment_flow_control_window(1, stream_id)
            await pair.settle()
        assert sending.done()
        assert pair.answers[stream_id].ended


@pytest.mark.parametrize("size", [1000, 200_000])
@timeless
async def test_a_stream_is_not_blamed_for_a_connection_that_is_busy_with_others(size: int) -> None:
    async with joined(write_timeout=10, ping_interval=None, idle_timeout=1000, write_buffer_size=size) as pair:
        pair.grants = False
        one, two = pair.ask(), pair.ask()
        calls = [await pair.called(), await pair.called()]
        sending = [asyncio.ensure_future(call.respond(200, bytes(60_000))) for call in calls]
        await pair.settle()  # the connection's window is used up
        assert len(pair.answers[one].body) + len(pair.answers[two].body) == 65535
        for _ in range(5):
            await pair.pass_time(8)
            pair.client.increment_flow_control_window(3000)  # for the connection: they take turns
            await pair.settle()
        assert pair.answers[one].reset is None
        assert pair.answers[two].reset is None
        assert await stays(sending[1])


@timeless
async def test_a_response_does_not_wait_for_a_preface_for_longer_than_for_anything() -> None:
    async with joined(first=True, open_timeout=100, write_timeout=10, ping_interval=None) as pair:
        pair.taking = False
        call = await pair.called()
        sending = asyncio.ensure_future(call.respond(200, b"x"))
        await asyncio.sleep(9.9)
        assert not sending.done()
        await asyncio.sleep(0.2)
        assert sending.done()


@timeless
async def test_a_client_that_takes_what_has_left_is_given_time_to_open_the_window() -> None:
    """All that the connection's window had room for waits in the transport, which is full."""
    async with joined(write_timeout=10, ping_interval=None, idle_timeout=1000, write_buffer_size=65_540) as pair:
        stream_id = pair.ask()
        call = await pair.called()
        pair.client.increment_flow_control_window(2**20, stream_id)
        await pair.settle()
        pair.taking = False
        sending = asyncio.ensure_future(call.respond(200, bytes(100_000)))
        await asyncio.sleep(8)
        assert pair.wire.paused
        pair.wire.take()
        await asyncio.sleep(9.9)
        assert not sending.done()
        await asyncio.sleep(0.2)
        assert sending.done()


@timeless
async def test_a_slow_client_may_be_waited_for_for_ever() -> None:
    async with joined(write_timeout=None, ping_interval=5, idle_timeout=1000) as pair:
        pair.grants = False
        pair.ask()
        call = await pair.called()
        sending = asyncio.ensure_future(call.respond(200, bytes(100_000)))
        await pair.pass_time(300)
        assert not sending.done()


@timeless
async def test_a_connection_that_has_ended_has_no_timers() -> None:
    async with joined(idle_timeout=5, open_timeout=5) as pair:
        pair.ask()
        call = await pair.called()
        pair.wire.reset()
        await asyncio.sleep(100)
        call.done()
        assert reason(pair) is None
        assert pings(pair) == 0
