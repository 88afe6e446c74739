"""What Linux knows of a TCP connection on this machine."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from pathlib import Path

__all__ = ["unread"]

_TABLE = Path("/proc/net/tcp")


def unread(sock: socket.socket) -> str:
    """What the process at the other end, on this machine, has not read yet, in words; nothing if that is nothing.

    Nothing either if it has left.
    """
    # TIOCOUTQ is what Linux calls SIOCOUTQ for sockets: what the other kernel side has not acknowledged.
    (on_its_way,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    if on_its_way:
        # The first bytes of `struct tcp_info`: why a kernel would wait for so long.
        state, _, retransmits, probes, backoff = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[:5]
        why = f"state {state}, {retransmits} retransmits, {probes} probes, backoff {backoff}"
        return f"{on_its_way} bytes are not acknowledged ({why})"
    waiting = _waiting(_written(sock.getpeername()), _written(sock.getsockname()))
    return f"{waiting} bytes are not read" if waiting else ""


def _waiting(local: str, remote: str) -> int:
    """What waits in the receive queue of the socket with these addresses."""
    for line in _TABLE.read_text().splitlines()[1:]:
        _, its_own, its_peer, _, queues, *_ = line.split()
        if (its_own, its_peer) == (local, remote):
            return int(queues.partition(":")[2], 16)
    return 0


def _written(address: tuple[str, int]) -> str:
    """An IPv4 address as the table has it: each of its words in the machine's byte order."""
    host, port = address
    (word,) = struct.unpack("=I", bytes(map(int, host.split("."))))
    return f"{word:08X}:{port:04X}"
