"""The answers that name TLS: 426 to a request in the clear, and the answer to ``OPTIONS *`` (RFC 2817)."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asgi_upgrade.switching.refusal import refuse, upgrade_fields

__all__ = ["describe_server", "is_secure", "refuse_in_the_clear"]

# What a server that can begin TLS tells its clients: the version that each of today knows.
_TLS = "TLS/1.2, HTTP/1.1"


def is_secure(scope: Scope) -> bool:
    """Tell whether a request has come over TLS, to this server or to a proxy in front of it."""
    # Middleware for proxies may have written wss into it.
    return scope.get("scheme") in ("https", "wss")


async def refuse_in_the_clear(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 426 (RFC 2817 §4.2)."""
    fields = upgrade_fields(scope, _TLS)
    await refuse(scope, receive, send, status=426, reason="This service wants TLS.", headers=fields)


def describe_server(scope: Scope) -> Response:
    """Return the answer to ``OPTIONS *``, which says in the clear that there is TLS (RFC 2817 §3.2, §4.1)."""
    # Without a body: CUPS never reads one here, and takes it for its next response.
    response = Response()
    if not is_secure(scope):
        response.raw_headers.extend(upgrade_fields(scope, _TLS))
    return response
