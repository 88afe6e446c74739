"""What ends a handler besides itself: its errors, its limits, the server's shutdown."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import COMBINATIONS, LOOPS
from tests.server.support.process import uvicorn
from tests.server.support.upgrades import finish, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.peer import Peer
    from tests.server.support.process import Server


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    parser, loop = request.param
    return shared("streams:fastapi", http=parser, loop=loop)


@pytest.fixture(params=LOOPS)
def each_loop(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    return shared("streams:fastapi", http="httptools", loop=request.param)


@pytest.fixture(params=LOOPS)
def impatient(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    """The middleware's own protocols, with short times."""
    return shared("streams:impatient", http="httptools", loop=request.param)


@pytest.fixture(params=LOOPS)
def fresh(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of its own, to be stopped."""
    with uvicorn("streams:fastapi", http="httptools", loop=request.param) as server:
        yield server


def send_on_and_on(peer: Peer) -> None:
    for _ in range(600):
        peer.send(b"on and on")
        time.sleep(0.05)


# Errors


def test_an_error_of_the_handler_is_logged_once_with_the_request_line_and_the_server_goes_on(server: Server) -> None:
    start = len(server.log.lines)
    with server.peer() as peer, server.peer() as other:
        upgrade(other, "/streams/echo")
        upgrade(peer, "/streams/raise-an-error?a=b%20c")
        assert peer.receive_end() == b"so far so good"
        other.send(b"not concerned")
        assert other.receive_exactly(13) == b"not concerned"
    server.settle()
    logged = server.log.lines[start:]
    assert sum("RuntimeError: the handler has failed" in line for line in logged) == 1
    assert (
        sum("GET /streams/raise-an-error?a=b%20c HTTP/1.1: the handler of tcp raised" in line for line in logged) == 1
    )
    assert sum("Traceback" in line for line in logged) == 1


def test_a_handler_that_does_not_expect_the_end_of_its_input_is_no_error(each_loop: Server) -> None:
    start = len(each_loop.log.lines)
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/expect-more")
        peer.send(b"data")
        finish(peer)
        assert peer.receive_end() == b"data"
    each_loop.settle()
    assert not any("Traceback" in line for line in each_loop.log.lines[start:])


# Limits


def test_a_connection_on_which_nothing_moves_is_closed(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/sit?idle_timeout=1.5")
        for _ in range(4):
            time.sleep(0.4)
            peer.send(b"still here")  # each byte counts
        start = time.monotonic()
        assert peer.receive_end() == b""
        assert 1.4 < time.monotonic() - start < 30
        assert each_loop.note(peer.key, "ended") == {"by": "CancelledError"}


def test_what_is_sent_counts_as_well(each_loop: Server) -> None:
    """A client that only listens is not idle."""
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/tick?idle_timeout=1.5")
        assert peer.receive_end() == b"tick" * 5


def test_asyncios_streams_are_subject_to_the_limits_too(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/asyncio-lines?idle_timeout=1.5")
        for _ in range(4):
            time.sleep(0.4)
            peer.send(b"line\n")
            assert peer.receive_exactly(5) == b"LINE\n"
        assert peer.receive_end() == b""


def test_a_connection_that_lasts_too_long_is_closed(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/send-for-ever?total_timeout=0.5")
        start = time.monotonic()
        while peer.socket.recv(65536):
            pass
        assert 0.3 < time.monotonic() - start < 30
    each_loop.log.search(r"GET /streams/send-for-ever\?total_timeout=0.5 HTTP/1.1: open for 0.5 seconds")


def test_a_client_that_does_not_end_its_side_is_cut_off(each_loop: Server) -> None:
    with each_loop.peer() as peer:
        upgrade(peer, "/streams/return-at-once?close_timeout=0.5")
        assert peer.receive_end() == b"x" * 300_000
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_on_and_on(peer)


def test_the_middlewares_limits_are_those_of_its_protocols(impatient: Server) -> None:
    with impatient.peer() as idle, impatient.peer() as busy:
        start = time.monotonic()
        for peer in (idle, busy):
            upgrade(peer, "/anywhere", {"Upgrade": "sit"})
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_on_and_on(busy)
        assert 0.9 < time.monotonic() - start < 30
        assert idle.receive_end() == b""
    impatient.log.search("INFO GET /anywhere HTTP/1.1: no byte for 0.5 seconds, the sit connection is closed.")
    impatient.log.search("INFO GET /anywhere HTTP/1.1: open for 1 seconds, the sit connection is closed.")


# Shutdown


def test_a_handler_is_told_that_the_server_stops_and_may_end_well(fresh: Server) -> None:
    with fresh.peer() as peer:
        upgrade(peer, "/streams/say-goodbye")
        assert fresh.note(peer.key, "started") == {"shutting_down": False}
        fresh.terminate()
        assert peer.receive_end() == b"goodbye"
        assert fresh.note(peer.key, "told") == {"shutting_down": True}
    assert fresh.wait() in (0, -15)
    assert not any("ERROR" in line or "Traceback" in line for line in fresh.log.lines)


def test_a_handler_that_goes_on_is_cancelled_after_a_grace_time(fresh: Server) -> None:
    with fresh.peer() as peer:
        upgrade(peer, "/streams/sit?shutdown_timeout=0.6")
        fresh.note(peer.key, "started")
        start = time.monotonic()
        fresh.terminate()
        peer.send(b"still served")
        assert peer.receive_end() == b""
        assert 0.5 < time.monotonic() - start < 30
        assert fresh.note(peer.key, "ended") == {"by": "CancelledError"}
    fresh.wait()
    assert not any("ERROR" in line or "Traceback" in line for line in fresh.log.lines)
