"""Questions to the operating system: is the peer of a socket still there? For protocols without a ping of their own."""

from __future__ import annotations

import select
import socket
from contextlib import suppress

from asgi_upgrade.system.tcp_info import read_tcp_info

__all__ = ["has_gone_silent", "is_reset", "keep_alive"]

# How many questions without an answer end a connection.
_PROBES = 3


def keep_alive(sock: socket.socket, interval: float) -> None:
    """Have the system ask the peer of a TCP connection whether it is there; if it is not, the connection is lost.

    Args:
        sock: Any socket; nothing happens to one that is not TCP.
        interval: Seconds without a byte before it asks, and between two questions; whole ones, at least 1.
    """
    seconds = max(round(interval), 1)
    # macOS calls the first one TCP_KEEPALIVE.
    options = {"TCP_KEEPIDLE": seconds, "TCP_KEEPALIVE": seconds, "TCP_KEEPINTVL": seconds, "TCP_KEEPCNT": _PROBES}
    with suppress(OSError):  # it is not TCP, or has gone already
        for name, value in options.items():
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def is_reset(sock: socket.socket) -> bool:
    """Tell whether a connection has been lost, without reading from it; ``False`` where the system does not tell."""
    if not hasattr(select, "poll"):
        return False  # Windows
    poll = select.poll()
    try:
        poll.register(sock.fileno(), 0)  # an error is told always
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False  # it is closed: the loop knows


def has_gone_silent(sock: socket.socket, interval: float) -> bool:
    """Tell whether the peer's system has stopped to answer what it was sent.

    `keep_alive` does not see this: TCP asks nobody who has not acknowledged what was sent before, and goes on sending
    that for a quarter of an hour. A peer that only does not read still answers.

    Args:
        sock: Any socket; ``False`` for one that is not TCP, and where the system does not tell.
        interval: Seconds, as for `keep_alive`: three of them without an answer are too many.
    """
    info = read_tcp_info(sock)
    if info is None:
        return False
    return max(info.retransmits, info.probes) >= _PROBES and info.last_ack_recv >= _PROBES * max(interval, 1) * 1000
