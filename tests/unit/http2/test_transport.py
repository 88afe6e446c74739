"""A stream as a transport: what asyncio promises of one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.http2.clock import Clock, timeless
from tests.unit.http2.pair import ErrorCodes, joined
from tests.unit.http2.test_websocket import LOST, RESET, Recorder, switched


@timeless
async def test_bytes_go_both_ways() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair)
        recorder.transport.write(b"one ")
        recorder.transport.write(bytearray(b"two "))
        recorder.transport.write(memoryview(b"three"))
        recorder.transport.writelines([b" four", b" five"])
        recorder.transport.write(b"")
        pair.client.send_data(stream_id, b"a")
        pair.client.send_data(stream_id, b"b")
        await pair.settle()
        assert pair.answers[stream_id].body == b"one two three four five"
        assert recorder.told == ["made", b"a", b"b"]


@timeless
async def test_what_is_written_may_change_afterwards() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        data = bytearray(b"x" * 70_000)
        recorder.transport.write(data)
        data[:] = b"y" * 70_000
        await pair.settle()
        pair.client.increment_flow_control_window(10_000)
        pair.client.increment_flow_control_window(10_000, stream_id)
        await pair.settle()
        assert pair.answers[stream_id].body == b"x" * 70_000


class Buffered(asyncio.BufferedProtocol):
    """Has room for three bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray(3)
        self.told: list[bytes] = []

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.told.append(bytes(self.buffer[:nbytes]))


@timeless
async def test_a_buffered_protocol_gets_what_fits() -> None:
    async with joined() as pair:
        buffered = Buffered()
        stream_id, _, _ = await switched(pair, buffered)
        pair.client.send_data(stream_id, b"abcdefgh")
        await pair.settle()
        assert buffered.told == [b"abc", b"def", b"gh"]


@timeless
async def test_the_protocol_may_change() -> None:
    async with joined() as pair:
        stream_id, _, first = await switched(pair)
        second = Recorder()
        assert first.transport.get_protocol() is first
        first.transport.set_protocol(second)
        pair.client.send_data(stream_id, b"a")
        await pair.settle()
        assert (first.told, second.told) == (["made"], [b"a"])
        assert first.transport.get_protocol() is second


# Reading


@timeless
async def test_a_pause_bounds_what_the_client_may_send() -> None:
    async with joined(read_buffer_size=1000, max_concurrent_streams=100) as pair:
        stream_id, _, recorder = await switched(pair)
        assert recorder.transport.is_reading()
        recorder.transport.pause_reading()
        assert not recorder.transport.is_reading()
        pair.client.send_data(stream_id, bytes(1000))
        await pair.settle()
        assert recorder.told == ["made"]
        assert pair.client.local_flow_control_window(stream_id) == 0
        recorder.transport.resume_reading()
        assert recorder.told == ["made"]  # soon, not at once
        await pair.settle()
        assert recorder.told == ["made", bytes(1000)]
        assert pair.client.local_flow_control_window(stream_id) == 1000


@timeless
async def test_the_clients_end_waits_for_what_was_not_read() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair)
        recorder.transport.pause_reading()
        pair.client.send_data(stream_id, b"a", end_stream=True)
        await pair.settle()
        assert recorder.told == ["made"]
        recorder.transport.resume_reading()
        recorder.transport.resume_reading()
        await pair.settle()
        assert recorder.told == ["made", b"a", "eof"]
        recorder.transport.pause_reading()
        recorder.transport.resume_reading()
        await pair.settle()
        assert recorder.told == ["made", b"a", "eof"], "once"


@timeless
async def test_the_order_is_kept_when_bytes_come_before_the_delivery() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair)
        recorder.transport.pause_reading()
        pair.client.send_data(stream_id, b"a")
        await pair.settle()
        recorder.transport.resume_reading()
        pair.client.send_data(stream_id, b"b", end_stream=True)
        pair.flush()
        assert recorder.told == ["made"]
        await pair.settle()
        assert recorder.told == ["made", b"ab", "eof"]


class Pausing(Recorder):
    """Pauses with each piece."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()


@timeless
async def test_a_pause_within_a_delivery() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair, Pausing())
        pair.client.send_data(stream_id, b"a")
        pair.client.send_data(stream_id, b"b", end_stream=True)
        await pair.settle()
        assert recorder.told == ["made", b"a"]
        recorder.transport.resume_reading()
        await pair.settle()
        assert recorder.told == ["made", b"a", b"b"]
        recorder.transport.resume_reading()
        await pair.settle()
        assert recorder.told == ["made", b"a", b"b", "eof"]


# Writing


@timeless
async def test_a_client_that_grants_no_window_pauses_writing() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        transport = recorder.transport
        transport.set_write_buffer_limits(high=10_000, low=5000)
        assert transport.get_write_buffer_limits() == (5000, 10_000)
        transport.write(bytes(65535))
        await pair.settle()
        recorder.told.clear()
        transport.write(bytes(10_000))
        assert recorder.told == []
        transport.write(b"x")
        transport.write(b"x")
        assert recorder.told == ["pause"]
        assert transport.get_write_buffer_size() == 10_002
        pair.client.increment_flow_control_window(2**20)
        pair.client.increment_flow_control_window(5001, stream_id)
        await pair.settle()
        assert recorder.told == ["pause"]
        assert transport.get_write_buffer_size() == 5001
        pair.client.increment_flow_control_window(1, stream_id)
        await pair.settle()
        assert recorder.told == ["pause", "resume"]
        assert transport.get_write_buffer_size() == 5000
        transport.write(bytes(5001))
        pair.client.increment_flow_control_window(10_001, stream_id)
        await pair.settle()
        assert recorder.told == ["pause", "resume"] * 2, "again"
        transport.write(b"x")
        pair.client.increment_flow_control_window(1, stream_id)
        await pair.settle()
        assert recorder.told == ["pause", "resume"] * 2


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ({}, (16384, 65536)),
        ({"high": 103}, (25, 103)),
        ({"low": 100}, (100, 400)),
        ({"high": 100, "low": 0}, (0, 100)),
        ({"high": 0}, (0, 0)),
    ],
)
@timeless
async def test_limits(given: dict[str, int], limits: tuple[int, int]) -> None:
    async with joined() as pair:
        _, _, recorder = await switched(pair)
        assert recorder.transport.get_write_buffer_limits() == (16384, 65536)
        recorder.transport.set_write_buffer_limits(**given)
        assert recorder.transport.get_write_buffer_limits() == limits


# Half closes


@timeless
async def test_our_direction_may_end_first() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair)
        transport = recorder.transport
        assert transport.can_write_eof()
        transport.write(b"last")
        transport.write_eof()
        transport.write_eof()
        transport.write(b"never")
        await pair.settle()
        assert (pair.answers[stream_id].body, pair.answers[stream_id].ended) == (b"last", True)
        assert not transport.is_closing()
        pair.client.send_data(stream_id, b"still")
        await pair.settle()
        assert recorder.told == ["made", b"still"]
        transport.close()
        await pair.settle()
        assert recorder.told[-1] == LOST
        assert pair.answers[stream_id].reset == ErrorCodes.NO_ERROR
        written = len(pair.wire.writes)
        transport.close()
        transport.abort()
        await pair.settle()
        assert len(pair.wire.writes) == written


@timeless
async def test_the_end_is_behind_all_that_waits() -> None:
    async with joined(write_buffer_size=5) as pair:
        stream_id, _, recorder = await switched(pair)
        pair.taking = False
        for part in (b"one", b"two", b"three"):
            recorder.transport.write(part)
        recorder.transport.write_eof()
        assert recorder.transport.get_write_buffer_size() == len(b"twothree")
        pair.taking = True
        await pair.settle()
        assert (pair.answers[stream_id].body, pair.answers[stream_id].ended) == (b"onetwothree", True)


@timeless
async def test_the_clients_direction_may_end_first() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair)
        pair.client.end_stream(stream_id)
        await pair.settle()
        assert recorder.told == ["made", "eof"]
        recorder.transport.write(b"answer")
        await pair.settle()
        assert pair.answers[stream_id].body == b"answer"
        recorder.transport.close()
        await pair.settle()
        assert recorder.told == ["made", "eof", LOST]
        assert (pair.answers[stream_id].ended, pair.answers[stream_id].reset) == (True, None)


class Leaving(Recorder):
    """Wants its transport closed with the client's end, as protocols do by default."""

    def eof_received(self) -> bool:
        super().eof_received()
        return False


@timeless
async def test_a_protocol_may_leave_with_the_client() -> None:
    async with joined() as pair:
        stream_id, _, recorder = await switched(pair, Leaving())
        recorder.transport.write(b"last")
        pair.client.end_stream(stream_id)
        await pair.settle()
        assert recorder.told == ["made", "eof", LOST]
        assert (pair.answers[stream_id].body, pair.answers[stream_id].ended) == (b"last", True)


# The end


@timeless
async def test_close_sends_what_waits_and_reads_no_more() -> None:
    async with joined(read_buffer_size=1000, max_concurrent_streams=66) as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        transport = recorder.transport
        transport.pause_reading()
        pair.client.send_data(stream_id, bytes(600))
        await pair.settle()
        transport.write(bytes(70_000))
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not transport.is_reading()
        transport.write(b"never")
        pair.client.send_data(stream_id, bytes(400))
        await pair.settle()
        assert recorder.told == ["made"]
        assert pair.client.local_flow_control_window(stream_id) >= 600  # what was not read is granted again
        pair.client.increment_flow_control_window(10_000)
        pair.client.increment_flow_control_window(10_000, stream_id)
        await pair.settle()
        assert len(pair.answers[stream_id].body) == 70_000
        assert pair.answers[stream_id].ended
        assert recorder.told[-1] == LOST


@timeless
async def test_abort_resets() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        recorder.transport.write(bytes(70_000))
        await pair.settle()
        recorder.transport.abort()
        recorder.transport.abort()
        assert recorder.told[-1] != LOST  # soon, not at once
        await pair.settle()
        assert pair.answers[stream_id].reset == ErrorCodes.CANCEL
        assert recorder.told.count(LOST) == 1
        recorder.transport.write(b"x")
        recorder.transport.write_eof()
        assert recorder.transport.get_write_buffer_size() == 0
        _, _, other = await switched(pair)
        pair.client.increment_flow_control_window(2**20)
        other.transport.write(b"goes on")
        await pair.settle()
        assert other.transport.get_write_buffer_size() == 0


@timeless
async def test_how_long_a_client_may_take_nothing_is_counted_from_what_waits_first() -> None:
    async with joined(write_timeout=10.0, ping_interval=None) as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        recorder.transport.write(bytes(65535))  # the whole window
        await pair.pass_time(8)
        recorder.transport.write(b"x")
        await pair.pass_time(5)
        recorder.transport.write(b"y")
        await pair.pass_time(4.5)
        assert pair.answers[stream_id].reset is None
        await pair.pass_time(1)
        assert pair.answers[stream_id].reset == ErrorCodes.CANCEL
        assert recorder.told[-1] == RESET


@timeless
async def test_a_loss_while_it_closes_is_told_once() -> None:
    async with joined() as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        recorder.transport.write(bytes(70_000))
        recorder.transport.close()
        await pair.settle()
        pair.client.reset_stream(stream_id)
        pair.wire.reset()
        await pair.settle()
        assert [each for each in recorder.told if isinstance(each, tuple)] == [RESET]


class FailingBuffered(asyncio.BufferedProtocol):
    """Raises where it is asked for room, or told what has come."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.told: list[Any] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        self.told.append("buffer")
        if self.where == "buffer":
            raise ZeroDivisionError
        return bytearray(1)

    def buffer_updated(self, nbytes: int) -> None:
        self.told.append("updated")
        raise ZeroDivisionError

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(("lost", type(exc)))


class Failing(Recorder):
    """Raises."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.where == "data":
            raise ZeroDivisionError

    def eof_received(self) -> bool:
        super().eof_received()
        if self.where == "eof":
            raise ZeroDivisionError
        return True


@pytest.mark.parametrize("where", ["data", "eof", "buffer", "updated"])
def test_an_error_in_a_protocol_ends_its_stream_only(where: str) -> None:
    problems: list[dict[str, Any]] = []

    async def test() -> None:
        async with joined() as pair:
            failing = Failing(where) if where in ("data", "eof") else FailingBuffered(where)
            stream_id, _, recorder = await switched(pair, failing)
            _, _, other = await switched(pair)
            pair.client.send_data(stream_id, b"ab", end_stream=True)
            await pair.settle()
            assert pair.answers[stream_id].reset == ErrorCodes.CANCEL
            told: dict[str, list[Any]] = {
                "data": ["made", b"ab"],
                "eof": ["made", b"ab", "eof"],
                "buffer": ["buffer"],
                "updated": ["buffer", "updated"],
            }
            assert recorder.told == [*told[where], LOST]
            assert other.told == ["made"]

    loop = Clock()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    loop.run_until_complete(test())
    loop.close()
    [problem] = problems
    assert isinstance(problem["exception"], ZeroDivisionError)
    assert isinstance(problem["protocol"], (Failing, FailingBuffered))
    assert problem["message"] == "Error in a protocol"
    assert problem["transport"] is problem["protocol"].transport


@timeless
async def test_extra_info_is_the_connections() -> None:
    async with joined() as pair:
        _, _, recorder = await switched(pair)
        assert recorder.transport.get_extra_info("kind") == "in memory"
        assert recorder.transport.get_extra_info("nothing", 7) == 7
        assert recorder.transport.get_extra_info("asgi_upgrade.progress") is None  # where the system does not tell


@timeless
async def test_progress_counts_this_stream_and_what_is_below(monkeypatch: pytest.MonkeyPatch) -> None:
    from asgi_upgrade.system.progress import Progress

    async with joined() as pair:
        pair.grants = False
        stream_id, _, recorder = await switched(pair)
        progress = Progress(1_000_000, 100, 5)
        monkeypatch.setattr(pair.wire, "get_extra_info", lambda name, default=None: progress)
        recorder.transport.write(bytes(70_000))
        for size in (20, 10):
            pair.client.send_data(stream_id, bytes(size))
            await pair.settle()
        assert recorder.transport.get_extra_info("asgi_upgrade.progress") == (1_065_535, 70_000 - 65535 + 100, 30)
