"""The application refuses: `websocket.close` before accept, the denial response, or no answer at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.support.process import Server


def test_close_before_accept_is_answered_with_403(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused("/close-before-accept")
        assert response.status == 403
        assert response.header("sec-websocket-accept") is None
        assert response.header("upgrade") is None


def test_after_close_before_accept_the_app_is_told_of_the_disconnect(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.refused("/close-before-accept")
        assert server.note(websocket.key, "disconnect")["code"] == 1006


def test_a_denial_response_has_the_apps_status_headers_and_body(server: Server) -> None:
    with server.handshaker() as websocket, server.peer() as other:
        websocket.send(websocket.handshake("/deny"))
        other.ask("POST", "/release", headers={"Content-Length": "0"})
        response = websocket.receive_response()
    assert response.status == 418
    assert response.header("content-type") == "text/x-denial"
    assert response.all("set-cookie")[:2] == ["a=1", "b=2"]
    assert response.header("x-outer") == "seen"
    assert response.header("upgrade") is None
    assert response.body == b"one two three"


def test_the_body_of_a_denial_response_is_streamed(server: Server) -> None:
    """What the application has sent is out before it sends more."""
    with server.handshaker() as websocket, server.peer() as other:
        websocket.send(websocket.handshake("/deny"))
        received = b""
        while b"two" not in received:
            received += websocket.receive_exactly(1)
        assert "denied" not in server.notes(websocket.key)
        other.ask("POST", "/release", headers={"Content-Length": "0"})
        server.note(websocket.key, "denied")


def test_a_denial_response_needs_neither_headers_nor_body(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused("/deny-shortly")
        assert (response.status, response.body) == (401, b"")


def test_a_header_of_a_denial_response_cannot_split_it(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/deny-with-injection"))
        assert server.note(websocket.key, "raised")
        assert b"x-injected" not in websocket.receive_until_silence()


def test_a_denial_response_that_breaks_off_does_not_look_complete(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/deny-and-raise"))
        received = websocket.receive_end()
    assert received.startswith(b"HTTP/1.1 401 ")
    assert b"half" in received
    assert not received.endswith(b"0\r\n\r\n")


def test_an_app_that_raises_before_accept_is_a_500_with_the_error_in_the_log(server: Server) -> None:
    start = len(server.log.lines)
    with server.handshaker() as websocket:
        response = websocket.refused("/raise-before-accept")
        assert response.status == 500
        server.log.search("RuntimeError: raised before accept", start=start)


def test_an_app_that_returns_before_accept_is_a_500_with_an_error_in_the_log(server: Server) -> None:
    start = len(server.log.lines)
    with server.handshaker() as websocket:
        assert websocket.refused("/return-before-accept").status == 500
        server.log.search("return-before-accept.*without accepting", start=start)


def test_an_app_that_never_answers_is_cut_off_after_open_timeout(server: Server) -> None:
    """`open_timeout` is two seconds in `apps/upgraded.py`."""
    with server.handshaker() as websocket:
        assert websocket.refused("/never-answer").status == 503
        assert server.note(websocket.key, "cancelled") == {}


def test_a_client_that_leaves_before_accept_is_a_disconnect(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/wait-before-accept"))
        server.note(websocket.key, "first message")
        websocket.close()
        assert server.note(websocket.key, "disconnect")["code"] == 1006


def test_a_client_that_vanishes_before_accept_is_a_disconnect_and_nobody_else_waits(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/wait-before-accept"))
        server.note(websocket.key, "first message")
        websocket.reset()
        assert server.note(websocket.key, "disconnect")["code"] == 1006
    with server.peer() as other:
        assert other.ask().status == 200


@pytest.mark.parametrize("target", ["/close-before-accept", "/deny-shortly", "/return-before-accept"])
def test_after_a_refusal_the_connection_stays_usable_as_http(server: Server, target: str) -> None:
    with server.handshaker() as websocket:
        websocket.refused(target)
        assert websocket.ask().status == 200
        websocket.open()
        websocket.send_text("accepted now")
        assert websocket.receive_message() == "accepted now"


def test_sending_before_accept_is_a_runtime_error_and_the_app_may_still_accept(server: Server) -> None:
    with server.websocket("/send-before-accept") as websocket:
        raised = server.note(websocket.key, "raised")
        assert (raised["type"], raised["os_error"]) == ("RuntimeError", False)
        websocket.finish()
