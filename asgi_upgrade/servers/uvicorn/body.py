"""Where the body of a request ends: what is behind an offer is not for a parser of HTTP."""

from __future__ import annotations

__all__ = ["BodyEnd"]

# A line before a chunk, or the fields behind the last one. httptools has no limit, zttp has a lower one, h11 has this.
_LIMIT = 64 * 1024
_SIZE_DIGITS = 20  # of a length of 64 bits


class BodyEnd:
    """Follows the body of a request to its end (RFC 9112 §6.3, §7.1).

    It reads the lengths, and leaves all else to a parser that is strict about them: that refuses what only looks like
    a length here.

    Args:
        headers: The fields of the request, names in lower case, whose framing a parser has found to be in order.

    Attributes:
        reached: The end is in what was taken last.
    """

    __slots__ = ("_begun", "_chunked", "_missing", "reached")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        fields = dict(headers)
        self._chunked = b"transfer-encoding" in fields
        # Of the body, or of a chunk and the end of the line behind it. Zeros may come first, more than `int` takes.
        self._missing = 0 if self._chunked else int(fields[b"content-length"][-_SIZE_DIGITS:])
        self._begun = b""  # what was taken of a line before a chunk, or of the fields behind the last one
        self.reached = False

    def take(self, data: bytes) -> int:
        """Return how many bytes of ``data``, which comes next, belong to the body.

        Raises:
            ValueError: This is no chunk, or the line before it is too long.
        """
        if self._chunked:
            return self._take_chunks(data)
        taken = min(self._missing, len(data))
        self._missing -= taken
        self.reached = not self._missing
        return taken

    def _take_chunks(self, data: bytes) -> int:
        before = len(self._begun)
        data = self._begun + data
        size = last = len(data)
        position = self._missing  # of the line before a chunk
        while position < size and (end := data.find(b"\r\n", position)) >= 0:
            length = int(data[position:end].partition(b";")[0], 16)
            if length <= 0:
                found = data.find(b"\r\n\r\n", end)
                if found >= 0:
                    self.reached = True
                    last = found + len(b"\r\n\r\n")
                break
            if end - position > _LIMIT:
                break
            position = end + length + 2 * len(b"\r\n")  # of this line, and behind the data
        if last - position > _LIMIT:
            raise ValueError("what is not the data of a chunk is too long")
        self._missing = max(position - size, 0)
        self._begun = data[position:]
        return last - before
