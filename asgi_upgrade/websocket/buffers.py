"""Memory for long frames, used again: the kernel takes longer to give fresh memory than we take to fill it."""

from __future__ import annotations

from functools import cache

__all__ = ["BUFFER_SIZE", "give_buffer", "keep_freed_memory", "take_buffer"]

# Bytes of a shared buffer. A longer frame is read in several.
BUFFER_SIZE = 1024 * 1024
# How many shared ones there are in this process, in use or not.
_SHARED_BUFFERS = 4
# Bytes of the least buffer, and how much longer than what has arrived another one may be. Multiples of four, as masks.
_LEAST_SIZE = 4096
_GROWTH = 4
# Bytes that glibc is shown. It keeps up to twice as many: four long texts that are being decoded take half of that.
_SHOWN_SIZE = 8 * BUFFER_SIZE


class _Shared(bytearray):
    """A buffer for whoever reads a long frame next. It is missed only until it is gone, wherever it was."""

    existing = 0

    def __init__(self) -> None:
        super().__init__(BUFFER_SIZE)
        _Shared.existing += 1

    def __del__(self) -> None:
        type(self).existing -= 1  # by its name it cannot be found any more when Python ends


_spare: list[_Shared] = []


def take_buffer(size: int, arrived: int) -> bytearray:
    """Return a buffer for what comes next of a frame. What is in it means nothing.

    The first few frames at a time get a shared buffer. The memory of all others follows what has arrived of them: a
    client that announces a long frame, and does not send it, gets next to none.

    Args:
        size: The bytes that are missing of the frame.
        arrived: The bytes that have arrived of its message. There is room for at least as many.
    """
    try:
        return _spare.pop()
    except IndexError:
        if _Shared.existing < _SHARED_BUFFERS:
            return _Shared()
        return bytearray(min(size, BUFFER_SIZE, max(_LEAST_SIZE, _GROWTH * arrived)))


def give_buffer(buffer: bytearray) -> None:
    """Keep ``buffer`` for its next use, if it is a shared one."""
    if isinstance(buffer, _Shared):
        _spare.append(buffer)


@cache
def keep_freed_memory() -> None:
    """Have this process keep some memory of the messages that are done with, for the next ones.

    From what is free at the end of its heap, glibc returns all to the kernel as soon as that is more than twice the
    largest block it has mapped and seen freed: mallopt(3), M_MMAP_THRESHOLD. So it is shown such a block, of which
    nothing is used. Elsewhere this does nothing.
    """
    bytearray(_SHOWN_SIZE)
