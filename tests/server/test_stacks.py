"""The 101 gets out at once through middleware that changes or holds back responses: see `apps/stacks.py`."""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

STACKS = ["base", "base_in_base", "gzip_outside", "gzip_outside_base", "gzip_inside_base", "everything"]
GZIP = {"Accept-Encoding": "gzip", "Origin": "https://app.example.com"}


@pytest.fixture(params=STACKS)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    return shared(f"stacks:{request.param}")


@pytest.mark.parametrize("headers", [{}, GZIP], ids=["plain", "gzip accepted"])
def test_the_101_gets_out_at_once_and_messages_pass_untouched(server: Server, headers: dict[str, str]) -> None:
    with server.handshaker() as websocket:
        websocket.socket.settimeout(30)  # less than `open_timeout`
        response = websocket.open("/echo", headers)
        assert response.header("content-encoding") is None
        assert response.header("transfer-encoding") is None
        for text in ("hello", "x" * 100_000):
            websocket.send_text(text)
            assert websocket.receive_message() == text
        websocket.finish()


def test_every_middleware_has_dressed_the_101(shared: Callable[..., Server]) -> None:
    with shared("stacks:everything").handshaker() as websocket:
        response = websocket.open("/echo", GZIP)
    assert response.header("x-passed") == "2"
    assert response.header("access-control-allow-origin") == "https://app.example.com"
    assert response.header("access-control-expose-headers") == "x-passed"


def test_pages_are_still_compressed(shared: Callable[..., Server]) -> None:
    with shared("stacks:gzip_outside_base").peer() as peer:
        response = peer.ask("GET", "/page", headers=GZIP)
    assert response.header("content-encoding") == "gzip"
    assert gzip.decompress(response.body) == b"page " * 1000


def test_a_client_that_vanishes_ends_a_session_inside_a_stack(server: Server) -> None:
    start = len(server.log.lines)
    with server.websocket("/echo") as websocket:
        websocket.reset()
    with server.websocket("/echo") as websocket:
        websocket.send_text("next")
        assert websocket.receive_message() == "next"
        websocket.finish()
    assert [line for line in server.log.lines[start:] if not line.startswith("INFO: ")] == []


def test_a_dispatch_function_that_reads_the_whole_body_fails_cleanly_within_open_timeout(
    shared: Callable[..., Server],
) -> None:
    """`open_timeout` is one second."""
    server = shared("stacks:body_reader")
    first = len(server.log.lines)
    with server.handshaker() as websocket:
        start = time.monotonic()
        response = websocket.refused("/echo")
        assert response.status == 500
        assert 0.5 < time.monotonic() - start < 30
        reason = server.log.search("101", start=first).string
        assert "reads the whole body" in reason
        assert not any("Traceback" in line for line in server.log.lines[first:])
        page = websocket.ask("GET", "/page")
        assert (page.status, page.body) == (200, b"page " * 1000)
