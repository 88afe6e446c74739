"""The timers that connections share."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asgi_upgrade.system.timers import Timer, Timers

# A timer may ring one tick late; the loop has its own delays.
TICK = 1 / 32


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next thing that is to be done."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.calls: list[float] = []  # for which it was asked to call

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:  # type: ignore[override]
        self.calls.append(when)
        return super().call_at(when, *args, **kwargs)

    async def until(self, when: float) -> None:
        while self.now < when:
            self.now = min([when, *[call for call in self.calls if call > self.now]])
            for _ in range(3):
                await asyncio.sleep(0)


def run(scenario: Callable[[Clock, Timers], Awaitable[None]]) -> Clock:
    """Run a scenario, in which no timer fails unless the scenario hears of it itself."""
    loop = Clock()
    failed: list[Any] = []
    loop.set_exception_handler(lambda _, context: failed.append(context))
    try:
        loop.run_until_complete(scenario(loop, Timers.of(loop)))
    finally:
        loop.close()
    assert failed == []
    return loop


@pytest.mark.parametrize("delay", [0.01, 0.49, 0.5, 1.0, 1 + TICK / 3, 20.0, 3600.0])
def test_a_timer_rings_once_not_early_and_at_most_a_tick_late(delay: float) -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        rung: list[float] = []
        timer = timers.start(loop, delay, lambda: rung.append(loop.now))
        assert timer.when == 1000.0 + delay
        await loop.until(1000.0 + 2 * delay + 1)
        assert len(rung) == 1
        assert 1000.0 + delay <= rung[0] <= 1000.0 + delay + TICK

    run(scenario)


@pytest.mark.parametrize("delay", [0.1, 5.0])
def test_a_cancelled_timer_never_rings_and_keeps_nothing(delay: float) -> None:
    class Owner:
        def ring(self) -> None:
            raise AssertionError("it was cancelled")

    async def scenario(loop: Clock, timers: Timers) -> None:
        owner = Owner()
        gone = weakref.ref(owner)
        timer = timers.start(loop, delay, owner.ring)
        timer.cancel()
        timer.cancel()
        del owner
        gc.collect()
        assert gone() is None
        await loop.until(1000.0 + 2 * delay)

    run(scenario)


def alive() -> list[Timer]:
    return [each for each in gc.get_objects() if isinstance(each, Timer)]


@pytest.mark.parametrize("delay", [0.1, 5.0])
def test_a_timer_that_its_owner_has_cancelled_and_dropped_is_freed(delay: float) -> None:
    """Connections come and go all the time; their timers may not wait for the hour at which they would have rung."""

    async def scenario(loop: Clock, timers: Timers) -> None:
        before = alive()  # those of other tests, whose loops somebody keeps
        kept = timers.start(loop, delay, lambda: None)
        for _ in range(100):
            timers.start(loop, delay, lambda: None).cancel()
        await loop.until(1000.2)  # the event loop lets go of its own when their time has come
        gc.collect()
        assert [each for each in alive() if not any(each is other for other in before)] == [kept]

    run(scenario)


def test_timers_ring_in_the_order_of_their_time_whatever_the_order_in_which_they_were_started() -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        rung: list[tuple[float, float]] = []
        for delay in (20.0, 1.0, 5.0, 0.6, 19.0, 2.0):
            timers.start(loop, delay, lambda delay=delay: rung.append((delay, loop.now - 1000.0)))  # type: ignore[misc]
        await loop.until(1030.0)
        assert [delay for delay, _ in rung] == [0.6, 1.0, 2.0, 5.0, 19.0, 20.0]
        assert all(delay <= after <= delay + TICK for delay, after in rung)

    run(scenario)


def test_a_timer_may_start_another_and_stop_one_of_its_own_tick() -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        rung: list[str] = []
        pair: list[Timer] = []

        def ring(name: str, other: int) -> None:
            rung.append(name)
            pair[other].cancel()
            timers.start(loop, 1.0, lambda: rung.append("next"))

        pair.append(timers.start(loop, 1.0, lambda: ring("one", 1)))
        pair.append(timers.start(loop, 1.0, lambda: ring("other", 0)))
        await loop.until(1003.0)
        assert rung in (["one", "next"], ["other", "next"])

    run(scenario)


def test_a_timer_that_fails_is_told_and_does_not_keep_the_others_from_ringing() -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        rung: list[int] = []
        for number in range(10):
            timers.start(loop, 1.0, lambda number=number: rung.append(1 // (number != 3)))  # type: ignore[misc]
        await loop.until(1002.0)
        assert len(rung) == 9
        [context] = told
        assert context.keys() == {"message", "exception"}
        assert context["message"] == "Exception in a timer of a connection"
        assert isinstance(context["exception"], ZeroDivisionError)

    run(scenario)


@pytest.mark.parametrize("step", [0.0, 0.001])
def test_ten_thousand_timers_are_one_of_the_loop(step: float) -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        for number in range(10_000):
            Timers.of(loop).start(loop, 20.0 + number * step, lambda: None)

    assert len(run(scenario).calls) == 1


def test_timers_that_are_started_again_and_again_do_not_become_more_of_the_loop() -> None:
    """As pings do, on a connection whose first timer was stopped by an earlier one."""

    async def scenario(loop: Clock, timers: Timers) -> None:
        def ring() -> None:
            timers.start(loop, 20.0, ring)

        timers.start(loop, 20.0, ring)
        timers.start(loop, 1.0, lambda: None)
        await loop.until(1000.0 + 20 * 20)

    assert len(run(scenario).calls) <= 20 + 3


def test_a_loop_that_was_busy_for_long_rings_all_that_is_late_in_one_turn() -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        rung: list[int] = []
        for number in range(100):
            timers.start(loop, 1.0 + number * TICK, lambda number=number: rung.append(number))  # type: ignore[misc]
        loop.now += 60.0
        for _ in range(3):
            await asyncio.sleep(0)
        assert rung == list(range(100))

    run(scenario)


def test_the_timers_of_a_loop_do_not_keep_it() -> None:
    async def scenario(loop: Clock, timers: Timers) -> None:
        timers.start(loop, 20.0, lambda: None)

    gone = weakref.ref(run(scenario))
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("delay", [0.1, 20.0])
def test_no_context_of_a_request_is_kept_for_a_timer(delay: float) -> None:
    from contextvars import ContextVar

    class Request:
        pass

    variable: ContextVar[Request | None] = ContextVar("variable", default=None)
    gone: list[weakref.ref[Request]] = []

    async def handle(loop: Clock, timers: Timers) -> None:
        request = Request()
        gone.append(weakref.ref(request))
        variable.set(request)
        timers.start(loop, delay, lambda: None)

    async def scenario(loop: Clock, timers: Timers) -> None:
        await asyncio.create_task(handle(loop, timers))
        await asyncio.sleep(0)
        gc.collect()
        assert gone[0]() is None

    run(scenario)
