"""Where the shapes look for the token of a visitor."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

RIGHT = "right"


def header(scope: Scope, name: str) -> str:
    """The header called `name`, in lower case; the empty text if there is none."""
    value: str = Headers(scope=scope).get(name, "")
    return value


def query_token(scope: Scope) -> str:
    """`?token=...`."""
    query: str = scope["query_string"].decode()
    return parse_qs(query).get("token", [""])[0]


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


def denial() -> Response:
    """The answer to a request without a token."""
    return PlainTextResponse("no token", 401)


def must_have_token(scope: Scope) -> bool:
    """Whether this is a connection that needs one."""
    return bool(scope["type"] == "websocket")
