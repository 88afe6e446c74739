"""Two helpers on the fields of a request that offers an upgrade: has it a body, and the scheme that a proxy names."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["has_body", "name_http_schemes"]

_HTTP_SCHEMES = {b"ws": b"http", b"wss": b"https"}


def name_http_schemes(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return a request's fields with ``http`` and ``https`` for the ``ws`` and ``wss`` of ``X-Forwarded-Proto``.

    Traefik sends those with handshakes. Middleware for proxies would make them the scheme of the ``http`` scope, where
    nobody takes ``wss`` for secure. The list given is not changed, and is returned itself if there is nothing to do.

    Args:
        headers: The fields, names in lower case.
    """
    # A dict, because that is the fastest way to look, and this runs for each offer.
    if b"x-forwarded-proto" not in dict(headers):
        return headers
    return [
        (name, _HTTP_SCHEMES.get(value.strip(b" \t"), value) if name == b"x-forwarded-proto" else value)
        for name, value in headers
    ]


def has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request with these lower-case fields has a body to wait for (RFC 9112 §6.3)."""
    # A dict, because that is the fastest way to look, and this runs for each offer.
    fields = dict(headers)
    if b"transfer-encoding" in fields:
        return True
    # Lines that do not say the same are not for us to judge: there is a body if one of them says so.
    return b"content-length" in fields and any(
        name == b"content-length" and value.strip(b" \t0") != b"" for name, value in headers
    )
