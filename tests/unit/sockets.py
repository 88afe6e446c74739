"""What tests do to plain sockets."""

from __future__ import annotations

import socket
import struct

__all__ = ["reset"]


def reset(sock: socket.socket) -> None:
    """Vanish: end the connection with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
