"""What the package logs under uvicorn, without any configuration and with some."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


def ends(server: Server, start: int = 0) -> list[str]:
    """The lines about the end of WebSockets, once all has been written."""
    server.settle()
    return [line for line in server.log.lines[start:] if "closed with" in line]


@pytest.mark.parametrize(("code", "logged"), [(1001, 1001), (4999, 4999), (None, 1006)])
def test_the_end_of_a_websocket_is_a_line_like_uvicorns_own(server: Server, code: int | None, logged: int) -> None:
    start = len(server.log.lines)
    with server.websocket("/echo?secret=1") as websocket:
        address, port = websocket.socket.getsockname()
        for text in ("hello", "grün"):
            websocket.send_text(text)
            assert websocket.receive_text() == text
        if code is not None:
            websocket.finish(code)
    # A frame has 6 bytes in front of its payload, or 2 from the server; a close frame 2 in it.
    received, sent = (22, 14) if code is None else (22 + 8, 14 + 4)
    pattern = (
        rf"INFO:     {address}:{port} - WebSocket /echo closed with {logged} after \d+\.\d\d\d seconds; "
        rf"messages received: 2 \({received} bytes\), sent: 2 \({sent} bytes\)"
    )
    line = server.log.search(r"WebSocket /echo closed", start=start).string
    assert re.fullmatch(pattern, line)


def test_a_handshake_that_is_refused_ends_nothing(server: Server) -> None:
    start = len(server.log.lines)
    with server.handshaker() as websocket:
        websocket.refused("/forbidden")
        websocket.refused("/close-before-accept")
    assert ends(server, start) == []


def test_an_application_that_fails_is_logged_with_1011(server: Server) -> None:
    start = len(server.log.lines)
    with server.websocket("/raise-after-accept") as websocket:
        assert websocket.receive_close()[0] == 1011
        websocket.send_close(1011)
        assert websocket.receive_end() == b""
    assert "closed with 1011" in server.log.search(r"WebSocket /raise-after-accept closed", start=start).string


def test_warnings_have_their_level_too(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.refused(headers={"Origin": "http://evil.example"})
    line = server.log.search("WebSocket handshake refused").string
    assert line.startswith("WARNING:  WebSocket handshake refused")


@pytest.mark.parametrize("logger", ["root", "own"])
def test_what_the_user_has_configured_holds(logger: str) -> None:
    with uvicorn("logged:app", environment={"LOGGER": logger}) as server:
        with server.websocket() as websocket:
            websocket.finish()
        with server.handshaker() as websocket:
            websocket.refused(headers={"Origin": "http://evil.example"})
        line = server.log.search("WebSocket handshake refused").string
        assert line.startswith("mine WARNING WebSocket handshake refused")
        assert ends(server) == []
        assert len([line for line in server.log.lines if "handshake refused" in line]) == 1


def test_the_protocol_may_be_named_explicitly(shared: Callable[..., Server]) -> None:
    server = shared("upgraded:app", "--lifespan", "off", http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol")
    with server.websocket() as websocket:
        websocket.finish()
    assert server.log.search(r"WebSocket /echo closed").string.startswith("INFO: ")
