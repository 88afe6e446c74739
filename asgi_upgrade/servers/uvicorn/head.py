"""The head of a request that uvicorn has read: what it leaves out of it, and the same for another parser."""

from __future__ import annotations

import re

__all__ = ["match_absolute_form", "replace_host", "request_head"]

# RFC 9112 §3.2.2, the authority as it comes: whoever reads Host judges it.
match_absolute_form = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*)(/[^?#]*)?").match


def replace_host(headers: list[tuple[bytes, bytes]], authority: bytes) -> None:
    """Let ``authority`` be what Host says, in place."""
    headers[:] = [(b"host", authority), *(field for field in headers if field[0] != b"host")]


def request_head(method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request that one parser has read, for another."""
    lines = [method + b" " + target + b" HTTP/" + version]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
