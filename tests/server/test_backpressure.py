"""Flow control: whoever is slow slows the other side down, and memory stays flat."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.server.support.usage import memory
from tests.server.support.websocket import BINARY, PING, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

MEBIBYTE = 1024 * 1024
# More than the kernel holds for one connection while nobody reads, and far less than what is sent here.
SOCKET_BUFFERS = 8 * MEBIBYTE


def test_a_slow_client_blocks_send_with_flat_memory(server: Server) -> None:
    with server.websocket("/flood", receive_buffer=16 * 1024) as websocket:
        blocked = server.note(websocket.key, "blocked")
        assert blocked["sent"] < SOCKET_BUFFERS
        assert blocked["grown_kib"] * 1024 < 8 * MEBIBYTE
        websocket.reset()


def test_a_client_that_reads_again_gets_everything(one_server: Server) -> None:
    with one_server.websocket("/flood", receive_buffer=16 * 1024) as websocket:
        one_server.note(websocket.key, "blocked")
        websocket.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MEBIBYTE)
        for _ in range(4096):
            received = websocket.receive_frame()
            assert (received.opcode, len(received.payload)) == (BINARY, 64 * 1024)
        assert one_server.note(websocket.key, "all sent")["grown_kib"] * 1024 < 8 * MEBIBYTE
        websocket.finish()


def test_a_blocked_send_wakes_when_the_peer_is_lost(server: Server) -> None:
    with server.websocket("/send-for-ever", receive_buffer=16 * 1024) as websocket:
        websocket.receive_message()
        websocket.reset()
        assert server.note(websocket.key, "raised")["os_error"]


def test_a_slow_app_pauses_reading_and_then_gets_everything(server: Server) -> None:
    """The client sends until nobody takes any more for a while; then the application wakes up."""
    count = 1000
    messages = b"".join(frame(BINARY, number.to_bytes(4, "big") + bytes(32 * 1024)) for number in range(count))
    with server.websocket("/wait-for-release") as websocket, server.peer() as other:
        rest = websocket.send_until_blocked(messages)
        assert len(messages) - len(rest) < SOCKET_BUFFERS
        other.ask("POST", "/release", headers={"Content-Length": "0"})
        websocket.send(rest)
        websocket.send_text("that was all")
        assert json.loads(websocket.receive_text()) == {"messages": count, "in order": True}
        websocket.finish()


def test_what_follows_an_unanswered_offer_is_not_read_without_end(server: Server) -> None:
    """It may be a protocol's first bytes or pipelined requests: they wait, most of them with the client."""
    follow = b"GET /more HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.peer() as peer, server.peer() as other:
        peer.send(peer.request("GET", "/wait", headers={"Connection": "Upgrade", "Upgrade": "h2c"}))
        server.note(peer.key, "started")
        rest = peer.send_until_blocked(follow * 1_000_000)
        assert len(follow) * 1_000_000 - len(rest) < SOCKET_BUFFERS
        peer.reset()
        other.ask("POST", "/release", headers={"Content-Length": "0"})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("case", ["offer", "offer with a body", "offer behind a request"])
def test_what_follows_an_offer_is_held_up_to_a_limit_whatever_the_application_asks(server: Server, case: str) -> None:
    """uvicorn's ``receive`` reads on, to learn whether the client has gone."""
    more = b"GET /http HTTP/1.1\r\nHost: x\r\n\r\n"
    count = 200_000
    with server.peer() as peer, server.peer() as other:
        offer = {"Connection": "Upgrade", "Upgrade": "foo"}
        if case == "offer":
            peer.send(peer.request("GET", "/poll", headers=offer))
        elif case == "offer with a body":
            peer.send(peer.request("POST", "/poll", headers={**offer, "Content-Length": "3"}, body=b"abc"))
        else:
            fields = {**offer, "Content-Length": "3"}
            peer.send(peer.request("GET", "/poll") + peer.request("POST", headers=fields, body=b"abc"))
        server.note(peer.key, "started")
        before = memory(server.process.pid)
        rest = peer.send_until_blocked(more * count)
        # h11 reads a request that comes first as uvicorn has it.
        if case != "offer behind a request" or "h11" not in str(server.process.args):
            assert memory(server.process.pid) - before < 3 * MEBIBYTE
            assert len(more) * count - len(rest) < SOCKET_BUFFERS
        other.ask("POST", "/release", headers={"Content-Length": "0"})
        # Nothing is lost, and reading goes on.
        assert peer.receive_response().body == b'"polled"'
        if case == "offer behind a request":
            assert peer.receive_response("POST").status == 200
        for _ in range(100):
            assert peer.receive_response().status == 200
        peer.reset()


def test_a_poll_learns_that_a_client_has_gone_that_sent_a_little_more(server: Server) -> None:
    with server.peer() as peer:
        offer = {"Connection": "Upgrade", "Upgrade": "foo"}
        peer.send(peer.request("GET", "/poll", headers=offer) + b"GET /http HTTP/1.1\r\nHost: x\r\n\r\n")
        server.note(peer.key, "started")
        peer.reset()
        assert server.note(peer.key, "polled")["type"] == "http.disconnect"


def test_a_slow_session_does_not_hold_up_another(server: Server) -> None:
    with server.websocket("/flood", receive_buffer=16 * 1024) as slow, server.websocket() as quick:
        server.note(slow.key, "blocked")
        quick.send_text("quick")
        assert quick.receive_message() == "quick"
        slow.reset()


def test_a_ping_flood_of_a_client_that_does_not_read_is_bounded(shared: Callable[..., Server]) -> None:
    """Pongs may not pile up either."""
    server = shared("configured:default", http="httptools", loop="asyncio")
    pings = frame(PING, bytes(100))
    with server.websocket(receive_buffer=16 * 1024) as websocket:
        rest = websocket.send_until_blocked(pings * 300_000)
        assert len(pings) * 300_000 - len(rest) < SOCKET_BUFFERS
        websocket.reset()
