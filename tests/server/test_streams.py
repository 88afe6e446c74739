"""`UpgradeStream` on a real server: order, ends, flow control, what it tells about itself, what wraps it."""

from __future__ import annotations

import hashlib
import random
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import COMBINATIONS, LOOPS
from tests.server.support.peer import Peer
from tests.server.support.process import uvicorn
from tests.server.support.upgrades import TCP, finish, receive_json, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.server.support.certificates import Certificate
    from tests.server.support.process import Server

MEBIBYTE = 1024 * 1024


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    parser, loop = request.param
    return shared("streams:fastapi", http=parser, loop=loop)


@pytest.fixture(params=LOOPS)
def each_loop(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    """For what has nothing to do with the parser."""
    return shared("streams:fastapi", http="httptools", loop=request.param)


@pytest.fixture(params=LOOPS)
def fresh(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of its own, whose memory nobody else has used."""
    with uvicorn("streams:fastapi", http="httptools", loop=request.param) as server:
        yield server


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def send_until_blocked(peer: Peer, data: bytes) -> int:
    """Send until nothing has moved for 0.2 seconds; give how much that was."""
    sent = 0
    peer.socket.settimeout(0.2)
    try:
        while sent < len(data):
            sent += peer.socket.send(data[sent : sent + 65536])
    except TimeoutError:
        pass
    peer.socket.settimeout(30)
    return sent


def in_background(function: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


# Order


def test_bytes_that_followed_the_request_come_first(server: Server) -> None:
    with server.peer() as peer:
        upgrade(peer, "/streams/echo", early=b"first, ")
        peer.send(b"second")
        assert peer.receive_exactly(13) == b"first, second"


@pytest.mark.parametrize("size", [1, 3])
def test_a_request_in_small_segments_with_bytes_behind_it(server: Server, size: int) -> None:
    with server.peer() as peer:
        request = peer.request("GET", "/streams/echo", headers=TCP)
        peer.send_in_pieces(request + b"first", size, 0)
        assert peer.receive_response().status == 101
        assert peer.receive_exactly(5) == b"first"


def test_more_early_bytes_than_the_buffer_holds(server: Server) -> None:
    data = random_bytes(MEBIBYTE)
    with server.peer() as peer:
        sender = in_background(lambda: peer.send(peer.request("GET", "/streams/echo", headers=TCP) + data))
        assert peer.receive_response().status == 101
        assert peer.receive_exactly(len(data)) == data
        sender.join(5)


@pytest.mark.parametrize("piece", [1000, 65536, 300_000])
def test_both_directions_keep_their_order(each_loop: Server, piece: int) -> None:
    data = random_bytes(2 * MEBIBYTE)
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/echo")
        sender = in_background(lambda: peer.send_in_pieces(data, piece, 0))
        assert peer.receive_exactly(len(data)) == data
        sender.join(5)


# Ends


def test_after_the_clients_end_the_answer_still_goes_out(server: Server) -> None:
    data = random_bytes(MEBIBYTE)
    with server.peer() as peer:
        upgrade(peer, "/streams/digest")
        peer.send(data)
        finish(peer)
        assert receive_json(peer) == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_sending_works_until_the_handler_is_done(server: Server) -> None:
    with server.peer() as peer:
        upgrade(peer, "/streams/answer-after-the-end")
        peer.send(b"input")
        finish(peer)
        assert peer.receive_end() == b"input 0 1 2 3 4"


def test_the_clients_end_may_come_with_the_request_itself(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request("GET", "/streams/answer-after-the-end", headers=TCP) + b"input")
        finish(peer)
        assert peer.receive_response().status == 101
        assert peer.receive_end() == b"input 0 1 2 3 4"


def test_the_clients_end_may_come_long_before_the_switch(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request("GET", "/slow", headers=TCP) + b"input")
        finish(peer)
        assert peer.receive_response().status == 101
        assert peer.receive_end() == b"input 0 1 2 3 4"


def test_a_half_closed_client_gets_a_plain_answer_too(server: Server) -> None:
    start = len(server.log.lines)
    with server.peer() as peer:
        peer.send(peer.request("GET", "/slow-refusal", headers=TCP))
        finish(peer)
        assert peer.receive_response().status == 403
        assert peer.receive_end() == b""
    server.settle()
    assert not any("Traceback" in line for line in server.log.lines[start:])


def test_an_endpoint_that_waits_for_the_clients_disconnect_is_told(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request("GET", "/wait-for-disconnect", headers=TCP))
        server.note(peer.key, "waiting")
        finish(peer)
        server.note(peer.key, "disconnected")


def test_the_handlers_end_leaves_the_other_direction_open(server: Server) -> None:
    with server.peer() as peer:
        upgrade(peer, "/streams/end-first")
        assert peer.receive_end() == b"all I have to say"
        peer.send(b"but I ")
        peer.send(b"have more")
        finish(peer)
        assert server.note(peer.key, "received") == {"data": "but I have more"}


def test_the_last_bytes_arrive_although_the_client_is_still_sending(each_loop: Server) -> None:
    """Closing at once would reset the connection, for what the client sends is never read."""
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/return-at-once")
        peer.send(b"unread" * 1000)
        received = peer.receive_exactly(1000)
        peer.send(b"unread" * 1000)
        received += peer.receive_end()
        assert received == b"x" * 300_000


def test_a_client_that_vanishes_ends_a_handler_that_sends(each_loop: Server) -> None:
    start = len(each_loop.log.lines)
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/send-for-ever")
        peer.receive_exactly(100_000)
        peer.reset()
    each_loop.settle()
    assert not any("Traceback" in line for line in each_loop.log.lines[start:])


def test_a_client_that_vanishes_ends_a_handler_that_receives(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/sit")
        each_loop.note(peer.key, "started")
        peer.reset()
        assert each_loop.note(peer.key, "ended") == {"by": "BrokenResourceError"}


# Flow control


def test_a_slow_client_makes_send_wait(fresh: Server) -> None:
    with Peer(fresh.connect(receive_buffer=16 * 1024), fresh.host) as peer:
        upgrade(peer, "/streams/flood?write_buffer_size=100000")
        noted = fresh.note(peer.key, "blocked")
        assert 100_000 <= noted["sent"] < 8 * MEBIBYTE  # our buffer, and the kernel's
        received = peer.receive_end()
        assert len(received) == noted["sent"] + len(b"the end")
        assert received.endswith(b"the end")


def test_a_slow_handler_makes_the_client_wait(fresh: Server) -> None:
    # The kernel's buffers grow to as much as 32 MiB and 4 MiB where the machine is busy.
    data = random_bytes(48 * MEBIBYTE)
    with fresh.peer() as peer:
        upgrade(peer, "/streams/read-late?read_buffer_size=100000")
        sent = send_until_blocked(peer, data)
        assert sent < 40 * MEBIBYTE  # the handler reads nothing yet
        peer.send(data[sent:])
        finish(peer)
        assert receive_json(peer) == {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_long_transfers_keep_memory_flat(fresh: Server) -> None:
    total = 192 * MEBIBYTE
    with fresh.peer() as peer:
        upgrade(peer, "/streams/count")
        peer.send(bytes(MEBIBYTE))
        finish(peer)
        before = receive_json(peer)["memory"]
    with fresh.peer() as peer:
        upgrade(peer, "/streams/count")
        piece = bytes(MEBIBYTE)
        for _ in range(total // MEBIBYTE):
            peer.send(piece)
        finish(peer)
        counted = receive_json(peer)
        assert counted["received"] == total
        assert counted["memory"] - before < 8 * MEBIBYTE
    with fresh.peer() as peer:
        upgrade(peer, f"/streams/pour?bytes={total}")
        for _ in range(total // MEBIBYTE):
            assert peer.receive_exactly(MEBIBYTE) == piece
        assert peer.receive_end() == b""
        assert fresh.note(peer.key, "poured")["memory"] - before < 8 * MEBIBYTE


# What it tells about itself


def test_attributes_over_tcp(server: Server) -> None:
    with server.peer() as peer:
        ours = list(peer.socket.getsockname())
        upgrade(peer, "/streams/describe", {"Upgrade": "bar, TCP"})
        assert receive_json(peer) == {
            "remote": ours,
            "local": ["127.0.0.1", server.port],
            "ports": [server.port, ours[1]],
            "family": "AF_INET",
            "socket": True,
            "scope": "/streams/describe",
            "same scope": True,
            "protocol": "TCP",
            "half close": True,
            "tls": None,
            "cipher": False,
            "server side": None,
        }


def test_attributes_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with uvicorn("streams:fastapi", "--uds", path) as server, server.peer() as peer:
        upgrade(peer, "/streams/describe")
        facts = receive_json(peer)
        assert (facts["family"], facts["local"], facts["remote"]) == ("AF_UNIX", path, "")
        assert facts["ports"] == [None, None]


# Over TLS


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def tls_server(request: pytest.FixtureRequest, shared: Callable[..., Server], certificate: Certificate) -> Server:
    parser, loop = request.param
    return shared("streams:fastapi", *certificate.options, http=parser, loop=loop, tls=certificate.client)


def test_attributes_over_tls(tls_server: Server) -> None:
    with tls_server.peer() as peer:
        upgrade(peer, "/streams/describe")
        facts = receive_json(peer)
        assert isinstance(peer.socket, ssl.SSLSocket)
        assert facts["tls"] == peer.socket.version()
        assert facts["cipher"]
        assert facts["server side"]
        assert not facts["half close"]
        assert facts["remote"] == list(peer.socket.getsockname())


def test_over_tls_both_directions_keep_their_order(tls_server: Server) -> None:
    data = random_bytes(MEBIBYTE)
    with tls_server.peer() as peer:
        upgrade(peer, "/streams/echo", early=data[:1000])
        assert peer.receive_exactly(1000) == data[:1000]
        for start in range(1000, len(data), 60_000):
            piece = data[start : start + 60_000]
            peer.send(piece)
            assert peer.receive_exactly(len(piece)) == piece


def test_over_tls_one_direction_cannot_end_by_itself(tls_server: Server) -> None:
    with tls_server.peer() as peer:
        upgrade(peer, "/streams/end-first-if-possible")
        assert peer.receive_end() == b"still here"
        assert "one direction" in tls_server.note(peer.key, "raised")["message"]


def test_over_tls_the_clients_end_ends_the_handlers_input(tls_server: Server) -> None:
    start = len(tls_server.log.lines)
    with tls_server.peer() as peer:
        upgrade(peer, "/streams/sit")
        tls_server.note(peer.key, "started")
        peer.close()
        assert tls_server.note(peer.key, "ended")["by"] in ("EndOfStream", "BrokenResourceError")
    tls_server.settle()
    assert not any("Traceback" in line or "eof_received" in line for line in tls_server.log.lines[start:])


# What wraps it


def test_a_buffered_stream_on_top(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/buffered", early=b"5\nhel")
        peer.send(b"lo3")
        assert peer.receive_exactly(5) == b"hello"
        peer.send(b"\nabc")
        assert peer.receive_exactly(3) == b"abc"


def test_a_text_stream_on_top(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/text")
        word = "grün".encode()
        peer.send(word[:3])  # in the middle of a character
        assert peer.receive_exactly(2) == b"GR"
        peer.send(word[3:])
        assert peer.receive_exactly(3) == "ÜN".encode()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_tls_server_on_top(loop: str, certificate: Certificate) -> None:
    environment = {"CERTIFICATE": certificate.certfile, "KEY": certificate.keyfile}
    with (
        uvicorn("streams:fastapi", http="h11", loop=loop, environment=environment) as server,
        server.peer() as peer,
    ):
        upgrade(peer, "/streams/tls-inside")
        assert peer.receive_until_silence() == b""
        with certificate.client.wrap_socket(peer.socket, server_hostname="127.0.0.1") as tls:
            assert tls.recv(100) == b"tcp"
            # No more at a time than the kernel holds: two threads must not use one `SSLSocket`.
            for _ in range(4):
                data = random_bytes(50_000)
                tls.sendall(data)
                received = b""
                while len(received) < len(data):
                    received += tls.recv(65536)
                assert received == data


def test_asyncios_streams_on_top(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/asyncio-lines", early=b"one\ntw")
        peer.send(b"o\n")
        assert peer.receive_exactly(8) == b"ONE\nTWO\n"
        finish(peer)
        assert peer.receive_end() == b"bye"


def test_asyncios_streams_hold_a_fast_client_back(each_loop: Server) -> None:
    lines = [b"%06d" % number + b"x" * 1000 + b"\n" for number in range(3000)]
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/asyncio-lines")
        sender = in_background(lambda: peer.send(b"".join(lines)))
        for line in lines:
            assert peer.receive_exactly(len(line)) == line.upper()
        sender.join(5)
