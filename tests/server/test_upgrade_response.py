"""`UpgradeResponse` from endpoints of FastAPI and Starlette, and `UpgradeMiddleware(protocols=...)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import COMBINATIONS, PARSERS
from tests.server.support.peer import chunked
from tests.server.support.process import uvicorn
from tests.server.support.upgrades import TCP, finish, upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.peer import Peer
    from tests.server.support.process import Server

ADA = {"Authorization": "Bearer ada"}
GREETING = b'{"greeting": "hello"}'
JSON = {"Content-Type": "application/json", "Content-Length": len(GREETING)}
WELCOME = b"hello, ada, in 7"


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    parser, loop = request.param
    return shared("streams:fastapi", http=parser, loop=loop)


@pytest.fixture
def one_server(shared: Callable[..., Server]) -> Server:
    return shared("streams:fastapi", http="httptools", loop="asyncio")


@pytest.fixture(params=["fastapi", "starlette"])
def framework(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    return shared(f"streams:{request.param}", http="httptools", loop="asyncio")


def assert_echoes(peer: Peer, data: bytes = b"and on it goes") -> None:
    peer.send(data)
    assert peer.receive_exactly(len(data)) == data


# What comes before the switch


def test_an_endpoint_gives_its_connection_to_a_handler(framework: Server) -> None:
    with framework.peer() as peer:
        response = upgrade(peer, "/rooms/7", {**ADA, **JSON}, method="POST", body=GREETING)
        assert response.reason == "Switching Protocols"
        assert [value.lower() for value in response.all("connection")] == ["upgrade"]
        assert response.all("upgrade") == ["tcp"]
        assert peer.receive_exactly(len(WELCOME)) == WELCOME
        assert_echoes(peer)


@pytest.mark.parametrize(
    ("target", "headers", "statuses"),
    [
        ("/rooms/7", JSON, [401]),
        ("/rooms/x", {**ADA, **JSON}, [422, 404]),  # no integer, for FastAPI and for Starlette
        ("/rooms/100", {**ADA, **JSON}, [410]),
        ("/nowhere", {**ADA, **JSON}, [404]),
    ],
)
def test_routing_dependencies_authentication_and_error_handling_come_first(
    framework: Server, target: str, headers: dict[str, Any], statuses: list[int]
) -> None:
    with framework.peer() as peer:
        assert peer.ask("POST", target, headers={**TCP, **headers}, body=GREETING).status in statuses
        # The connection is as good as any other.
        upgrade(peer, "/rooms/7", {**ADA, **JSON}, method="POST", body=GREETING)
        assert peer.receive_exactly(len(WELCOME)) == WELCOME


def test_the_101_passes_the_middleware_and_carries_what_the_endpoint_says(framework: Server) -> None:
    with framework.peer() as peer:
        response = upgrade(peer, "/rooms/7", {**ADA, **JSON}, method="POST", body=GREETING)
    assert response.header("x-room") == "7"
    assert response.header("content-type") == "application/x-room"
    assert response.header("x-outer") == "seen"
    assert [cookie.partition(";")[0] for cookie in response.all("set-cookie")] == ["room=7", "outer=1"]
    for name in ("content-length", "transfer-encoding", "content-encoding"):
        assert response.all(name) == []


def test_a_background_task_runs_when_the_connection_is_closed(one_server: Server) -> None:
    with one_server.peer() as peer:
        upgrade(peer, "/with-background")
        assert_echoes(peer)
        assert one_server.notes(peer.key) == []
        finish(peer)
        assert peer.receive_end() == b""
        one_server.note(peer.key, "background")


# The request's body


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize("coding", ["content-length", "chunked"])
def test_the_body_is_the_endpoints_and_what_follows_is_the_protocols(
    server: Server, coding: str, size: int | None
) -> None:
    if coding == "chunked":
        headers, body = {"Transfer-Encoding": "chunked"}, chunked(GREETING[:5], GREETING[5:])
    else:
        headers, body = {"Content-Length": str(len(GREETING))}, GREETING
    headers = {**TCP, **ADA, "Content-Type": "application/json", **headers}
    with server.peer() as peer:
        sent = peer.request("POST", "/rooms/7", headers=headers, body=body) + b"early bytes"
        peer.send_in_pieces(sent, size or len(sent), 0 if size else 0.001)
        assert peer.receive_response().status == 101
        assert peer.receive_exactly(len(WELCOME) + 11) == WELCOME + b"early bytes"
        assert_echoes(peer)


@pytest.mark.parametrize("length", [1, 100_000])
def test_a_body_that_the_endpoint_does_not_read_is_no_part_of_the_protocol(server: Server, length: int) -> None:
    with server.peer() as peer:
        upgrade(peer, "/unread", {"Content-Length": length}, method="POST", body=b"b" * length, early=b"not the body")
        assert peer.receive_exactly(12) == b"not the body"
        assert_echoes(peer)


@pytest.mark.parametrize("target", ["/rooms/7", "/unread"])
def test_100_continue_comes_before_the_body_and_that_before_the_switch(server: Server, target: str) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", target, headers={**TCP, **ADA, **JSON, "Expect": "100-continue"}))
        assert peer.receive_response().status == 100
        peer.send(GREETING + b"early bytes")
        assert peer.receive_response().status == 101
        expected = (WELCOME if target == "/rooms/7" else b"") + b"early bytes"
        assert peer.receive_exactly(len(expected)) == expected


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_any_method_may_ask(server: Server, method: str) -> None:
    with server.peer() as peer:
        upgrade(peer, "/unread", method=method)
        assert_echoes(peer)


def test_an_upgrade_behind_other_requests_of_the_same_connection(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request() + peer.request("GET", "/unread", headers=TCP) + b"early bytes")
        assert peer.receive_response().body == b'"plain"'
        assert peer.receive_response().status == 101
        assert peer.receive_exactly(11) == b"early bytes"


# What is not switched


def test_a_request_that_does_not_offer_the_protocol_gets_426_that_names_it(server: Server) -> None:
    with server.peer() as peer:
        for headers in ({}, {"Connection": "Upgrade", "Upgrade": "tcp/2"}, {"Upgrade": "tcp"}):
            response = peer.ask("GET", "/streams/echo", headers=headers)
            assert response.status == 426
            assert response.header("upgrade") == "tcp"
            assert response.header("connection") == "Upgrade"
            assert b"tcp" in response.body
            assert response.body.count(b"\n") == 1
        upgrade(peer, "/streams/echo")


def test_http_1_0_offers_nothing(server: Server) -> None:
    with server.peer() as peer:
        assert peer.ask("GET", "/streams/echo", headers=TCP, version="HTTP/1.0").status == 426


@pytest.mark.parametrize("headers", [{}, TCP])
def test_a_fallback_replaces_the_426(server: Server, headers: dict[str, str]) -> None:
    with server.peer() as peer:
        response = peer.ask("GET", "/fallback", headers={**headers, "Accept-Encoding": "identity"})
        assert (response.status, response.body) == (200, b"plain is fine too")
        upgrade(peer, "/fallback", {"Upgrade": "Bar/2"})
        assert_echoes(peer)


@pytest.mark.parametrize("upgrade", ["tcp", "foo/2", "websocket"])
def test_connect_is_left_to_the_server(server: Server, upgrade: str) -> None:
    """RFC 9110 section 9.3.6: a tunnel is not an upgrade, even if the request carries the fields of one."""
    with server.peer() as peer, server.peer() as other:
        headers = {"Connection": "Upgrade", "Upgrade": upgrade}
        peer.send(peer.request("CONNECT", "example.com:443", headers=headers))
        assert peer.receive_response().status != 101
        assert other.ask().status == 200


@pytest.mark.parametrize("parser", PARSERS)
def test_a_server_that_cannot_switch_answers_501_or_plain_http_and_logs_why_once(parser: str) -> None:
    with uvicorn("streams:unattached", http=parser) as server, server.peer() as peer:
        for _ in range(2):
            response = peer.ask("GET", "/streams/echo", headers=TCP)
            assert response.status == 501
            assert b"cannot switch the connection to tcp" in response.body
            # One of the middleware's protocols.
            response = peer.ask("GET", "/http", headers={**TCP, "Upgrade": "foo/2", "Accept-Encoding": "identity"})
            assert (response.status, response.body) == (200, b'"plain"')
        server.settle()
        explained = [line for line in server.log.lines if "so the connection stays HTTP" in line]
        assert len(explained) == 1
        assert "GET /streams/echo HTTP/1.1 offers tcp" in explained[0]
        assert not any("ERROR" in line or "Traceback" in line for line in server.log.lines)


# The middleware's protocols


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("foo/1", b"one:foo/1"),
        ("foo/2", b"two:foo/2"),
        ("foo/2, foo/1", b"two:foo/2"),
        (["foo/1", "foo/2"], b"one:foo/1"),
        ("FOO/2", b"two:FOO/2"),  # names compare without regard to case
        ("bar, foo, foo/3, foo/1", b"one:foo/1"),
        ("picky, foo/1", b"one:foo/1"),  # declined, so the next is tried
        ("ponderous/X, foo/2", b"two:foo/2"),
        ("foo/2, websocket", b"two:foo/2"),
    ],
)
def test_the_clients_order_decides_among_what_is_supported(
    one_server: Server, offer: str | list[str], answer: bytes
) -> None:
    with one_server.peer() as peer:
        response = upgrade(peer, "/anywhere", {"Upgrade": offer})
        assert response.all("upgrade") == [answer.partition(b":")[2].decode()]
        assert peer.receive_end() == answer


@pytest.mark.parametrize(("target", "protocol"), [("/picky", "picky"), ("/ponderous", "ponderous/X")])
def test_a_handler_that_looks_at_the_scope_may_accept(server: Server, target: str, protocol: str) -> None:
    with server.peer() as peer:
        upgrade(peer, target, {"Upgrade": protocol})
        assert peer.receive_end() == target[1:].encode()


@pytest.mark.parametrize("offer", ["picky", "foo", "foo/3", "foo/02", "ponderous/x", "h2c", 'foo/"1"'])
def test_an_offer_that_nobody_takes_is_plain_http(server: Server, offer: str) -> None:
    with server.peer() as peer:
        response = peer.ask("GET", "/http", headers={**TCP, "Upgrade": offer, "Accept-Encoding": "identity"})
        assert (response.status, response.body) == (200, b'"plain"')
        assert response.all("upgrade") == []


def test_websocket_is_served_in_the_clients_order_too(one_server: Server) -> None:
    with one_server.handshaker() as websocket:
        assert websocket.refused("/nowhere", {"Upgrade": "websocket, foo/1"}).status in (403, 404)
        websocket.send(websocket.handshake("/nowhere", {"Upgrade": "foo/1, websocket"}))
        assert websocket.receive_response().status == 101
        assert websocket.receive_end() == b"one:foo/1"
