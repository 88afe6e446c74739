"""A network of two hosts on this machine, slow and lossy, with the kernel's own TCP at both ends (Linux, as root).

Each host is a network namespace with one interface, a TUN device; a process carries the packets between the two. Unlike
a relay of bytes it can lose some: what follows of it, as waiting for a repetition, the kernel does as it always does.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import multiprocessing
import os
import random
import select
import shutil
import struct
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"
DEVICE = Path("/dev/net/tun")
MOST_QUEUED = 10_000  # packets that wait for the carrier, which may be slow; TCP has fewer on their way


def possible() -> bool:
    """Whether this process may make such a network."""
    return os.access(DEVICE, os.R_OK | os.W_OK) and os.geteuid() == 0 and shutil.which("ip") is not None


class Network:
    """Carries the packets.

    Args:
        delay: Seconds that a packet takes.
        loss: The part of the packets that get lost.
        seed: Decides which.
    """

    def __init__(self, delay: float, loss: float, seed: int) -> None:
        self._delay, self._loss = delay, loss
        self._source = random.Random(seed)
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._devices: list[int] = []

    def enter_host(self, address: str, other: str) -> None:
        """Move the calling thread, and the processes that it starts, to a new host with this address."""
        _check(_libc.unshare(CLONE_NEWNET))
        device = os.open(DEVICE, os.O_RDWR)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"lossy", IFF_TUN | IFF_NO_PI))
        self._devices.append(device)
        for command in (
            "link set dev lo up",
            f"address add {address} peer {other} dev lossy",
            f"link set dev lossy txqueuelen {MOST_QUEUED} up",
        ):
            subprocess.run(["ip", *command.split()], check=True)

    def go_home(self) -> None:
        """Move the calling thread back to the host that it comes from."""
        _check(_libc.setns(self._home, CLONE_NEWNET))

    def carry(self, control: Connection) -> None:
        """Carry packets until told to stop; then tell how many there were, and how many of them got lost."""
        devices = self._devices
        waiting: list[tuple[float, int, int, bytes]] = []  # when it arrives, and where; a number keeps the order
        carried = lost = 0
        deaf = False  # the second host receives nothing
        while True:
            timeout = max(waiting[0][0] - time.monotonic(), 0.0) if waiting else None
            ready = select.select([*devices, control.fileno()], [], [], timeout)[0]
            if control.fileno() in ready:
                told = control.recv()
                if told == "stop":
                    control.send((carried, lost))
                    return
                deaf = told == "deaf"
                continue
            for device in ready:
                packet = os.read(device, 65536)
                to = devices[devices.index(device) - 1]
                carried += 1
                if self._source.random() < self._loss or (deaf and to == devices[1]):
                    lost += 1
                    continue
                heapq.heappush(waiting, (time.monotonic() + self._delay, carried, to, packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, to, packet = heapq.heappop(waiting)
                with suppress(OSError):
                    os.write(to, packet)

    def release(self) -> None:
        """Close everything; the hosts are gone when nothing runs on them."""
        for descriptor in (*self._devices, self._home):
            os.close(descriptor)


@contextmanager
def network(delay: float, loss: float, seed: int = 1) -> Iterator[Network]:
    """A network for the length of the block. The block enters its two hosts and calls `carrying`."""
    made = Network(delay, loss, seed)
    with ExitStack() as stack:
        stack.callback(made.release)
        stack.callback(made.go_home)
        yield made


@contextmanager
def carrying(made: Network) -> Iterator[Connection]:
    """Carry packets for the length of the block, in a process of its own; tells in the end what it did.

    Takes "deaf" to lose all packets for the second host, and "hearing" to carry them again.

    What is lost because that process was too slow is counted by the system, and told too.
    """
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=made.carry, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours
        ours.send("stop")
        carried, lost = ours.recv()
        shown = subprocess.run(["ip", "-s", "-j", "link", "show", "lossy"], check=True, capture_output=True).stdout
        dropped = json.loads(shown)[0]["stats64"]["tx"]["dropped"]
        print(f"{carried:,} packets, {lost:,} lost on purpose, {dropped:,} of the clients' because it was too slow.")
    finally:
        process.kill()
        process.join()


_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
