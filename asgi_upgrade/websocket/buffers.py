"""Buffers that long frames are read into, used again: fresh memory costs more than filling it."""

from __future__ import annotations

__all__ = ["BUFFER_SIZE", "give_buffer", "take_buffer"]

# Bytes of the largest buffer. A longer frame is read in several.
BUFFER_SIZE = 1024 * 1024
# How many wait for their next use in this process.
_SPARE_BUFFERS = 4

_spare: list[bytearray] = []


def take_buffer(size: int) -> bytearray:
    """Return a buffer of at least ``size`` bytes, at most `BUFFER_SIZE`. What is in it means nothing."""
    try:
        buffer = _spare.pop()
    except IndexError:
        return bytearray(size)
    return buffer if len(buffer) >= size else bytearray(size)


def give_buffer(buffer: bytearray) -> None:
    """Keep ``buffer`` for its next use, if there are not enough of them."""
    if len(_spare) < _SPARE_BUFFERS:
        _spare.append(buffer)
