"""A client that vanishes without a word, as one does whose network is gone."""

from __future__ import annotations

import ctypes
import socket
import struct

__all__ = ["drop_all_that_arrives"]

# Linux's SO_ATTACH_FILTER, and a program that accepts nothing: BPF_RET | BPF_K with 0 bytes.
_SO_ATTACH_FILTER = 26
_NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)


def drop_all_that_arrives(sock: socket.socket) -> None:
    """From now on nothing that is sent to the socket arrives, and nobody acknowledges it (Linux)."""
    program = ctypes.create_string_buffer(_NOTHING)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program)))
