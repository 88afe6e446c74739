"""However greedy one connection's application is, others are served, and it learns that its client has gone."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from select import select
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import LOOPS
from tests.server.support.http2 import HTTP2Client, SettingCodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.peer import Peer
    from tests.server.support.process import Server

DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}
HUGE = 2**31 - 1


@pytest.fixture(params=LOOPS)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    return shared("greedy:app", http="httptools", loop=request.param)


@contextmanager
def read(*sockets: socket.socket) -> Iterator[None]:
    """Take all that comes, as fast as it can be taken, until the block ends."""
    done = threading.Event()

    def take() -> None:
        buffer = bytearray(1 << 20)
        while not done.is_set():
            for readable in select(sockets, [], [], 0.1)[0]:
                with suppress(OSError):
                    readable.recv_into(buffer)

    reader = threading.Thread(target=take)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join()


def served(server: Server) -> None:
    """Others get their answers: a request, a handshake, and messages."""
    for _ in range(5):
        with server.peer() as peer:
            assert peer.ask().status == 200
    with server.websocket() as websocket:
        for number in range(20):
            websocket.send_text(str(number))
            assert websocket.receive_message() == str(number)
        websocket.finish()


def open_websocket(server: Server, size: int, *, deflate: bool = False) -> Peer:
    return server.websocket(f"/greedy?size={size}", DEFLATE if deflate else None)


def open_stream(server: Server, protocol: str) -> Peer:
    peer = server.peer()
    peer.send(peer.request("GET", "/", {"Connection": "upgrade", "Upgrade": protocol}))
    assert peer.receive_response().status == 101
    return peer


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("size", [32, 1024, 60 * 1024])
def test_a_websocket_that_sends_for_ever(server: Server, size: int, deflate: bool) -> None:
    peer = open_websocket(server, size, deflate=deflate)
    with read(peer.socket):
        served(server)
    start = time.monotonic()
    peer.reset()
    server.note(peer.key, "raised")
    assert time.monotonic() - start < 60
    served(server)


@pytest.mark.parametrize("protocol", ["greedy", "greedy-pair"])
def test_a_stream_that_sends_for_ever(server: Server, protocol: str) -> None:
    peer = open_stream(server, protocol)
    with read(peer.socket):
        served(server)
    start = time.monotonic()
    peer.reset()
    server.note(peer.key, "raised")
    assert time.monotonic() - start < 60
    served(server)


@pytest.mark.parametrize("kind", ["response", "websocket"])
@pytest.mark.parametrize("size", [0, 100, 60 * 1024, 16 * 1024 * 1024])
def test_a_stream_of_http2_that_sends_for_ever(server: Server, size: int, kind: str) -> None:
    """To a client whose windows have no end, and after it has gone."""
    client = HTTP2Client(server.peer(), {SettingCodes.INITIAL_WINDOW_SIZE: HUGE})
    client.upgrade()
    client.answer(1)
    client.h2.increment_flow_control_window(HUGE - 65535)
    if kind == "response":
        client.request(path=f"/greedy?size={size}")
    else:
        client.connect(f"/greedy?size={size}")
    client.flush()
    with read(client.peer.socket):
        served(server)
    if kind == "response":
        client.peer.reset()
    else:
        # HTTP/2 is no exception.
        start = time.monotonic()
        client.peer.reset()
        server.note(client.peer.key, "raised")
        assert time.monotonic() - start < 60
    served(server)


def test_all_of_them(server: Server) -> None:
    with ExitStack() as stack:
        peers = [
            open_websocket(server, 32),
            open_websocket(server, 1024, deflate=True),
            open_websocket(server, 60 * 1024),
            open_stream(server, "greedy"),
        ]
        for peer in peers:
            stack.enter_context(peer)
        with read(*(peer.socket for peer in peers)):
            served(server)
        for peer in peers:
            peer.reset()
            server.note(peer.key, "raised")
    served(server)
