"""Handshake, policy, guard and messages, the same on every server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from .running import Running

# Servers without the denial response extension can refuse with 403 only.
WITHOUT_DENIAL = {"granian", "daphne"}


def open_room(server: Running, target: str = "/rooms/blue?token=good", **options: Any) -> ClientConnection:
    """Open a WebSocket, through no proxy and without compression."""
    return connect(server.url(target), proxy=None, compression=None, open_timeout=10, **options)


def refusal(server: Running, target: str = "/rooms/blue?token=good", **options: Any) -> Any:
    """The response that refuses a WebSocket."""
    with pytest.raises(InvalidStatus) as caught:
        open_room(server, target, **options)
    return caught.value.response


def test_messages_pass(server: Running) -> None:
    with open_room(server) as websocket:
        assert json.loads(websocket.recv())["room"] == "blue"
        for message in ("text, and ünïcode", b"\x00\xff bytes", "x" * 70000, ""):
            websocket.send(message)
            assert websocket.recv() == message


def test_the_guard_runs_once_and_dresses_the_101(server: Running) -> None:
    with open_room(server) as websocket:
        assert json.loads(websocket.recv())["guarded"] == 1
        assert websocket.response is not None
        assert websocket.response.headers["x-guard"] == "passed 1"


def test_the_guard_refuses(server: Running) -> None:
    response = refusal(server, "/rooms/blue")
    if server.name in WITHOUT_DENIAL:
        assert response.status_code == 403
    else:
        assert response.status_code == 401
        assert response.headers["x-guard"] == "refused"
        assert response.body == b"no token"


def test_a_foreign_origin_is_refused(server: Running) -> None:
    response = refusal(server, origin="https://evil.example")
    assert response.status_code == 403
    log = server.wait_for("https://evil.example")
    assert "allowed_origins" in log


def test_the_own_origin_and_an_allowed_one_pass(server: Running) -> None:
    for origin in (f"http://127.0.0.1:{server.port}", "https://friend.example"):
        with open_room(server, origin=origin) as websocket:
            assert json.loads(websocket.recv())["room"] == "blue"


def test_the_clients_preference_decides_the_subprotocol(server: Running) -> None:
    with open_room(server, subprotocols=["other", "chat.v1", "chat.v2"]) as websocket:
        assert json.loads(websocket.recv())["subprotocols"] == ["other", "chat.v1", "chat.v2"]
        assert websocket.subprotocol == "chat.v1"


def test_the_application_closes(server: Running) -> None:
    with open_room(server) as websocket:
        websocket.recv()
        websocket.send("close")
        with pytest.raises(ConnectionClosed) as caught:
            websocket.recv(timeout=5)
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "as you wish")


def test_the_client_closes(server: Running) -> None:
    with open_room(server) as websocket:
        websocket.recv()
        websocket.close(4002, "done")
    server.wait_for("disconnect 4002")


def test_plain_http_passes_and_websocket_only_paths_answer_426(server: Running) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        assert client.get("/plain?token=good").json() == {"plain": "http"}
        response = client.get("/only?token=good")
        assert response.status_code == 426
        assert response.headers["upgrade"] == "websocket"
        assert client.get("/plain").status_code == 401
