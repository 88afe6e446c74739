"""When pings go out and when a client is given up, on a transport in memory and a loop whose time passes by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_upgrade.system.progress import Progress
from asgi_upgrade.websocket.keepalive import IdleWatch, KeepAlive
from tests.unit.http2.clock import Clock, timeless
from tests.unit.http2.pair import Wire as PlainWire
from tests.unit.waiting import turns

TIMEOUT = 0.25
# Seconds between two looks for a sign of life.
LOOK = TIMEOUT / 4
# Seconds for a last look.
LAST = 0.01


def now() -> float:
    """Seconds since the test began, which is when the clock of its loop stood at 1000."""
    return round(asyncio.get_running_loop().time() - 1000.0, 3)


class Wire(PlainWire):
    """The server's transport. What the system tells of its progress is what the test says."""

    progress: Progress | None = None

    def __init__(self) -> None:
        super().__init__()
        self._looks = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "asgi_upgrade.progress":
            self._looks += 1
            assert self._looks < 1000, "it looks again and again"
            return self.progress
        return super().get_extra_info(name, default)


class Connection:
    """The connection that is watched over: it notes when it sends pings, and when it gives its client up."""

    def __init__(self) -> None:
        self.heard = True
        self.reading_paused = False
        self.pings: list[float] = []
        self.given_up: list[float] = []
        self.wire = Wire()
        self.answers = False
        self.watch: KeepAlive | None = None

    def send_ping(self) -> None:
        self.pings.append(now())
        if self.answers:
            asyncio.get_running_loop().call_later(0.001, self.hear)

    def hear(self) -> None:
        self.heard = True

    def give_up(self) -> None:
        self.given_up.append(now())
        assert self.watch is not None
        self.watch.cancel()


def begin(
    *, interval: float, timeout: float | None, answers: bool = False, progress: Progress | None = None
) -> Connection:
    """A connection that has just sent its first ping."""
    connection = Connection()
    connection.answers = answers
    connection.wire.progress = progress
    loop = asyncio.get_running_loop()
    connection.watch = KeepAlive(connection, connection.wire, loop, interval=interval, timeout=timeout)
    assert connection.pings == [0.0]
    assert connection.heard is False
    return connection


async def end(connection: Connection) -> None:
    """Nothing goes on when it is cancelled."""
    assert connection.watch is not None
    connection.watch.cancel()
    before = list(connection.pings), list(connection.given_up)
    await asyncio.sleep(100_000.0)
    assert (connection.pings, connection.given_up) == before


# Pings


@pytest.mark.parametrize(
    ("interval", "timeout"),
    [(0.25, None), (0.25, 0.25), (0.25, 0.4), (0.25, 20.0), (0.25, 0.1), (0.25, 0.02), (2000.0, 16.0)],
)
@timeless
async def test_a_client_that_answers_gets_a_ping_in_each_interval(interval: float, timeout: float | None) -> None:
    connection = begin(interval=interval, timeout=timeout, answers=True)
    await asyncio.sleep(interval * 4.5)
    expected = [interval * number for number in range(5)]
    # Long timers may ring a little late.
    assert connection.pings == [pytest.approx(each, abs=0.002 if interval < 1 else 0.2) for each in expected]
    assert not connection.given_up
    await end(connection)


@timeless
async def test_without_a_timeout_nothing_is_expected() -> None:
    connection = begin(interval=0.25, timeout=None)
    await asyncio.sleep(1.1)
    assert connection.pings == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert not connection.given_up
    await end(connection)


# The time for a sign of life


@pytest.mark.parametrize(
    ("interval", "timeout"), [(10.0, 0.25), (0.25, 0.25), (0.0625, 0.25), (0.03125, 0.25), (0.15625, 1.0)]
)
@pytest.mark.parametrize("progress", [None, Progress(0, 0, 0), Progress(300, 20, 100)])
@timeless
async def test_a_client_that_shows_no_sign_is_given_up(
    interval: float, timeout: float, progress: Progress | None
) -> None:
    connection = begin(interval=interval, timeout=timeout, progress=progress)
    await asyncio.sleep(2 * timeout)
    assert connection.given_up == [pytest.approx(timeout + LAST, abs=0.002)]
    assert connection.pings == [0.0]
    await end(connection)


@timeless
async def test_long_times_are_kept_to() -> None:
    connection = begin(interval=20.0, timeout=20.0)
    await asyncio.sleep(60.0)
    [given_up] = connection.given_up
    assert 20.0 <= given_up < 20.2
    await end(connection)


@timeless
async def test_a_sign_before_the_last_look_is_enough() -> None:
    connection = begin(interval=1.0, timeout=TIMEOUT)
    await asyncio.sleep(TIMEOUT + LAST / 2)
    connection.hear()
    await asyncio.sleep(1.0)
    assert connection.pings == [0.0, pytest.approx(1.0, abs=0.04)]
    assert not connection.given_up
    # The next ping has its whole time.
    await asyncio.sleep(1.0)
    assert connection.given_up == [pytest.approx(connection.pings[1] + TIMEOUT + LAST, abs=0.002)]
    await end(connection)


@timeless
async def test_the_next_ping_is_not_late_because_the_sign_was() -> None:
    interval = 0.15625
    connection = begin(interval=interval, timeout=0.75)
    await asyncio.sleep(2 * interval + 0.01)
    connection.hear()
    await asyncio.sleep(interval)
    assert connection.pings == [0.0, pytest.approx(3 * interval, abs=0.002)]
    await end(connection)


@timeless
async def test_time_in_which_nothing_was_read_does_not_count() -> None:
    connection = begin(interval=10.0, timeout=TIMEOUT)
    await asyncio.sleep(1.5 * LOOK)
    connection.reading_paused = True
    await asyncio.sleep(LOOK)
    connection.reading_paused = False
    await asyncio.sleep(1.0)
    assert connection.given_up == [pytest.approx(6 * LOOK + LAST, abs=0.002)]
    await end(connection)


@timeless
async def test_time_in_which_the_loop_was_held_up_does_not_count() -> None:
    connection = begin(interval=10.0, timeout=TIMEOUT)
    await asyncio.sleep(2.5 * LOOK)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Clock)
    loop.hold_up(2 * LOOK)
    await asyncio.sleep(1.0)
    # The third look came one look and a half too late.
    assert connection.given_up == [pytest.approx(5.5 * LOOK + LAST, abs=0.002)]
    await end(connection)


# What the system tells of the client


@pytest.mark.parametrize(
    ("before", "looks", "last"),
    [
        # It sends.
        ((300, 20, 100), [(300, 20, 101)], 5),
        ((300, 20, 100), [(300, 20, 101), (300, 20, 101), (300, 20, 102)], 7),
        # It takes what is in front of the ping, and the ping.
        ((300, 20, 100), [(310, 10, 100)], 5),
        ((300, 20, 100), [(310, 10, 100), (310, 10, 100), (311, 9, 100)], 7),
        ((300, 2, 100), [(301, 1, 100), (302, 0, 100)], 6),
        # It takes what is behind the ping.
        ((300, 20, 100), [(320, 50, 100), (330, 40, 100), (370, 0, 100)], 5),
        # More waits to be sent.
        ((300, 20, 100), [(300, 50, 100), (300, 90, 100)], 4),
        # Nobody knew anything when the ping was sent.
        (None, [(0, 0, 0), (1, 0, 0)], 4),
    ],
)
@timeless
async def test_what_the_client_sends_and_takes_is_a_sign(
    before: tuple[int, int, int] | None, looks: list[tuple[int, int, int]], last: int
) -> None:
    connection = begin(interval=10.0, timeout=TIMEOUT, progress=None if before is None else Progress(*before))
    await asyncio.sleep(LOOK / 2)
    for look in looks:
        connection.wire.progress = Progress(*look)
        await asyncio.sleep(LOOK)
    await asyncio.sleep(1.0)
    assert connection.given_up == [pytest.approx(last * LOOK + LAST, abs=0.002)]
    await end(connection)


@timeless
async def test_what_leaves_the_transport_is_a_sign_where_the_system_tells_nothing() -> None:
    connection = Connection()
    connection.wire.unsent += bytes(100)
    loop = asyncio.get_running_loop()
    connection.watch = KeepAlive(connection, connection.wire, loop, interval=10.0, timeout=TIMEOUT)
    await asyncio.sleep(LOOK / 2)
    for unsent in (50, 60, 55):
        connection.wire.unsent[:] = bytes(unsent)
        await asyncio.sleep(LOOK)
    await asyncio.sleep(1.0)
    assert connection.given_up == [pytest.approx(7 * LOOK + LAST, abs=0.002)]
    await end(connection)


# Idleness


@timeless
async def test_a_connection_without_messages_is_idle_once() -> None:
    told: list[float] = []
    IdleWatch(0.25, asyncio.get_running_loop(), lambda: told.append(now()))
    await asyncio.sleep(0.25)
    await turns()
    assert told == [0.25]
    await asyncio.sleep(1000.0)
    assert told == [0.25]


@timeless
async def test_each_message_begins_the_time_again() -> None:
    told: list[float] = []
    loop = asyncio.get_running_loop()
    watch = IdleWatch(10.0, loop, lambda: told.append(now()))
    for moved in (0.5, 7.0):
        await asyncio.sleep(moved - now())
        watch.last = loop.time()
    await asyncio.sleep(10.1)
    assert told == [pytest.approx(17.0, abs=0.04)]
    watch = IdleWatch(10.0, loop, lambda: told.append(now()))
    watch.last += 0.5
    await asyncio.sleep(10.2)
    assert len(told) == 1, "half a second is missing"
    watch.cancel()
    await asyncio.sleep(100.0)
    assert len(told) == 1
