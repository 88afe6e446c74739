"""The progress of a connection as the operating system knows it: bytes that the peer has taken, and has sent.

Nothing else tells. What waits in the kernel to be sent, often megabytes, is not in a transport's buffer, and what has
arrived is unknown to the event loop before it reads.
"""

from __future__ import annotations

import asyncio
import sys
from typing import NamedTuple

from asgi_upgrade.system.tcp_info import read_tcp_info

__all__ = ["Progress", "measure"]

# Bytes of TLS that may wait below what its transport tells.
_BELOW_TLS = 128 * 1024


class Progress(NamedTuple):
    """Bytes, counted since the connection began.

    Attributes:
        taken: What the peer has acknowledged.
        waiting: What it has not acknowledged of all that was written so far.
        received: What has come from it, whether anybody has read that or not.
    """

    taken: int
    waiting: int
    received: int


def measure(transport: asyncio.Transport) -> Progress | None:
    """Return the progress of a connection; ``None`` where the system does not tell, as for Unix sockets."""
    own: Progress | None = transport.get_extra_info("asgi_upgrade.progress")
    if own is not None:
        return own
    sock = transport.get_extra_info("socket")
    info = None if sock is None else read_tcp_info(sock)
    if info is None or sys.platform != "linux":
        return None
    import fcntl
    import termios

    try:
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return None
    waiting = int.from_bytes(queued, sys.byteorder) + transport.get_write_buffer_size()
    if transport.get_extra_info("sslcontext") is not None:
        waiting += _BELOW_TLS
    return Progress(info.bytes_acked, waiting, info.bytes_received)
