"""How a WebSocket's application has ended: by its client's leaving, or by an error; and the log line about it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from asgi_upgrade.http.request_line import quote_path
from asgi_upgrade.websocket.errors import ClientDisconnected

if TYPE_CHECKING:
    from starlette.types import Scope

    from asgi_upgrade.websocket.protocol import WebSocketProtocol

__all__ = ["is_disconnect", "log_end"]

logger = logging.getLogger("asgi_upgrade")


def is_disconnect(error: BaseException) -> bool:
    """Tell whether ``error`` only says that the client has left: also a group of nothing but such."""
    inner = getattr(error, "exceptions", None)  # those of an exception group, which Python 3.10 does not know
    if isinstance(inner, tuple) and inner:
        return all(map(is_disconnect, inner))
    return isinstance(error, (ClientDisconnected, WebSocketDisconnect))


def log_end(scope: Scope, protocol: WebSocketProtocol, code: int, seconds: float) -> None:
    """Write the line about the end of a connection, at INFO.

    Args:
        scope: Its handshake.
        protocol: What has carried it.
        code: Its close code.
        seconds: How long it was open.
    """
    client = scope.get("client")
    logger.info(
        "%s - WebSocket %s closed with %d after %.3f seconds; messages received: %d (%d bytes), sent: %d (%d bytes)",
        f"{client[0]}:{client[1]}" if client else "unix",
        quote_path(scope["path"]),
        code,
        seconds,
        protocol.messages_received,
        protocol.bytes_received,
        protocol.messages_sent,
        protocol.bytes_sent,
    )
