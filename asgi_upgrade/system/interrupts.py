"""Ctrl-C for commands that run an event loop of their own."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import FrameType

__all__ = ["run_interruptibly"]

T = TypeVar("T")


def run_interruptibly(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own; Ctrl-C cancels it.

    asyncio's own handler cancels between any two instructions, also while a callback of the loop settles the very
    future that is cancelled; the loop then logs an exception of its own. Here the loop cancels, in a turn.

    A second Ctrl-C raises at once: for a coroutine that gives the loop no turn.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        Exception: What the coroutine raises.
    """
    is_ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if not is_ours:  # somebody else has decided what Ctrl-C does
        return asyncio.run(coroutine)
    interrupted = False

    async def run() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            nonlocal interrupted
            interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
            loop.call_soon_threadsafe(task.cancel)

        signal.signal(signal.SIGINT, interrupt)
        return await coroutine

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
