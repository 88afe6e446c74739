"""Handshake, policy, guard and messages: one test for each feature, the same on every server.

The first line of each docstring is the feature's row in the table of `docs/reference/servers.md`; `table.py` writes it.
"""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from .clients import GOOD, HTTP2, open_room, refusal

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

    from .running import Running


def get(server: Running, target: str) -> httpx.Response:
    """A plain request."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        return client.get(target)


def closed_with(websocket: ClientConnection, timeout: float = 30) -> tuple[int, str]:
    """Code and reason of the close frame that the server sends next."""
    with pytest.raises(ConnectionClosed) as caught:
        websocket.recv(timeout=timeout)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


# The guard


def test_the_guard_runs_once(server: Running) -> None:
    """HTTP middleware sees each handshake, once"""
    with open_room(server) as (_, hello):
        assert hello["guarded"] == 1


def test_the_guard_refuses(server: Running) -> None:
    """HTTP middleware refuses a handshake"""
    assert refusal(server, "token=bad").status_code in (401, 403)


def test_a_refusal_arrives_as_it_was_written(server: Running) -> None:
    """its refusal keeps status, headers and body"""
    response = refusal(server, "token=bad")
    assert response.status_code == 401
    assert response.headers["x-guard"] == "refused"
    assert response.body == b"no token"


def test_the_guard_dresses_the_101(server: Running) -> None:
    """its headers reach the 101"""
    with open_room(server) as (websocket, _):
        assert websocket.response is not None
        assert websocket.response.headers["x-guard"] == "passed 1"


# The policy


def test_a_foreign_origin_is_refused(server: Running) -> None:
    """a foreign origin gets 403"""
    # A page of its own for each application, so that the log line is of this very handshake.
    response = refusal(server, origin=f"https://evil-{server.port}.example")
    assert response.status_code == 403
    log = server.wait_for(f"https://evil-{server.port}.example")
    assert "allowed_origins" in log


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", "https://friend.example"], ids=["own", "allowed"])
def test_a_known_origin_passes(server: Running, origin: str) -> None:
    """the own origin and those allowed pass"""
    with open_room(server, origin=origin.format(port=server.port)) as (_, hello):
        assert hello["room"] == "blue"


def test_the_clients_preference_decides_the_subprotocol(server: Running) -> None:
    """the client's preference decides the subprotocol"""
    with open_room(server, subprotocols=["other", "chat.v1", "chat.v2"]) as (websocket, hello):
        assert hello["subprotocols"] == ["other", "chat.v1", "chat.v2"]
        assert websocket.subprotocol == "chat.v1"


def test_a_plain_request_for_a_websocket_only_path_gets_426(server: Running) -> None:
    """`websocket_only` answers 426"""
    assert get(server, f"/only?{GOOD}").status_code == 426


def test_the_426_names_websocket(server: Running) -> None:
    """with the field `Upgrade: websocket`"""
    assert get(server, f"/only?{GOOD}").headers["upgrade"] == "websocket"


def test_plain_http_passes(server: Running) -> None:
    """plain HTTP passes, through the same middleware"""
    response = get(server, f"/plain?{GOOD}")
    assert response.json() == {"plain": "http"}
    assert response.headers["x-guard"] == "passed 1"
    assert get(server, "/plain").status_code == 401


# The messages


def test_text_and_bytes_pass(server: Running) -> None:
    """text and bytes pass"""
    with open_room(server) as (websocket, _):
        for message in ("text, and ünïcode", b"\x00\xff bytes", "x" * 70000, b"x" * 70000):
            websocket.send(message)
            assert websocket.recv(timeout=30) == message


def test_empty_messages_pass(server: Running) -> None:
    """empty messages pass"""
    with open_room(server) as (websocket, _):
        for message in ("", b"", "end"):
            websocket.send(message)
            assert websocket.recv(timeout=30) == message


def test_the_application_closes(server: Running) -> None:
    """the application's close code reaches the client"""
    with open_room(server) as (websocket, _):
        websocket.send("close")
        assert closed_with(websocket)[0] == 4001


def test_the_application_says_why_it_closes(server: Running) -> None:
    """and its reason"""
    with open_room(server) as (websocket, _):
        websocket.send("close")
        assert closed_with(websocket) == (4001, "as you wish")


def test_the_application_closes_and_receives(server: Running) -> None:
    """at once, while the application goes on receiving"""
    with open_room(server) as (websocket, _):
        websocket.send("close and receive")
        # A server that waits for the application's end closes only when it misses the client, after 20 seconds.
        assert closed_with(websocket, timeout=16)[0] == 4001


def test_the_client_closes(server: Running) -> None:
    """the client's close code reaches the application"""
    with open_room(server, "closing") as (websocket, _):
        websocket.close(4002, "done")
    assert "disconnect closing 4002\n" in server.wait_for("disconnect closing")


def test_the_client_leaves_before_it_is_accepted(server: Running) -> None:
    """the application learns of a client that leaves before it is accepted"""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(
            f"GET /undecided/soon?{GOOD} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        server.wait_for("undecided soon")
    server.wait_for("left soon websocket.connect websocket.disconnect", 30)


# HTTP/2


def test_http2_the_guard_runs_once(http2_server: Running) -> None:
    """over HTTP/2: HTTP middleware sees the handshake, once; text passes"""
    with closing(HTTP2(http2_server)) as client:
        assert client.request(f"/rooms/blue?{GOOD}", connect_websocket=True).status == 200
        assert '"guarded":1' in client.receive_text().replace(" ", "")
        client.send_text("over HTTP/2")
        assert client.receive_text() == "over HTTP/2"


def test_http2_the_guard_refuses(http2_server: Running) -> None:
    """over HTTP/2: its refusal keeps status and headers"""
    with closing(HTTP2(http2_server)) as client:
        answer = client.request("/rooms/blue?token=bad", connect_websocket=True)
        assert answer.status == 401
        assert answer.headers[b"x-guard"] == b"refused"


def test_http2_the_guard_dresses_the_response(http2_server: Running) -> None:
    """over HTTP/2: its headers reach the response"""
    with closing(HTTP2(http2_server)) as client:
        answer = client.request(f"/rooms/blue?{GOOD}", connect_websocket=True)
        assert answer.headers[b"x-guard"] == b"passed 1"


def test_http2_a_foreign_origin_is_refused(http2_server: Running) -> None:
    """over HTTP/2: a foreign origin gets 403"""
    headers = {"origin": "https://evil.example"}
    with closing(HTTP2(http2_server)) as client:
        assert client.request(f"/rooms/blue?{GOOD}", connect_websocket=True, headers=headers).status == 403


def test_http2_an_upgrade_field_is_no_offer(http2_server: Running) -> None:
    """over HTTP/2: a request with `Upgrade` is no handshake"""
    headers = {
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    # RFC 9113 §8.2.2: such a request is malformed, and may be refused; else it is a plain one, also to us.
    with closing(HTTP2(http2_server)) as client:
        assert client.request(f"/plain?{GOOD}", headers=headers).status in (None, 200, 400)
    with closing(HTTP2(http2_server)) as client:
        assert client.request(f"/plain?{GOOD}").status == 200
