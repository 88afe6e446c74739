"""Requests in a form that is safe to log: a client chooses every character of them."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Scope

__all__ = ["quote_path", "request_line"]


def quote_path(path: str) -> str:
    """A path in a form that is safe to log (RFC 3986 §3.3)."""
    return quote(path, safe="/!$&'()*+,;=:@~", errors="replace")


def request_line(scope: Scope) -> str:
    """The first line of a request, in a form that is safe to log (RFC 9112 §3)."""
    target = quote_path(scope["path"])
    if scope.get("query_string"):
        target += "?" + quote(scope["query_string"], safe="/!$&'()*+,;=:@~?%")
    return f"{scope['method']} {target} HTTP/{scope['http_version']}"
