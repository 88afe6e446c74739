"""A plugin of coverage.py: a server that a test ends by `children.stop` saves what it has measured, then ends at once.

SIGTERM would do, but slower, and with more of the server's code than the test means to run. SIGKILL saves nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any

__all__ = ["SIGNAL", "coverage_init", "is_measured"]

# Of those that nothing here has a meaning for. A process without a handler ends by it.
SIGNAL: int | None = getattr(signal, "SIGRTMIN", None)


def is_measured() -> bool:
    """Whether coverage.py measures this process, and the children that inherit its environment."""
    return "COVERAGE_PROCESS_CONFIG" in os.environ


def coverage_init(registry: Any, options: dict[str, Any]) -> None:
    """Called by coverage.py when it starts in a process."""
    if SIGNAL is not None:
        with suppress(ValueError):  # not the main thread
            signal.signal(SIGNAL, _save_and_end)


def _save_and_end(number: int, frame: object) -> None:
    measured = sys.modules["coverage"].Coverage.current()
    if measured is not None:
        measured.stop()
        measured.save()
    os.kill(os.getpid(), signal.SIGKILL)
