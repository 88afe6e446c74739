"""The kernel's figures of a TCP connection, where it tells them: on Linux."""

from __future__ import annotations

import socket
import struct
import sys
from typing import NamedTuple

__all__ = ["TCPInfo", "read_tcp_info"]

# struct tcp_info of linux/tcp.h, up to tcpi_bytes_received, since Linux 4.1.
_LAYOUT = struct.Struct("=2xBB52xI60xQQ")


class TCPInfo(NamedTuple):
    """The figures, named as in the kernel.

    Attributes:
        retransmits: How often what the peer has not acknowledged was sent again.
        probes: Questions that the peer has not answered.
        last_ack_recv: Milliseconds since the last acknowledgement.
        bytes_acked: Bytes that the peer has acknowledged.
        bytes_received: Bytes that have come from it, whether anybody has read them or not.
    """

    retransmits: int
    probes: int
    last_ack_recv: int
    bytes_acked: int
    bytes_received: int


def read_tcp_info(sock: socket.socket) -> TCPInfo | None:
    """Return the figures of a connection; ``None`` if it is not TCP, or if the system does not tell.

    Args:
        sock: Any socket.
    """
    if sys.platform != "linux":
        return None
    try:
        return TCPInfo._make(_LAYOUT.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAYOUT.size)))
    except (OSError, struct.error):
        return None
