"""`Closing`: each step of the end and its time, on a transport in memory and a loop whose time passes by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_upgrade.system.timers import Timers
from asgi_upgrade.websocket.closing import Closing
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import Wire as PlainWire

MEBIBYTE = 1024 * 1024
# More than all of them.
LONG = 300.0


class Wire(PlainWire):
    """The server's transport, which notes what is done to it and when, in twentieths of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[str, float]] = []
        self._begun = asyncio.get_running_loop().time()

    def note(self, step: str) -> None:
        # A timer may ring a thirtieth of a second late.
        since = asyncio.get_running_loop().time() - self._begun
        self.done.append((step, int((since + 0.001) * 20) / 20))

    def write_eof(self) -> None:
        self.note("end")
        super().write_eof()

    def close(self) -> None:
        self.note("close")
        super().close()

    def abort(self) -> None:
        self.note("abort")
        super().abort()


class Owner(asyncio.Protocol):
    """Tells `Closing` that the transport is gone."""

    def __init__(self, closing: Closing) -> None:
        self._closing = closing

    def connection_lost(self, _: Exception | None) -> None:
        self._closing.cancel()


def begin(*, unsent: int = 0, **settings: Any) -> tuple[Closing, Wire]:
    """The end of a connection, where `unsent` bytes wait to be sent."""
    loop = asyncio.get_running_loop()
    wire = Wire()
    wire.unsent += bytes(unsent)
    closing = Closing(wire, WebSocketSettings(**settings), loop, Timers.of(loop))
    wire.protocol = Owner(closing)
    return closing, wire


@timeless
async def test_the_application_has_its_time_for_an_answer() -> None:
    closing, wire = begin(answer_timeout=4.0)
    closing.await_answer(lambda: wire.note("time is up"))
    await asyncio.sleep(LONG)
    assert wire.done == [("time is up", 4.0)]


@timeless
async def test_nothing_happens_when_the_transport_is_gone() -> None:
    closing, wire = begin()
    closing.cancel()
    closing.await_answer(lambda: wire.note("time is up"))
    closing.cancel()
    closing.cancel()
    closing.hurry()
    await asyncio.sleep(LONG)
    assert wire.done == []


@timeless
async def test_the_time_of_a_step_ends_with_it() -> None:
    closing, wire = begin(answer_timeout=4.0, close_timeout=7.0)
    closing.await_answer(lambda: wire.note("time is up"))
    closing.await_client(while_it_reads=False)
    await asyncio.sleep(6.0)
    closing.end_our_direction()
    await asyncio.sleep(LONG)
    assert wire.done == [("end", 6.0), ("close", 7.0)]


# The client's close frame


@pytest.mark.parametrize("while_it_reads", [False, True])
@timeless
async def test_a_client_that_does_not_answer_is_cut_off(while_it_reads: bool) -> None:
    closing, wire = begin(unsent=100, close_timeout=7.0)
    closing.await_client(while_it_reads=while_it_reads)
    await asyncio.sleep(LONG)
    assert wire.done == [("abort", 7.0)]


@pytest.mark.parametrize(("while_it_reads", "end"), [(False, 7.0), (True, 28.0)])
@timeless
async def test_a_client_that_reads_what_came_before_may_take_longer(while_it_reads: bool, end: float) -> None:
    closing, wire = begin(unsent=3, close_timeout=7.0)
    closing.await_client(while_it_reads=while_it_reads)
    for _ in range(3):
        await asyncio.sleep(6.0)
        del wire.unsent[:1]
    await asyncio.sleep(LONG)
    [(step, at)] = wire.done
    assert step == "abort"
    assert end <= at <= end + 0.1, "each of four timers may be late"


@timeless
async def test_a_client_that_reads_is_cut_off_when_the_server_stops() -> None:
    closing, wire = begin(unsent=100, close_timeout=7.0, stop_timeout=2.0)
    closing.await_client(while_it_reads=True)
    await asyncio.sleep(6.0)
    closing.hurry()
    wire.unsent.clear()
    await asyncio.sleep(LONG)
    assert wire.done == [("abort", 7.0)]


# Our direction ends


@pytest.mark.parametrize(("close_timeout", "until"), [(7.0, 1.0), (0.5, 0.5)])
@timeless
async def test_the_client_has_a_moment_to_end_its_direction(close_timeout: float, until: float) -> None:
    closing, wire = begin(close_timeout=close_timeout)
    closing.end_our_direction()
    await asyncio.sleep(LONG)
    assert wire.done == [("end", 0.0), ("close", until)]


@timeless
async def test_what_is_left_may_be_sent_behind_the_end() -> None:
    closing, wire = begin(unsent=100, close_timeout=7.0)
    closing.end_our_direction()
    await asyncio.sleep(5.0)
    wire.take()
    await asyncio.sleep(LONG)
    assert wire.done == [("end", 0.0), ("close", 1.0)]
    closing, wire = begin(unsent=100, close_timeout=7.0)
    closing.let_go()
    await asyncio.sleep(LONG)
    assert wire.done == [("close", 0.0), ("abort", 7.0)]


@pytest.mark.parametrize(("close_timeout", "until"), [(7.0, 1.0), (0.5, 0.5)])
@timeless
async def test_a_client_whose_bytes_are_not_read_any_more_has_a_moment(close_timeout: float, until: float) -> None:
    closing, wire = begin(close_timeout=close_timeout)
    closing.cut_soon()
    await asyncio.sleep(LONG)
    assert wire.done == [("end", 0.0), ("abort", until)]


# A client that has broken a rule


@pytest.mark.parametrize(
    ("close_timeout", "sending_until", "end"),
    [
        (7.0, 0.0, 0.05),
        (7.0, 0.13, 0.2),  # what was sent until 0.13 is noticed at 0.15
        (7.0, LONG, 1.0),
        (0.3, LONG, 0.3),
        (0.05, LONG, 0.05),
    ],
)
@timeless
async def test_our_direction_ends_when_nothing_more_comes(
    close_timeout: float, sending_until: float, end: float
) -> None:
    closing, wire = begin(close_timeout=close_timeout)
    closing.ignore(5)
    closing.end_when_quiet()
    sent = 0.0
    while sent < sending_until and not wire.ended:
        await asyncio.sleep(0.02)
        sent += 0.02
        closing.ignore(1)
    await asyncio.sleep(LONG)
    (first, ended), last = wire.done
    assert first == "end"
    assert end <= ended <= end + 0.05, "it looks twenty times in a second"
    assert (last[0], round(last[1] - ended, 2)) in [
        ("abort", close_timeout),
        ("abort", round(close_timeout + 0.05, 2)),
    ]


@timeless
async def test_the_time_for_what_is_sent_does_not_begin_again() -> None:
    closing, wire = begin(close_timeout=0.05)
    closing.end_when_quiet()
    closing.ignore(1)
    await asyncio.sleep(0.06)
    assert wire.done == [("end", 0.05)]
    closing.cancel()


@timeless
async def test_a_client_is_not_read_without_end() -> None:
    """There is room for the longest message, and for a mebibyte."""
    for longest, limit in ((1000, 17 * MEBIBYTE), (32 * MEBIBYTE, 33 * MEBIBYTE)):
        closing, wire = begin(max_message_size=longest)
        assert closing.is_full is False
        closing.ignore(MEBIBYTE)
        closing.ignore(limit - MEBIBYTE)
        assert closing.is_full is False
        closing.ignore(1)
        assert closing.is_full is True
        closing.end_when_quiet()
        await asyncio.sleep(LONG)
        assert wire.done == [("end", 0.0), ("close", 1.0)]


# The server stops


@pytest.mark.parametrize(("close_timeout", "stop_timeout"), [(70.0, 2.0), (2.0, 70.0)])
@timeless
async def test_a_stop_waits_for_the_shorter_time(close_timeout: float, stop_timeout: float) -> None:
    closing, wire = begin(close_timeout=close_timeout, stop_timeout=stop_timeout)
    closing.hurry()
    closing.await_client(while_it_reads=False)
    await asyncio.sleep(LONG)
    assert wire.done == [("abort", 2.0)]


@timeless
async def test_a_stop_shortens_the_step_that_goes_on() -> None:
    closing, wire = begin(unsent=100, close_timeout=70.0, stop_timeout=2.0)
    closing.await_client(while_it_reads=True)
    await asyncio.sleep(5.0)
    closing.hurry()
    await asyncio.sleep(LONG)
    assert wire.done == [("abort", 7.0)]


@pytest.mark.parametrize("stop_timeout", [1.0, 5.0])
@timeless
async def test_a_stop_leaves_a_step_alone_that_is_as_short(stop_timeout: float) -> None:
    closing, wire = begin(close_timeout=70.0, stop_timeout=stop_timeout)
    closing.end_our_direction()
    closing.hurry()
    await asyncio.sleep(LONG)
    assert wire.done == [("end", 0.0), ("close", 1.0)]


@timeless
async def test_a_stop_shortens_the_moments_too() -> None:
    closing, wire = begin(close_timeout=70.0, stop_timeout=0.25)
    closing.hurry()
    closing.end_our_direction()
    await asyncio.sleep(LONG)
    assert wire.done == [("end", 0.0), ("close", 0.25)]
