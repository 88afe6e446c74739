"""What a connection leaves behind is freed at once: many short ones would keep the garbage collector busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import COMBINATIONS
from tests.server.support.websocket import TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

SESSIONS = 20
# Objects for each session. A transport of asyncio refers to itself, by a bound method.
LIMITS = {"asyncio": 10, "uvloop": 1}


@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_a_session_leaves_no_garbage(shared: Callable[..., Server], parser: str, loop: str) -> None:
    server = shared("garbage:app", http=parser, loop=loop)
    count_garbage(server)
    for _ in range(SESSIONS):
        with server.websocket() as websocket:
            websocket.send(frame(TEXT, b"hello"))
            assert websocket.receive_message() == "hello"
            websocket.send_close(1000)
            assert websocket.receive_close()[0] == 1000
            assert websocket.receive_end() == b""
    assert count_garbage(server) / SESSIONS < LIMITS[loop]


def count_garbage(server: Server) -> int:
    with server.peer() as peer:
        return int(peer.ask().body)
