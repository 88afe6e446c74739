"""Where the shapes look for the token of a visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

RIGHT = "right"


def header(scope: Scope, name: str) -> str:
    """The header called `name`, in lower case; the empty text if there is none."""
    return Headers(scope=scope).get(name, "")


def query_token(scope: Scope) -> str:
    """`?token=...`."""
    return parse_qs(scope["query_string"].decode()).get("token", [""])[0]


def header_token(scope: Scope) -> str:
    """`Authorization: Bearer ...`."""
    return header(scope, "authorization").removeprefix("Bearer ")


def subprotocol_token(scope: Scope) -> str:
    """`Sec-WebSocket-Protocol: chat, token.right`: all that a browser can send with a handshake besides the URL."""
    offered = header(scope, "sec-websocket-protocol").split(", ")
    return next((name.removeprefix("token.") for name in offered if name.startswith("token.")), "")


async def deny(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request."""
    await PlainTextResponse("no token", 401)(scope, receive, send)
