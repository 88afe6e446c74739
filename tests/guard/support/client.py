"""Starlette's TestClient, without a race of its versions before 0.45.3."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import anyio

with warnings.catch_warnings():
    # Which HTTP client Starlette would rather use does not matter for WebSockets.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", UserWarning)
    from starlette.testclient import TestClient, WebSocketDenialResponse, WebSocketTestSession

if TYPE_CHECKING:
    from starlette.types import Message

__all__ = ["TestClient", "WebSocketDenialResponse"]


async def _wait_for_message(session: Any) -> Message:
    # A message that the test's thread put between the look at the queue and the wait was never seen.
    while session._receive_queue.empty():  # noqa: ASYNC110 (the queue is for threads)
        await anyio.sleep(0.001)
    message: Message = session._receive_queue.get()
    return message


if "_queue_event" in WebSocketTestSession.send.__code__.co_names:
    # send() has nobody to wake any more.
    WebSocketTestSession._asgi_receive = _wait_for_message  # type: ignore[attr-defined]
