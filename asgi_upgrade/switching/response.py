"""The 101 on its way out through the middleware around the application, and the log lines for when it cannot go."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from starlette.types import Message, Scope, Send

from asgi_upgrade.http.request_line import request_line
from asgi_upgrade.switching.lifespan import has_seen_lifespan

__all__ = ["end_101", "report_held_back", "report_no_extension", "send_101"]

logger = logging.getLogger("asgi_upgrade")

# Compressing middleware holds the start of a response back until the first body message that is not empty, and
# BaseHTTPMiddleware drops empty ones: this byte gets the 101 out of all of them, and the server discards it.
_PUSH: Message = {"type": "http.response.body", "body": b"\0", "more_body": True}
_END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
_IDENTITY = (b"content-encoding", b"identity")

_reported: set[str] = set()


async def send_101(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Send a 101 that no middleware holds back, except one that waits for the end of the body.

    Args:
        send: The application's ``send``.
        headers: The fields of the response.
    """
    await send({"type": "http.response.start", "status": 101, "headers": [*headers, _IDENTITY]})
    await send(_PUSH)


async def end_101(send: Send) -> None:
    """Say that the connection has ended: tracing middleware takes a response without an end for a failure.

    Args:
        send: What the 101 was sent with.
    """
    await send(_END)


def report_held_back(scope: Scope, seconds: float) -> None:
    """Log that the 101 has not reached the server in ``seconds``."""
    logger.error(
        "%s: the 101 did not reach the server in %g seconds. A middleware that reads the whole body of a response "
        "holds it back: let it pass responses with status 101.",
        request_line(scope),
        seconds,
    )


def report_no_extension(scope: Scope, protocol: str) -> None:
    """Log, once in the life of the process, why an offer that we would have taken is not."""
    if "no extension" not in _reported:
        _reported.add("no extension")
        if has_seen_lifespan():
            cure = "What stands against it was logged when the server started"
        else:
            cure = (
                "No UpgradeMiddleware has been called with its lifespan: add one to the outermost application, with "
                "app.add_middleware(UpgradeMiddleware), and leave the lifespan on; or run it under uvicorn with "
                "http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'"
            )
        logger.warning(
            "%s offers %s, but this server does not offer http.upgrade, so the connection stays HTTP. %s. This is "
            "logged once.",
            request_line(scope),
            protocol,
            cure,
        )
