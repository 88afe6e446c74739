"""Graceful shutdown on SIGTERM with WebSockets open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import COMBINATIONS
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of its own for each test. Whoever it waits for may take longer than a test waits for its end."""
    parser, loop = request.param
    with uvicorn("configured:patient", http=parser, loop=loop) as server:
        yield server


def test_open_websockets_get_1012_tasks_are_awaited_and_the_server_exits(server: Server) -> None:
    with server.websocket("/echo") as idle, server.websocket("/clean-up") as busy, server.peer() as kept_alive:
        kept_alive.ask()
        server.terminate()
        for websocket in (idle, busy):
            assert websocket.receive_close()[0] in (1001, 1012)
            websocket.send_close(1012)
            assert websocket.receive_end() == b""
            websocket.close()
        assert kept_alive.receive_end() == b""
        server.wait()
        assert server.note(idle.key, "websocket.disconnect")["code"] in (1001, 1012)
        # It needs half a second after the disconnect.
        assert server.note(busy.key, "cleaned up") == {}
    assert any("Application shutdown complete" in line for line in server.log.lines)
    assert not any("Traceback" in line or "ERROR" in line for line in server.log.lines)


@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_clients_that_do_not_answer_the_close_frame_do_not_hold_up_the_exit(parser: str, loop: str) -> None:
    with (
        uvicorn("configured:impatient_at_stops", http=parser, loop=loop) as server,
        server.websocket() as silent,
        server.websocket("/flood", receive_buffer=16 * 1024) as full,
    ):
        server.note(full.key, "blocked")
        server.terminate()
        server.wait()
        assert silent.receive_close()[0] in (1001, 1012)
    assert any("Application shutdown complete" in line for line in server.log.lines)


def test_what_is_still_being_answered_is_answered_before_the_exit(server: Server) -> None:
    """A request with an offer, and a handshake that the application has not accepted yet."""
    with server.peer() as peer, server.handshaker() as websocket:
        peer.send(peer.request("GET", "/slow?0.4", headers={"Connection": "Upgrade", "Upgrade": "h2c"}))
        websocket.send(websocket.handshake("/slow-accept"))
        server.note(peer.key, "started")
        server.note(websocket.key, "first message")
        server.terminate()
        assert peer.receive_response().status == 200
        assert peer.receive_end() == b""
        websocket.receive_101()
        assert websocket.receive_close()[0] in (1001, 1012)
        websocket.send_close(1012)
        websocket.close()
        server.wait()
        assert server.note(websocket.key, "disconnect")["code"] in (1001, 1012)


def test_a_handshake_that_waits_for_the_client_is_told(server: Server) -> None:
    """As uvicorn does it, the application sees the client leave; the client is refused, and nobody waits any longer."""
    with server.handshaker() as websocket, server.handshaker() as late:
        for each in (websocket, late):
            each.send(each.handshake("/wait-for-the-client"))
            server.note(each.key, "first message")
        server.terminate()
        assert websocket.receive_response().status == 503
        assert late.receive_response().status == 503
        server.wait()
        assert server.note(websocket.key, "disconnect")["code"] == 1006
    assert not any("Traceback" in line or "ERROR" in line for line in server.log.lines)


@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_a_finished_endpoint_is_no_error_when_the_server_waits_no_longer(parser: str, loop: str) -> None:
    """It waits for a client that does not answer the close frame, for longer than uvicorn does."""
    with (
        uvicorn("configured:patient", "--timeout-graceful-shutdown", "1", http=parser, loop=loop) as server,
        server.websocket("/return-after-accept") as websocket,
    ):
        assert websocket.receive_close()[0] == 1000
        server.terminate()
        server.wait()
    assert any("Application shutdown complete" in line for line in server.log.lines)
    assert not any("Traceback" in line or "Exception" in line for line in server.log.lines)
