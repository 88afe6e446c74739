"""How a refusal leaves through a server's own WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import PlainTextResponse, StreamingResponse

from asgi_upgrade import HandshakeMiddleware
from tests.guard.support.deployments import Call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Receive, Scope, Send


async def parts() -> AsyncIterator[bytes]:
    for letter in b"abc":
        yield bytes([letter]) * 50_000


async def switch_without_announcement(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 101, "headers": [(b"upgrade", b"websocket")]})
    await send({"type": "http.response.body", "body": b"\0", "more_body": True})


async def refuse_twice(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("first", 401)(scope, receive, send)
    await PlainTextResponse("second", 402)(scope, receive, send)


async def leave_the_body_open(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 401})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


@pytest.mark.parametrize(
    ("app", "status", "body"),
    [
        (PlainTextResponse("no", 401), 401, "no"),
        (StreamingResponse(parts(), 403), 403, "a" * 50_000 + "b" * 50_000 + "c" * 50_000),
        (switch_without_announcement, 500, "The connection could not be switched to another protocol.\n"),
        (refuse_twice, 401, "first"),
        (leave_the_body_open, 401, "half"),
    ],
)
@pytest.mark.parametrize("denial", [True, False])
def test_a_refusal_reaches_the_client(
    caplog: pytest.LogCaptureFixture, app: ASGIApp, status: int, body: str, *, denial: bool
) -> None:
    outcome = Call(caplog, lifespan=False, denial=denial).connect(HandshakeMiddleware(app), "/", {})
    assert (outcome.status, outcome.body) == ((status, body) if denial else (403, ""))
    assert outcome.all("upgrade") == []
