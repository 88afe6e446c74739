"""What every test does: open a WebSocket, exchange messages, close, and look whether anything was logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.server.support.peer import Response
    from tests.server.support.process import Server
    from tests.server.support.websocket import WebSocket

INVALID = "Invalid HTTP request received."
TEXTS = ("hello", "a longer message " * 5000)
BROWSER = {"Accept-Encoding": "gzip, deflate, br, zstd"}


def exchange(websocket: WebSocket) -> None:
    """Have a short and a long message echoed, and close in good order."""
    for text in TEXTS:
        websocket.send_text(text)
        assert websocket.receive_text() == text
    websocket.finish()


def converse(server: Server, target: str = "/rooms/blue", headers: Mapping[str, Any] | None = None) -> Response:
    """Open a WebSocket, exchange messages, close; gives the 101."""
    with server.handshaker() as websocket:
        websocket.socket.settimeout(30)
        response = websocket.open(target, {**BROWSER, **(headers or {})})
        for name in ("content-encoding", "content-length", "content-type", "etag", "transfer-encoding"):
            assert response.header(name) is None
        exchange(websocket)
    return response


def refuse(server: Server, target: str = "/rooms/blue", headers: Mapping[str, Any] | None = None) -> Response:
    """Fail to open a WebSocket; gives the response that refuses it."""
    with server.handshaker() as websocket:
        return websocket.refused(target, headers)


def get(server: Server, target: str, headers: Mapping[str, Any] | None = None) -> Response:
    """A page."""
    with server.peer() as peer:
        return peer.ask("GET", target, headers=headers)


def complaints(server: Server, start: int = 0) -> list[str]:
    """What the server has logged since line `start`, besides its usual lines."""
    # Once what no application sees is in the log, all that came before is there.
    position = len(server.log.lines)
    with server.peer() as peer:
        peer.send(b"nonsense\r\n\r\n")
        peer.receive_end()
    server.log.search(INVALID, start=position)
    return [line for line in server.log.lines[start:] if not line.startswith("INFO: ") and INVALID not in line]


def surprises(server: Server) -> list[str]:
    """The same without what uvicorn's own WebSockets leave there: that they are used, and a line for each refusal."""
    usual = ("does not offer http.upgrade", "ASGI callable returned without completing handshake.")
    return [line for line in complaints(server) if not any(each in line for each in usual)]
