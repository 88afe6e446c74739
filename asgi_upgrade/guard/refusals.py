"""Answers and log lines for handshakes that cannot be let through."""

from __future__ import annotations

import logging
from types import FunctionType
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse

from asgi_upgrade.switching.lifespan import has_seen_lifespan
from asgi_upgrade.websocket.bridge import Bridge

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["answer_unavailable", "name_of", "refuse_unguarded", "report_unguarded"]

logger = logging.getLogger("asgi_upgrade")


async def answer_unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a handshake with 503."""
    # A new response each time: middleware adds fields to it.
    response = PlainTextResponse("WebSockets are not available: their handshakes cannot be checked.\n", 503)
    await response(scope, receive, send)


def name_of(app: Any) -> str:
    """The name of a class, of a function, or of the class of an object."""
    if isinstance(app, FunctionType):
        return app.__code__.co_name  # `functools.wraps` gives it the name of another
    return str(getattr(app, "__name__", type(app).__name__))


def report_unguarded(application: Any) -> None:
    """Log that nothing proves that a server itself calls ``application`` with its WebSockets."""
    cure = "Wrap the outermost application in asgi_upgrade.HandshakeMiddleware, or set insecure_allow_unguarded=True"
    if not has_seen_lifespan():
        cure = (
            "No UpgradeMiddleware has been called with the server's lifespan, as none in a mounted application is: add "
            f"one to the outermost application. {cure}"
        )
    logger.error(
        "The server delivers WebSockets, not handshakes: they are refused, because middleware around %s may not have "
        "seen them. %s.",
        name_of(application),
        cure,
    )


async def refuse_unguarded(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket of the server."""
    await Bridge(scope, receive, send).run(answer_unavailable)
