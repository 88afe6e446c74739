"""A member of the demo's chat without a browser."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection


def log_in(base: str, name: str) -> str:
    """Log in at the demo; gives the session cookie as a Cookie field has it."""
    response = httpx.post(f"{base}/login", data={"name": name})
    assert response.status_code == 303, response
    return f"chat={response.cookies['chat']}"


def say(websocket: ClientConnection, text: str) -> None:
    """Say something in the room."""
    websocket.send(json.dumps({"text": text}))


def await_event(websocket: ClientConnection, *kinds: str) -> Any:
    """Wait for the next event of one of these kinds."""
    while True:
        event = json.loads(websocket.recv(timeout=30))
        if event["type"] in kinds:
            return event
