"""Memory for long frames, used again: the kernel takes longer to give fresh memory than we take to fill it."""

from __future__ import annotations

from functools import cache

__all__ = ["BUFFER_SIZE", "give_buffer", "keep_freed_memory", "take_buffer"]

# Bytes of the largest buffer. A longer frame is read in several.
BUFFER_SIZE = 1024 * 1024
# How many wait for their next use in this process.
_SPARE_BUFFERS = 4
# Bytes that glibc is shown. It keeps up to twice as many: four long texts that are being decoded take half of that.
_SHOWN_SIZE = 8 * BUFFER_SIZE

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


@cache
def keep_freed_memory() -> None:
    """Have this process keep some memory of the messages that are done with, for the next ones.

    From what is free at the end of its heap, glibc returns all to the kernel as soon as that is more than twice the
    largest block it has mapped and seen freed: mallopt(3), M_MMAP_THRESHOLD. So it is shown such a block, of which
    nothing is used. Elsewhere this does nothing.
    """
    bytearray(_SHOWN_SIZE)
