"""Refusals as plain HTTP, also through servers that keep some fields of a response to themselves."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

__all__ = ["refuse", "upgrade_fields"]

Fields = Iterable[tuple[bytes, bytes]]


def upgrade_fields(scope: Scope, upgrade: str) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields by which a 426 names the protocols to ask for (RFC 9110 §15.5.22).

    HTTP/2 and later forbid them (RFC 9113 §8.2.2), and so do some servers: there, they are none.

    Args:
        scope: The request.
        upgrade: The protocols.
    """
    if scope["http_version"] not in ("1.0", "1.1") or _keeps_upgrade_fields():
        return ()
    return (b"upgrade", upgrade.encode()), (b"connection", b"Upgrade")


async def refuse(scope: Scope, receive: Receive, send: Send, *, status: int, reason: str, headers: Fields = ()) -> None:
    """Answer with a plain text, and without ``Upgrade`` and ``Connection`` if the server refuses these.

    Args:
        scope: The request.
        receive: Its ``receive``.
        send: Its ``send``.
        status: The status.
        reason: One line of text for the client, without the line's end.
        headers: Fields of the response besides those that describe the body. Default: none.

    Raises:
        ValueError: The server refuses the response for another reason.
    """
    headers = list(headers)
    started = False

    async def watched(message: Message) -> None:
        nonlocal started
        await send(message)
        started = True

    try:
        await _response(status, reason, headers)(scope, receive, watched)
    except ValueError:
        fewer = [field for field in headers if field[0] not in (b"connection", b"upgrade")]
        if started or fewer == headers:
            raise
        await _response(status, reason, fewer)(scope, receive, send)


def _response(status: int, reason: str, headers: Fields) -> PlainTextResponse:
    response = PlainTextResponse(f"{reason}\n", status)
    response.raw_headers.extend(headers)
    return response


def _keeps_upgrade_fields() -> bool:
    """Tell whether the server that runs this loop refuses responses with ``Upgrade`` or ``Connection``, as h2corn does.

    It is known by the name that it gives to its tasks. Having been imported means nothing.
    """
    if "h2corn" not in sys.modules:
        return False
    return any(task.get_name() == "h2corn.request" for task in asyncio.all_tasks())
