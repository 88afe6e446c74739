"""Tries a WebSocket handshake without credentials, and says what the answer shows."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from asgi_upgrade.testing.libraries import installed
from asgi_upgrade.testing.websocket import WebSocketDenied, connect_websocket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asgi_upgrade.testing.transport import UpgradeTransport

__all__ = ["Answer", "Trial", "try_anonymously"]

_REFUSALS = frozenset((401, 403, 407))


class Answer(enum.Enum):
    """What the answer to a handshake without credentials shows."""

    REFUSED = "refused"
    """401, 403 or 407, or a redirect to another page."""
    LET_IN = "let in"
    """101."""
    UNDECIDED = "undecided"
    """Anything else: it does not show that a guard has decided."""


class Trial(NamedTuple):
    """One handshake, or two, without credentials.

    Attributes:
        path: Where to.
        answer: What it shows.
        seen: The answer in words.
    """

    path: str
    answer: Answer
    seen: str


async def try_anonymously(
    path: str,
    transport: UpgradeTransport,
    *,
    base_url: str = "http://localhost",
    headers: Mapping[str, str] | None = None,
    timeout: float = 5.0,  # noqa: ASYNC109
) -> Trial:
    """Try to open a WebSocket without credentials, once as a program does it and once as a page of the same origin.

    Only what both show is shown: a refusal of requests without an Origin, or with one, guards nothing. The application
    runs as far as it lets the client in, its endpoint too.

    Args:
        path: The path, maybe with a query.
        transport: Runs the application.
        base_url: Scheme and host of the request. Default: ``"http://localhost"``.
        headers: Header fields that every client sends. Default: none.
        timeout: Seconds for each answer. Default: 5.
    """
    seen: list[tuple[Answer, str]] = []
    for fields in ({}, {"Origin": base_url}):
        answer, words = await _try(transport, path, base_url, {**(headers or {}), **fields}, timeout)
        seen.append((answer, words))
        if answer is Answer.LET_IN:
            return Trial(path, answer, words)
    (first, words), (second, other) = seen
    if first is second:
        return Trial(path, first, words)
    return Trial(path, Answer.UNDECIDED, f"{words}; with the page's own Origin {other}")


async def _try(
    transport: UpgradeTransport, path: str, base_url: str, headers: dict[str, str], seconds: float
) -> tuple[Answer, str]:
    let_in = False
    client = installed[0].httpx.AsyncClient(transport=_Kept(transport), base_url=base_url)
    try:
        async with client, connect_websocket(client, path, headers=headers, timeout=seconds) as websocket:
            let_in = True
            websocket.timeout = 1.0  # for its close, which is not the question
    except WebSocketDenied as denied:
        return _judge(denied.response)
    except (TimeoutError, anyio.BrokenResourceError):
        if not let_in:
            return Answer.UNDECIDED, f"no answer within {seconds:g} s"
    except Exception as error:  # noqa: BLE001 - whatever an application may raise
        if not let_in:
            return Answer.UNDECIDED, f"{type(error).__name__}: {error}"[:200]
    return Answer.LET_IN, "101"


class _Kept(installed[0].httpx.AsyncBaseTransport):  # type: ignore[misc]
    """A transport that stays open when its client is closed."""

    def __init__(self, transport: UpgradeTransport) -> None:
        self.handle_async_request = transport.handle_async_request


def _judge(response: Any) -> tuple[Answer, str]:
    status: int = response.status_code
    if status in _REFUSALS:
        return Answer.REFUSED, str(status)
    following = response.next_request  # there is none for a redirect that does not say where to
    if following is None:
        return Answer.UNDECIDED, str(status)
    # HTTPS in place of HTTP, a slash at the end, or another query: the same page, and no login.
    same = following.url.path.rstrip("/") == response.url.path.rstrip("/")
    return (Answer.UNDECIDED if same else Answer.REFUSED), f"{status} to {response.headers['location']}"
