"""`ServerSide`: what an HTTP/2 connection takes from its server: default headers, access log, limits, tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

__all__ = ["ServerSide"]

_logger = logging.getLogger("asgi_upgrade")


def _no_headers() -> Sequence[tuple[bytes, bytes]]:
    return ()


def _ignore(scope: Scope, status: int) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class ServerSide:
    """The server's part in each request, so that requests on a stream get the same.

    Attributes:
        default_headers: Gives the fields that go in front of those of a response, such as ``date``. Default: none.
        on_response: Called with the scope and the status when a response begins. Default: nothing.
        is_busy: Tells whether a request has to be refused with 503. Default: never.
        tasks: The tasks that the server waits for when it stops; one for each request is added while it is served.
        logger: Where exceptions of the application are logged.
        websocket_limits: What the user has told the server about WebSockets, as ``http.upgrade`` carries it.
    """

    default_headers: Callable[[], Sequence[tuple[bytes, bytes]]] = _no_headers
    on_response: Callable[[Scope, int], None] = _ignore
    is_busy: Callable[[], bool] = _never
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    logger: logging.Logger = _logger
    websocket_limits: Mapping[str, Any] = field(default_factory=dict)
