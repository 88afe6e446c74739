"""The client's windows: what a stream that ends has not read must not narrow them for the others."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import joined
from tests.unit.http2.test_websocket import switched

# The window of a stream, and how many of them the connection's window is made for.
WINDOW, COUNT = 8000, 9


@pytest.mark.parametrize("how", ["client resets", "abort", "close", "application cancelled"])
@timeless
async def test_what_a_protocol_has_not_read_is_granted_again(how: str) -> None:
    async with joined(read_buffer_size=WINDOW, max_concurrent_streams=COUNT) as pair:
        for _ in range(2 * COUNT):
            stream_id, call, recorder = await switched(pair)
            recorder.transport.pause_reading()
            pair.client.send_data(stream_id, bytes(WINDOW))
            await pair.settle()
            assert recorder.told == ["made"]
            if how == "client resets":
                pair.client.reset_stream(stream_id)
            elif how == "application cancelled":
                call.end.cancel()
            else:
                getattr(recorder.transport, how)()
            await pair.settle()
            if not call.end.done():
                call.done()
            await pair.settle()
            assert recorder.told[-1][0] == "lost"
            assert pair.client.outbound_flow_control_window >= COUNT * WINDOW // 2


@timeless
async def test_what_comes_while_a_protocol_closes_is_granted_again() -> None:
    async with joined(read_buffer_size=WINDOW, max_concurrent_streams=COUNT) as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        recorder.transport.write(bytes(70_000))
        recorder.transport.pause_reading()
        pair.client.send_data(stream_id, bytes(WINDOW))
        await pair.settle()
        assert pair.client.local_flow_control_window(stream_id) == 0
        recorder.transport.close()
        await pair.settle()
        for _ in range(2 * COUNT):
            pair.client.send_data(stream_id, bytes(WINDOW // 2))
            await pair.settle()
        assert recorder.told == ["made"]
        assert pair.client.local_flow_control_window(stream_id) >= WINDOW // 2


class Buffered(asyncio.BufferedProtocol):
    """Counts the bytes that it gets, in any pieces."""

    def __init__(self) -> None:
        self.count = 0

    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(300)

    def buffer_updated(self, nbytes: int) -> None:
        self.count += nbytes


@timeless
async def test_what_a_buffered_protocol_takes_is_granted_again() -> None:
    async with joined(read_buffer_size=WINDOW, max_concurrent_streams=COUNT) as pair:
        buffered = Buffered()
        stream_id, _, _ = await switched(pair, buffered)
        for _ in range(2 * COUNT):
            pair.client.send_data(stream_id, bytes(WINDOW // 2))
            await pair.settle()
        assert buffered.count == COUNT * WINDOW


@pytest.mark.parametrize(
    "how", ["not read", "read", "read a part", "reset", "reset at once", "answered first", "cancelled"]
)
@timeless
async def test_the_body_of_a_request_is_granted_again_whoever_reads_it(how: str) -> None:
    async with joined(read_buffer_size=WINDOW, max_concurrent_streams=COUNT) as pair:
        for _ in range(2 * COUNT):
            stream_id = pair.ask(method=b"POST", end=False)
            call = await pair.called()
            if how == "answered first":
                await call.respond()
            whole = how not in ("answered first", "reset", "reset at once")
            pair.client.send_data(stream_id, bytes(WINDOW), end_stream=whole)
            if how == "reset at once":
                pair.client.reset_stream(stream_id)
            await pair.settle()
            if how == "read":
                assert len((await call.receive())["body"]) == WINDOW
            if how == "reset":
                pair.client.reset_stream(stream_id)
                await pair.settle()
            if how == "cancelled":
                call.end.cancel()
            else:
                if whole:
                    await call.respond()
                call.done()
            await pair.settle()
            assert pair.client.outbound_flow_control_window >= COUNT * WINDOW // 2


@timeless
async def test_what_comes_of_a_body_behind_the_response_is_granted_again_at_once() -> None:
    async with joined(read_buffer_size=WINDOW, max_concurrent_streams=COUNT) as pair:
        stream_id = pair.ask(method=b"POST", end=False)
        call = await pair.called()
        await call.respond()
        for _ in range(2 * COUNT):
            pair.client.send_data(stream_id, bytes(WINDOW // 2))
            await pair.settle()
        assert not call.end.done()


@timeless
async def test_what_comes_with_a_reset_is_granted_again_at_once() -> None:
    async with joined(read_buffer_size=WINDOW, max_concurrent_streams=COUNT) as pair:
        for _ in range(COUNT - 1):
            stream_id = pair.ask(method=b"POST", end=False)
            await pair.called()
            pair.client.send_data(stream_id, bytes(WINDOW))
            pair.client.reset_stream(stream_id)
            await pair.settle()
        assert pair.client.outbound_flow_control_window >= COUNT * WINDOW // 2
        assert not any(call.end.done() for call in pair.calls[1:])
