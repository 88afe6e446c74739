"""`websocket.accept`: the 101, its headers, its subprotocol."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.server.support.upgrades import TCP
from tests.server.support.websocket import ACCEPT, TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.peer import Response
    from tests.server.support.process import Server


def accepted(
    server: Server, *, offer: str | list[str] | None = None, subprotocol: str = "", header: str = ""
) -> tuple[Response, str]:
    """The 101 to an application that accepts with `subprotocol` and `header`, and what it noted about that."""
    target = f"/accept-with?subprotocol={quote(subprotocol)}&header={quote(header)}"
    with server.handshaker() as websocket:
        response = websocket.open(target, {"Sec-WebSocket-Protocol": offer})
        websocket.finish()
    server.note(websocket.key, "disconnect")
    return response, "sent" if "sent" in server.notes(websocket.key) else "raised"


def test_the_101_carries_what_the_handshake_needs_each_exactly_once(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.open()
    assert response.reason == "Switching Protocols"
    assert [value.lower() for value in response.all("upgrade")] == ["websocket"]
    assert [value.lower() for value in response.all("connection")] == ["upgrade"]
    assert response.all("sec-websocket-accept") == [ACCEPT]
    assert response.all("sec-websocket-version") == []  # only a 426 has it
    assert response.all("sec-websocket-protocol") == []
    assert response.all("sec-websocket-extensions") == []
    assert len(response.all("date")) == 1
    assert response.all("server") == ["uvicorn"]


def test_the_101_prints_the_names_of_its_fields_as_the_rfcs_do(server: Server) -> None:
    """Case means nothing (RFC 9110 section 5.1), but gql and others look the names up in a plain dict."""
    fields = {"Sec-WebSocket-Protocol": "configured.v2", "Sec-WebSocket-Extensions": "permessage-deflate"}
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/accept-with?header=UPPER:1", fields))
        head = websocket.receive_head()
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert [name for name in names if name.lower() in (b"upgrade", b"connection") or b"websocket" in name.lower()] == [
        b"Connection",
        b"Upgrade",
        b"Sec-WebSocket-Accept",
        b"Sec-WebSocket-Protocol",
        b"Sec-WebSocket-Extensions",
    ]
    assert b"upper" in names  # the application's own keep the case that ASGI gives them


def test_the_101_to_another_protocol_prints_its_names_so_too(shared: Callable[..., Server]) -> None:
    with shared("streams:fastapi").peer() as peer:
        peer.send(peer.request("GET", "/streams/echo", headers=TCP))
        head = peer.receive_head()
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert {b"Connection", b"Upgrade"} <= set(names)


def test_the_101_has_no_body_and_nothing_that_describes_one(server: Server) -> None:
    """The middleware around the application adds some of these on purpose."""
    with server.websocket() as websocket:
        websocket.send_text("first bytes after the 101")
        assert websocket.receive_message() == "first bytes after the 101"
    with server.handshaker() as websocket:
        response = websocket.open()
    for name in ("content-length", "transfer-encoding", "content-encoding", "content-type", "etag", "trailer"):
        assert response.all(name) == []


def test_headers_that_middleware_adds_are_visible_on_the_101(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.open()
    assert response.header("x-outer") == "seen"
    assert response.all("set-cookie") == ["outer=1", "outer=2"]


def test_headers_of_the_app_are_visible_on_the_101(server: Server) -> None:
    response, outcome = accepted(server, header="X-App:höhe")
    assert outcome == "sent"
    assert response.header("x-app") == "höhe"


def test_several_cookies_of_the_app_stay_apart(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.open("/two-cookies")
    assert response.all("set-cookie")[:2] == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "header",
    [
        "x-a:b\r\nx-injected: yes",
        "x-a:b\nx-injected: yes",
        "x-a:b\rx-injected: yes",
        "x-a:b\0c",
        "x-a\r\nx-injected:yes",
        "x a:b",
        "sec-websocket-accept:other",
        "sec-websocket-protocol:never offered",
        "sec-websocket-extensions:permessage-deflate",
        "sec-websocket-version:13",
        "connection:close",
        "upgrade:h2c",
        "content-length:5",
        "transfer-encoding:chunked",
    ],
)
def test_a_header_that_would_break_the_response_is_refused(one_server: Server, header: str) -> None:
    response, outcome = accepted(one_server, header=header)
    assert outcome == "raised"
    assert response.all("x-injected") == response.all("x-a") == []
    assert [value.lower() for value in response.all("connection")] == ["upgrade"]


def test_the_subprotocol_that_the_app_names_wins(server: Server) -> None:
    response, outcome = accepted(server, offer="configured.v1, mine", subprotocol="mine")
    assert outcome == "sent"
    assert response.all("sec-websocket-protocol") == ["mine"]


@pytest.mark.parametrize(("offer", "named"), [("other, more", "other, more"), (None, "none")])
def test_a_subprotocol_that_was_not_offered_is_refused_with_a_line(
    server: Server, offer: str | None, named: str
) -> None:
    start = len(server.log.lines)
    with server.handshaker() as websocket:
        response = websocket.refused("/insist?subprotocol=ocpp1.6", {"Sec-WebSocket-Protocol": offer})
        assert websocket.ask().status == 200  # the connection goes on
    assert response.status == 400
    assert response.body.decode() == (
        f"The application chose the subprotocol ocpp1.6, and this handshake offers: {named}\n"
    )
    server.settle()
    lines = [line for line in server.log.lines[start:] if "ocpp1.6" in line and "INFO" not in line]
    assert len(lines) == 1
    assert "allow_unoffered_subprotocols" in lines[0]
    assert f"offers: {named}." in lines[0]
    assert not any("Traceback" in line for line in server.log.lines[start:])


@pytest.mark.parametrize("subprotocol", ["mine\r\nx-injected: yes", "mine, other", "mine\0", "a/b", "\xe4"])
def test_a_subprotocol_that_is_no_token_is_refused(one_server: Server, subprotocol: str) -> None:
    with one_server.handshaker() as websocket:
        target = f"/insist?subprotocol={quote(subprotocol)}"
        response = websocket.refused(target, {"Sec-WebSocket-Protocol": "mine, other"})
    assert response.status == 400
    assert response.all("x-injected") == []


def test_a_client_that_asks_for_what_no_subprotocol_can_be_is_refused(one_server: Server) -> None:
    with one_server.handshaker() as websocket:
        response = websocket.refused(headers={"Sec-WebSocket-Protocol": "bearer, abc/def=="})
    assert response.status == 400


def test_settings_let_both_pass(shared: Callable[..., Server]) -> None:
    server = shared("configured:any_subprotocol")
    response, outcome = accepted(server, offer="other", subprotocol="ocpp1.6")
    assert (outcome, response.all("sec-websocket-protocol")) == ("sent", ["ocpp1.6"])
    response, outcome = accepted(server, subprotocol="ocpp1.6")
    assert (outcome, response.all("sec-websocket-protocol")) == ("sent", ["ocpp1.6"])
    response, outcome = accepted(server, offer="bearer, abc/def==", subprotocol="abc/def==")
    assert (outcome, response.all("sec-websocket-protocol")) == ("sent", ["abc/def=="])
    response, outcome = accepted(server, offer="bearer, v1/b")
    assert (outcome, response.all("sec-websocket-protocol")) == ("sent", ["v1/b"])
    for subprotocol in ("mine\r\nx-injected: yes", "a, b", ""):
        response, _ = accepted(server, offer="other", subprotocol=subprotocol)
        assert response.all("sec-websocket-protocol") == response.all("x-injected") == []


@pytest.mark.parametrize(
    ("offer", "chosen"),
    [
        ("configured.v1, configured.v2", ["configured.v1"]),
        (["unknown", "configured.v2,configured.v1"], ["configured.v2"]),
        ("unknown", []),
        ("CONFIGURED.V1", []),
    ],
)
def test_otherwise_the_configured_subprotocols_decide_by_the_clients_order(
    one_server: Server, offer: str | list[str], chosen: list[str]
) -> None:
    response, _ = accepted(one_server, offer=offer)
    assert response.all("sec-websocket-protocol") == chosen


def test_a_101_replaced_by_outer_middleware_leaves_the_connection_usable_as_http(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused("/echo?replace")
        assert (response.status, response.body) == (403, b"replaced")
        for name in ("upgrade", "sec-websocket-accept"):
            assert response.all(name) == []
        assert websocket.ask().status == 200
        # A second handshake on it may succeed.
        websocket.open()
        websocket.send_text("at last")
        assert websocket.receive_message() == "at last"


def test_bytes_after_a_handshake_whose_101_was_replaced_are_read_as_http(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/echo?replace") + websocket.request())
        assert websocket.receive_response().status == 403
        assert websocket.receive_response().status == 200


def test_frames_after_a_handshake_whose_101_was_replaced_are_a_bad_request(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("/echo?replace") + frame(TEXT, b"hopeful") + b"\r\n\r\n")
        assert websocket.receive_response().status == 403
        assert websocket.receive_response().status == 400
        websocket.receive_end()


def test_a_session_whose_101_was_replaced_is_told_by_an_os_error(server: Server) -> None:
    with server.handshaker() as websocket:
        assert websocket.refused("/accept-with?replace").status == 403
        assert server.note(websocket.key, "raised")["os_error"]


def test_connect_comes_first_even_if_the_application_accepts_without_it(server: Server) -> None:
    with server.handshaker() as websocket:
        # The message is there before the application asks for anything.
        websocket.send(websocket.handshake("/accept-at-once") + frame(TEXT, b"early"))
        websocket.receive_101()
        assert websocket.receive_text() == "websocket.connect websocket.receive"
        websocket.finish()
