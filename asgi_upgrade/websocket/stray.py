"""Logs WebSocket handshakes that came without their hop-by-hop fields, because a proxy has dropped them."""

from __future__ import annotations

import logging

from starlette.types import Scope

from asgi_upgrade.http.headers import get_all
from asgi_upgrade.http.request_line import request_line

__all__ = ["report_stray_handshake"]

logger = logging.getLogger("asgi_upgrade")

# Clients choose the paths, and could fill log and memory with them.
_MOST_PATHS = 64
_LOGGED_LENGTH = 200

_reported: set[str] = set()


def report_stray_handshake(scope: Scope) -> None:
    """Log, once for each path, what a request lacks that has fields of a WebSocket handshake and offers no WebSocket.

    Nothing is logged about any other request, and none is answered otherwise.

    Args:
        scope: A request.
    """
    missing = _find_missing(scope)
    if missing is None:
        return
    line = request_line(scope)[:_LOGGED_LENGTH]
    path = scope["path"][:_LOGGED_LENGTH]
    if path in _reported or len(_reported) >= _MOST_PATHS:
        return
    _reported.add(path)
    logger.warning(
        "%s has fields of a WebSocket handshake, but %s: a proxy in front does not forward it. nginx does with "
        "'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";' in "
        "this location. This is logged once for each path.",
        line,
        missing,
    )


def _find_missing(scope: Scope) -> str | None:
    headers = scope["headers"]
    if not (get_all(headers, b"sec-websocket-key") or get_all(headers, b"sec-websocket-version")):
        return None
    if scope["http_version"] == "1.0":
        return "comes in HTTP/1.0, which has no Upgrade (RFC 9110 section 7.8)"
    if scope["http_version"] != "1.1":
        return None  # there, handshakes have another form (RFC 8441)
    if not get_all(headers, b"upgrade"):
        return "lacks the field Upgrade: websocket"
    # A malformed offer is the client's own, and no proxy has dropped it.
    if not any(b"upgrade" in value.lower() for value in get_all(headers, b"connection")):
        return "lacks the field Connection: Upgrade"
    return None
