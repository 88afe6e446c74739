"""`Flusher`: once in a turn, in order, whatever one of them does."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from asgi_upgrade.websocket.flusher import Flusher

if TYPE_CHECKING:
    from collections.abc import Callable


class Writing:
    """Has something to send: calls a function."""

    def __init__(self, write: Callable[[], None]) -> None:
        self.flush = write


def test_all_are_called_in_the_next_turn_in_order() -> None:
    async def run() -> None:
        called: list[str] = []
        flusher = Flusher.of(asyncio.get_running_loop())
        assert Flusher.of(asyncio.get_running_loop()) is flusher
        flusher.add(Writing(lambda: called.append("first")))
        flusher.add(Writing(lambda: called.append("second")))
        assert called == []
        await asyncio.sleep(0)
        assert called == ["first", "second"]
        await asyncio.sleep(0)
        assert called == ["first", "second"]

    asyncio.run(run())


def test_turns_are_counted() -> None:
    async def run() -> None:
        flusher = Flusher.of(asyncio.get_running_loop())
        first = flusher.turn
        for number in range(3):
            assert flusher.turn == first + number
            flusher.add(Writing(lambda: None))
            await asyncio.sleep(0)

    asyncio.run(run())


def test_what_is_added_meanwhile_is_for_the_turn_after() -> None:
    async def run() -> None:
        called: list[str] = []
        flusher = Flusher.of(asyncio.get_running_loop())

        def first() -> None:
            called.append("first")
            flusher.add(Writing(lambda: called.append("later")))

        flusher.add(Writing(first))
        flusher.add(Writing(lambda: called.append("second")))
        await asyncio.sleep(0)
        assert called == ["first", "second"]
        await asyncio.sleep(0)
        assert called == ["first", "second", "later"]

    asyncio.run(run())


def test_many_do_not_wait_for_the_turn_to_end() -> None:
    async def run() -> None:
        called: list[int] = []
        flusher = Flusher.of(asyncio.get_running_loop())
        for number in range(1000):
            written = len(called)
            flusher.add(Writing(partial(called.append, number)))
            assert number - len(called) < 128
            assert number not in called[written:], "it has nothing to write before it was added"
        assert flusher.full
        turn = flusher.turn
        await asyncio.sleep(0)
        assert called == list(range(1000))
        assert not flusher.full
        assert flusher.turn == turn + 1

    asyncio.run(run())


def test_a_long_turn_is_noticed() -> None:
    async def run() -> None:
        called: list[int] = []
        flusher = Flusher.of(asyncio.get_running_loop())
        for number in range(20):
            flusher.add(Writing(partial(called.append, number)))
            time.sleep(0.001)  # noqa: ASYNC251 - what a busy application does
        assert called[0] == 0
        assert flusher.full

    asyncio.run(run())


def test_a_short_turn_with_few_is_left_alone() -> None:
    async def run() -> None:
        called: list[int] = []
        flusher = Flusher.of(asyncio.get_running_loop())
        for number in range(7):
            flusher.add(Writing(partial(called.append, number)))
        assert not called
        assert not flusher.full
        await asyncio.sleep(0)
        assert called == list(range(7))

    asyncio.run(run())


def test_a_share_that_was_spent_early_in_a_turn_leaves_room_for_others() -> None:
    """On a busy machine a turn may take longer than it should: one of many does not."""

    async def run() -> None:
        flusher = Flusher.of(asyncio.get_running_loop())
        early = []
        for _ in range(1000):
            turn = flusher.turn
            assert flusher.spend() == turn
            assert not flusher.full, "the turn has only begun"
            assert flusher.spend() == turn
            for _ in range(20):
                flusher.add(Writing(lambda: None))
            early.append(not flusher.full)
            await asyncio.sleep(0)
            assert flusher.turn == turn + 1, "to spend ends the turn too"
            if any(early):
                break
        assert any(early)

    asyncio.run(run())


def test_a_share_that_was_spent_late_in_a_turn_is_the_last() -> None:
    async def run() -> None:
        flusher = Flusher.of(asyncio.get_running_loop())
        flusher.spend()
        time.sleep(0.01)  # noqa: ASYNC251 - what a busy application does
        flusher.spend()
        assert flusher.full
        await asyncio.sleep(0)
        assert not flusher.full

    asyncio.run(run())


def test_who_has_asked_before_in_a_turn_sends_again() -> None:
    async def run() -> None:
        flusher = Flusher.of(asyncio.get_running_loop())
        flusher.add(Writing(lambda: None))

        async def ask() -> list[bool]:
            return [flusher.sends_again(), flusher.sends_again()]

        assert await ask() == [False, True]
        assert await asyncio.create_task(ask()) == [False, True]
        flusher.add(Writing(lambda: None))
        assert await ask() == [False, True]
        await asyncio.sleep(0)
        assert await ask() == [False, True], "another turn has begun"

    asyncio.run(run())


def test_one_that_raises_does_not_stop_the_others() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        reported: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: reported.append(context))
        called: list[str] = []
        flusher = Flusher.of(loop)

        def fail() -> None:
            raise RuntimeError("the transport is broken")

        flusher.add(Writing(fail))
        flusher.add(Writing(lambda: called.append("other")))
        await asyncio.sleep(0)
        assert called == ["other"]
        (context,) = reported
        assert context["message"].startswith("Exception when ")
        assert str(context["exception"]) == "the transport is broken"

    asyncio.run(run())


def test_each_loop_has_its_own() -> None:
    first = asyncio.new_event_loop()
    second = asyncio.new_event_loop()
    try:
        assert Flusher.of(first) is not Flusher.of(second)
    finally:
        first.close()
        second.close()


def test_a_loop_can_be_freed() -> None:
    loop = asyncio.new_event_loop()
    Flusher.of(loop)
    loop.close()
    freed = weakref.ref(loop)
    del loop
    gc.collect()
    assert freed() is None
