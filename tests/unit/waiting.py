"""Waiting for what a test needs, not for a time: how long something takes depends on what else the machine does.

Both ends of a connection of the unit tests live on one event loop. What they have not done after many turns of it they
do not do, however slow the machine is.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["PATIENCE", "arrived", "still", "turns", "until"]

T = TypeVar("T")
PATIENCE = 30.0  # seconds for anything that has to come


async def turns(count: int = 20) -> None:
    """Let the event loop turn: what has arrived is read, and what that wakes runs."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true that another task, or the loop, brings about."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it never came"
        await asyncio.sleep(0.001)


async def still(value: Callable[[], T], count: int = 80) -> T:
    """Wait until a value has stayed the same for `count` turns of the loop, a millisecond or more each; give it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    seen, left = value(), count
    while left:
        await asyncio.sleep(0.001)
        left -= 1
        if (now := value()) != seen:
            assert loop.time() < deadline, f"it still changes: {now}"
            seen, left = now, count
    return seen


async def arrived(sock: socket.socket) -> None:
    """Wait until the other end, on this loop, has had the chance to read all that `sock` has sent, its end included."""
    await until(lambda: _on_its_way(sock) == 0)
    await turns()


def _on_its_way(sock: socket.socket) -> int:
    """Bytes that the other end's kernel has not acknowledged, the end of the stream counted as one (Linux)."""
    # TIOCOUTQ is what Linux calls SIOCOUTQ for sockets.
    (size,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    return int(size)
