"""Many open connections, one in a hundred of them active."""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import generator, messages, processes
from benchmarks.generator import LoadError, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTIVE = 0.01  # of all
SETTLE = 0.5  # seconds before memory is read
FIRST = 50  # connections opened and closed beforehand, so that what is loaded once is loaded
GENERATORS = 2  # processes that open connections at once
SPARE = 200  # descriptors that a process needs for other things
SIZE = 32  # bytes of a message


@dataclass(frozen=True)
class Crowd:
    """What was measured.

    Attributes:
        connections: That were open.
        opened: Connections opened in a second.
        size: Bytes of the server's memory for each that is open and silent, above what it had before.
        memory: All bytes that the server has with all of them.
        echo: Messages per second of the active ones, and their round trips in microseconds.
    """

    connections: int
    opened: float
    size: float
    memory: int
    echo: Sample


def allowed(wanted: int) -> int:
    """As many connections of ``wanted`` as a process may have open, after raising its limit as far as possible."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
        except (OSError, ValueError):
            return max(hard - SPARE, 1)
    return wanted


def gather(pid: int, port: int, connections: int, seconds: float, core: int) -> Crowd:
    """Open them, measure what they take, have the active ones talk for some seconds, and leave.

    Raises:
        LoadError: The server lost a connection, or answered with anything but what was sent.
    """
    active = max(int(connections * ACTIVE), 1)
    silent = connections - active
    with _opening(port, FIRST, core) as process:
        _wait_until_open(process)
    time.sleep(SETTLE)
    before = processes.memory(pid)
    with ExitStack() as stack:
        start = time.monotonic()
        shares = [silent // GENERATORS + (number < silent % GENERATORS) for number in range(GENERATORS)]
        running = [stack.enter_context(_opening(port, share, core)) for share in shares]
        for process in running:
            _wait_until_open(process)
        opened = silent / (time.monotonic() - start)
        time.sleep(SETTLE)
        memory = processes.memory(pid)
        with tempfile.TemporaryDirectory() as folder:
            frames = Path(folder) / "frames"
            frames.write_bytes(messages.client_frame(messages.letters(SIZE)[0], text=False, deflate=False))
            echo = generator.run(
                "echo", core, seconds=seconds, path="/echo", port=port, connections=active, frames=frames
            )
        if any(process.poll() is not None for process in running):
            raise LoadError("the silent ones are gone")
    return Crowd(connections, opened, (memory - before) / silent, memory, echo)


@contextmanager
def _opening(port: int, connections: int, core: int) -> Iterator[subprocess.Popen[str]]:
    """A process that opens connections, and keeps them for the length of the block."""
    process = generator.start("idle", core, path="/echo", port=port, connections=connections)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_until_open(process: subprocess.Popen[str]) -> None:
    if generator.read_line(process.stdout) != "ready":
        raise LoadError(generator.read_line(process.stderr))
