"""Request bodies, and what `apps/guarded.py` says of those that arrived."""

from __future__ import annotations

import hashlib
from typing import Any


def body(length: int) -> bytes:
    """A body in which no part is mistaken for another."""
    return bytes(index % 251 for index in range(length))


def assert_whole(description: Any, expected: bytes) -> None:
    """The application read exactly `expected`."""
    assert description["length"] == len(expected)
    assert description["sha256"] == hashlib.sha256(expected).hexdigest()


def header(description: Any, name: str) -> str | None:
    """The value of the header as the application saw it, None if it was not there."""
    return ", ".join(value for field, value in description["headers"] if field == name) or None
