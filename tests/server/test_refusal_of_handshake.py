"""Handshakes that break a rule are refused with a plain HTTP response and a one-line reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.server.support.websocket import KEY

if TYPE_CHECKING:
    from tests.server.support.peer import Response
    from tests.server.support.process import Server


def assert_plain(response: Response) -> None:
    """A one-line reason, as text, and nothing of a switch."""
    assert response.header("content-type") == "text/plain; charset=utf-8"
    assert len(response.body.splitlines()) == 1
    assert response.body.strip()
    assert response.header("sec-websocket-accept") is None
    assert response.header("x-outer") == "seen", "a refusal passes outer middleware like any response"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_a_method_other_than_get_is_405_with_allow(server: Server, method: str) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused(method=method, headers={"Content-Length": "0"})
        assert response.status == 405
        assert response.header("allow") == "GET"
        assert_plain(response)
        assert websocket.ask().status == 200


def test_head_is_405_with_allow(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused(method="HEAD")
        assert response.status == 405
        assert response.header("allow") == "GET"
        assert websocket.ask().status == 200


def test_the_body_of_a_refused_handshake_is_not_taken_for_a_request(server: Server) -> None:
    server.settle()
    start = len(server.log.lines)
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.handshaker() as websocket:
        response = websocket.refused(method="POST", headers={"Content-Length": len(body)}, body=body)
        assert response.status == 405
        assert websocket.ask().status == 200
    server.settle()
    assert not any("/smuggled" in line for line in server.log.lines[start:])


BAD = {
    "no key": {"Sec-WebSocket-Key": None},
    "empty key": {"Sec-WebSocket-Key": ""},
    "short key": {"Sec-WebSocket-Key": "c2hvcnQ="},
    "long key": {"Sec-WebSocket-Key": "dG9vIGxvbmcgYSBrZXkgZm9yIHRoaXM="},
    "key not base64": {"Sec-WebSocket-Key": "%%%%%%%%%%%%%%%%%%%%%%=="},
    "two keys": {"Sec-WebSocket-Key": [KEY, KEY]},
    "subprotocol not a token": {"Sec-WebSocket-Protocol": "a b"},
    "subprotocol with a quote": {"Sec-WebSocket-Protocol": 'chat, "x'},
    "extension without a name": {"Sec-WebSocket-Extensions": "; x=1"},
    "extension with an open quote": {"Sec-WebSocket-Extensions": 'foo; x="1'},
    "no upgrade in Connection": {"Connection": "keep-alive"},
    "no Connection": {"Connection": None},
    "malformed Upgrade": {"Upgrade": "websocket, ,/"},
    "malformed Connection": {"Connection": "Upgrade, @"},
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD.keys())
def test_a_malformed_handshake_is_400(one_server: Server, headers: dict[str, Any]) -> None:
    with one_server.handshaker() as websocket:
        response = websocket.refused(headers=headers)
        assert response.status == 400
        assert_plain(response)
        assert websocket.ask().status == 200


@pytest.mark.parametrize(
    "headers",
    [BAD["no key"], BAD["two keys"], BAD["no upgrade in Connection"], BAD["malformed Connection"]],
    ids=["no key", "two keys", "no upgrade in Connection", "malformed Connection"],
)
def test_a_malformed_handshake_is_400_with_every_parser(server: Server, headers: dict[str, Any]) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused(headers=headers)
        assert response.status == 400
        assert_plain(response)
        assert websocket.ask().status == 200


@pytest.mark.parametrize("host", [None, ["a.example", "b.example"], "bad host", "a.example:port"], ids=str)
def test_a_handshake_without_one_good_host_is_400(server: Server, host: Any) -> None:
    """h11 refuses some of these itself and closes the connection."""
    with server.handshaker() as websocket:
        assert websocket.refused(headers={"Host": host}).status == 400


@pytest.mark.parametrize("version", ["12", "8", "0", "14", "thirteen", "", None, ["13", "13"], "13, 8"], ids=str)
def test_another_version_is_426_with_exactly_these_headers(server: Server, version: Any) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused(headers={"Sec-WebSocket-Version": version})
        assert response.status == 426
        assert response.all("sec-websocket-version") == ["13"]
        assert [value.lower() for value in response.all("upgrade")] == ["websocket"]
        assert [value.lower() for value in response.all("connection")] == ["upgrade"]
        assert_plain(response)
        assert websocket.ask().status == 200


def test_after_426_the_client_may_try_again_on_the_same_connection(server: Server) -> None:
    with server.handshaker() as websocket:
        assert websocket.refused(headers={"Sec-WebSocket-Version": "99"}).status == 426
        websocket.open()
        websocket.send_text("13 it is")
        assert websocket.receive_message() == "13 it is"


def test_what_outer_middleware_refuses_never_reaches_the_websocket_side(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused("/forbidden")
        assert (response.status, response.body) == (401, b"forbidden by middleware")
        assert server.notes(websocket.key) == []
        assert websocket.ask().status == 200


GOOD = {
    "any case": {"Upgrade": "WebSocket", "Connection": "UPGRADE"},
    "several lines": {"Upgrade": ["h2c", "websocket"], "Connection": ["keep-alive", "Upgrade"]},
    "lists with empty elements": {"Upgrade": ", h2c,, websocket ,", "Connection": ",keep-alive, ,upgrade,"},
    "unknown extensions": {"Sec-WebSocket-Extensions": ['x-unknown; a="b"; c', "y"]},
    "space around the key": {"Sec-WebSocket-Key": f"  {KEY}  "},
}


@pytest.mark.parametrize("headers", GOOD.values(), ids=GOOD.keys())
def test_unusual_but_correct_handshakes_succeed(server: Server, headers: dict[str, Any]) -> None:
    with server.websocket(headers=headers) as websocket:
        websocket.send_text("fine")
        assert websocket.receive_message() == "fine"
