"""Where the body of a request ends: what is behind an offer is not for a parser of HTTP."""

from __future__ import annotations

__all__ = ["BodyEnd"]

_MOST_DIGITS = 20  # more than a length of 64 bits has, in either notation: parsers refuse such a number


class BodyEnd:
    """Follows the body of a request to its end (RFC 9112 §6.3, §7.1).

    It reads the lengths, and leaves all else to a parser that is strict about them: that refuses what only looks like
    a length here. However long a body, a line or its fields may be, no more than a few bytes of it are kept.

    Args:
        headers: The fields of the request, names in lower case, whose framing a parser has found to be in order.

    Attributes:
        reached: The end is in what was taken last.
    """

    __slots__ = ("_begun", "_chunked", "_last", "_missing", "reached")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        fields = dict(headers)
        self._chunked = b"transfer-encoding" in fields
        # Of the body, or of a chunk and the end of the line behind it. Zeros may come first, more than `int` takes, and
        # blanks last, which httptools leaves there.
        self._missing = 0 if self._chunked else int(fields[b"content-length"].rstrip(b" \t")[-_MOST_DIGITS:])
        self._begun = b""  # what was taken of the line before a chunk, or of an empty line
        self._last = False  # the last chunk, which is empty, has been taken
        self.reached = False

    def take(self, data: bytes) -> int:
        """Return how many bytes of ``data``, which comes next, belong to the body.

        Raises:
            ValueError: A chunk begins with what is no length.
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
        size = len(data)
        position = self._missing
        while not self._last and position < size and (end := data.find(b"\r\n", position)) >= 0:
            length = int(data[position:end].partition(b";")[0], 16)
            if length <= 0:
                self._last = True
                position = end
            else:
                position = end + length + 2 * len(b"\r\n")  # of this line, and behind the data
        self._missing = max(position - size, 0)
        if not self._last:
            self._begun = _shorten(data[position:])
            return size - before
        # Fields may come, and then an empty line.
        found = data.find(b"\r\n\r\n", position)
        if found < 0:
            self._begun = data[max(position, size - 3) :]
            return size - before
        self.reached = True
        return found + len(b"\r\n\r\n") - before


def _shorten(line: bytes) -> bytes:
    """Return what matters of a line that has begun: its number, and whether its end has."""
    number, semicolon, _ = line.partition(b";")
    number = number.rstrip(b"\r")
    end = b"\r" if line.endswith(b"\r") else b""
    return (number.lstrip(b"0") or number[:1])[: _MOST_DIGITS + 1] + semicolon + end
