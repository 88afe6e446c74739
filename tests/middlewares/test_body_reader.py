"""A dispatch function that reads the whole body of each response fails cleanly; one that lets a 101 pass works."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.middlewares.apps.common import PAGE
from tests.middlewares.conversation import complaints, converse, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


def test_it_fails_within_open_timeout_with_the_reason_in_the_log(start: Callable[..., Server]) -> None:
    server = start("body_reader:careless")
    first = len(server.log.lines)
    with server.handshaker() as websocket:
        started = time.monotonic()
        response = websocket.refused("/rooms/blue")
        assert response.status == 500
        assert 0.9 < time.monotonic() - started < 30
        page = websocket.ask("GET", "/page")
        assert (page.status, page.body.decode()) == (200, PAGE), "the connection is as good as before"
    (line,) = complaints(server, first)
    assert "the 101 did not reach the server in 1 seconds. A middleware that reads the whole body of a response" in line


@pytest.mark.parametrize("websockets", ["websockets", "websockets-sansio", "wsproto"])
def test_it_fails_the_same_way_where_the_server_delivers_websockets(
    start: Callable[..., Server], websockets: str
) -> None:
    server = start("body_reader:careless", "--ws", websockets, UNATTACHED="1")
    first = len(server.log.lines)
    with server.handshaker() as websocket:
        started = time.monotonic()
        response = websocket.refused("/rooms/blue")
        assert response.status == 500
        assert response.body == b"The connection could not be switched to another protocol.\n"
        assert 0.9 < time.monotonic() - started < 30
        assert websocket.receive_end() == b""
    (line,) = complaints(server, first)
    assert "the 101 did not reach the server in 1 seconds" in line
    assert get(server, "/page").status == 200


@pytest.mark.parametrize("environment", [{}, {"UNATTACHED": "1"}], ids=["converted", "delivered"])
def test_what_the_log_recommends_works(start: Callable[..., Server], environment: dict[str, str]) -> None:
    server = start("body_reader:careful", **environment)
    converse(server)
    assert get(server, "/page").body.decode() == PAGE
