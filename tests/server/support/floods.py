"""Clients that send without end, and what the kernel holds of that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import socket

__all__ = ["kernel_buffers", "send_until_cut"]

KIBIBYTE = 1024


def kernel_buffers() -> int:
    """The most that the kernel lets the buffers of one direction grow to, in bytes."""
    settings = Path("/proc/sys/net/ipv4")
    return sum(int((settings / name).read_text().split()[2]) for name in ("tcp_rmem", "tcp_wmem"))


def send_until_cut(sock: socket.socket, seconds: float) -> int:
    """Send as much as the other side takes until the connection is gone; give how many bytes that were."""
    sent, end, piece = 0, time.monotonic() + seconds, bytes(256 * KIBIBYTE)
    try:
        while time.monotonic() < end:
            sent += sock.send(piece)
    except OSError:
        return sent
    pytest.fail(f"after {seconds} seconds and {sent} bytes the server still reads")
