"""Where the shapes look for the token of a visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from starlette.types import Scope

RIGHT = "right"


def header(scope: Scope, name: bytes) -> str:
    """The header called `name`, in lower case; the empty text if there is none."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    return next((value.decode() for field, value in headers if field == name), "")


def query_token(scope: Scope) -> str:
    """`?token=...`."""
    return parse_qs(scope["query_string"].decode()).get("token", [""])[0]


def header_token(scope: Scope) -> str:
    """`Authorization: Bearer ...`."""
    return header(scope, b"authorization").removeprefix("Bearer ")


def subprotocol_token(scope: Scope) -> str:
    """`Sec-WebSocket-Protocol: chat, token.right`: all that a browser can send with a handshake besides the URL."""
    offered = header(scope, b"sec-websocket-protocol").split(", ")
    return next((name.removeprefix("token.") for name in offered if name.startswith("token.")), "")
