"""What a process has used so far, as the kernel counts it (Linux)."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    """Seconds of processor time, its own and the kernel's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> int:
    """Bytes of memory that are resident now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def peak(pid: int) -> int:
    """Bytes of memory that have been resident at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


class Spent:
    """What a process has used in a block.

    Attributes:
        seconds: Of processor time; known when the block has ended.
    """

    seconds = 0.0


@contextmanager
def measured(pid: int) -> Iterator[Spent]:
    """Measure what the process uses until the block ends."""
    spent = Spent()
    before = cpu(pid)
    yield spent
    spent.seconds = cpu(pid) - before


def still(value: Callable[[], int], times: int = 20) -> int:
    """Wait until a value of a process that works has been the same `times` times, 20 ms and some work apart."""
    deadline = time.monotonic() + 60
    seen, left = value(), times
    while left:
        time.sleep(0.02)
        left -= 1
        if (now := value()) != seen:
            assert time.monotonic() < deadline, f"it still changes: {now}"
            seen, left = now, times
    return seen
