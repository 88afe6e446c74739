"""Safe log records: text that clients send cannot forge lines of the logger ``asgi_upgrade``.

A path arrives with ``%0d%0a`` or ``%1b[31m`` decoded. In a log that is read as text, the first begins a line that looks
like any other, and the second colours a terminal or does worse.
"""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["make_printable", "printable"]


def printable(text: str) -> str:
    r"""Return ``text`` with everything escaped that does not print: ``\n``, ``\x1b``, ``\u202e``.

    That is what `str.isprintable` says no to: control characters, separators other than the space, marks of direction,
    and halves of surrogate pairs, which could not be encoded.

    Args:
        text: Any text.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _Printable:
    """Stands for an argument of a log record, so that it prints on one line whether by ``%s``, ``%r`` or ``%a``."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return printable(str(self._value))

    def __repr__(self) -> str:
        return printable(repr(self._value))


def make_printable(record: logging.LogRecord) -> bool:
    """Have the arguments of a record print safely; a filter for a logger, which lets every record through.

    Numbers and text that prints stay as they are. The traceback of an exception is left alone: it has lines, and what
    is in it is the application's.

    Args:
        record: The record, which is changed.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(map(_make_printable, record.args))
    return True


def _make_printable(value: Any) -> object:
    if isinstance(value, (int, float)) or (isinstance(value, str) and value.isprintable()):
        return value
    return _Printable(value)


logging.getLogger("asgi_upgrade").addFilter(make_printable)
