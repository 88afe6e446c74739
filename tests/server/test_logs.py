"""What a client sends forges no line of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import PARSERS
from tests.server.support.http2 import HTTP2Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

HOSTILE = "/a%0d%0aINFO:%20forged%1b%5b31m%00%c2%9b%e2%80%ae%e2%80%a8%09b"


@pytest.mark.parametrize("parser", PARSERS)
def test_no_line_is_forged(shared: Callable[..., Server], parser: str) -> None:
    server = shared("silent:app", http=parser, loop="asyncio")
    with server.handshaker() as websocket:
        assert websocket.refused(HOSTILE).status == 500
    server.log.search("without accepting")
    with server.handshaker() as websocket:
        assert websocket.refused(HOSTILE, {"Origin": "http://\x9b\x85forged"}).status == 403
    server.log.search("Origin .* is not the requested")
    with server.peer() as peer:
        assert peer.ask("GET", f"{HOSTILE}?{HOSTILE}", {"Connection": "Upgrade", "Upgrade": "fail"}).status == 101
        peer.receive_end()
    server.log.search("the handler of fail raised")
    with HTTP2Client(server.peer()) as client:
        client.upgrade("GET", HOSTILE)
        assert client.answer(1).status == 200
        assert client.ask_again("GET", HOSTILE).status == 200
    for line in server.log.lines:
        assert line.isprintable(), line
        assert not line.startswith(("INFO: forged", "forged"))
