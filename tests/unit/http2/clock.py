"""An event loop whose time passes by itself: a test of a minute takes no time, and one that would hang fails."""

from __future__ import annotations

import asyncio
import functools
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _Selector(selectors.DefaultSelector):
    """Waits for nobody: the time that it is told to wait has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            assert timeout is not None, "everybody waits, and nothing will ever wake them"
            self.passed += max(timeout, 0.0)
        return events


class Clock(asyncio.SelectorEventLoop):
    """A loop that jumps to the next timer when there is nothing else to do."""

    def __init__(self) -> None:
        self._waits = _Selector()
        super().__init__(self._waits)

    def time(self) -> float:
        return 1000.0 + self._waits.passed

    def hold_up(self, seconds: float) -> None:
        """Let time pass before the loop turns again, as something does that computes for long."""
        self._waits.passed += seconds


def timeless(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Have pytest run a coroutine function on such a loop."""

    @functools.wraps(test)
    def wrapper(*args: Any, **options: Any) -> None:
        run(lambda: test(*args, **options))

    return wrapper


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `test()`; what is left behind, or goes wrong in a callback, fails too."""
    loop = Clock()
    problems: list[dict[str, Any]] = []
    failed: list[asyncio.Task[Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    loop.set_task_factory(functools.partial(_start, failed))
    try:
        loop.run_until_complete(test())
        left = asyncio.all_tasks(loop)
        assert not left, left
    finally:
        loop.close()
    assert not problems, problems
    # asyncio tells of these when they are collected, which may be after the test.
    unnoticed = [task for task in failed if task._log_traceback]
    assert not unnoticed, unnoticed


def _start(failed: list[asyncio.Task[Any]], loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
    task = asyncio.Task(coroutine, loop=loop, **options)
    task.add_done_callback(lambda task: failed.append(task) if task._log_traceback else None)
    return task
