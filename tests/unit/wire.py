"""Frames by hand: a client's, valid or not, as bytes; a server's bytes as frames. Shares nothing with the engine."""

from __future__ import annotations

import struct
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MASK = b"\x37\xfa\x21\x3d"  # of RFC 6455 section 5.7
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10


class Frame(NamedTuple):
    """One frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


def header(first: int, size: int, *, form: int | None = None, masked: bool = True) -> bytes:
    """The first bytes of a client's frame up to its mask; `form` bytes carry the length, as few as possible if None."""
    if form is None:
        form = 1 if size < 126 else 2 if size < 65536 else 8
    mark = 0x80 if masked else 0
    if form == 1:
        return struct.pack("!BB", first, mark | size)
    if form == 2:
        return struct.pack("!BBH", first, mark | 126, size)
    return struct.pack("!BBQ", first, mark | 127, size)


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    form: int | None = None,
) -> bytes:
    """A client's frame, RFC 6455 section 5.2; without `mask` a server's."""
    head = header((0x80 if fin else 0) | rsv | opcode, len(payload), form=form, masked=mask is not None)
    return head + payload if mask is None else head + mask + xor(payload, mask)


def close(code: int, reason: bytes = b"") -> bytes:
    """A client's close frame with a payload."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


def xor(payload: bytes, mask: bytes) -> bytes:
    """`payload` masked, or unmasked, RFC 6455 section 5.3."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def read_frames(data: bytes) -> list[Frame]:
    """The server's frames that `data` consists of; fails where they are malformed or do not end with it."""
    frames = []
    while data:
        first, size = data[0], data[1]
        assert not size & 0x80, "a server must not mask, RFC 6455 section 5.1"
        start = 2
        if size == 126:
            start = 4
            (size,) = struct.unpack("!H", data[2:4])
            assert size > 125
        elif size == 127:
            start = 10
            (size,) = struct.unpack("!Q", data[2:10])
            assert size > 65535
        assert len(data) >= start + size, "the last frame is cut"
        frames.append(Frame(first & 0x0F, data[start : start + size], bool(first & 0x80), first & 0x70))
        data = data[start + size :]
    return frames
