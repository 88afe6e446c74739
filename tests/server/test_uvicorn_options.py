"""uvicorn's options, each with upgrades in play."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import COMBINATIONS, PARSERS
from tests.server.support.process import PATIENCE, uvicorn
from tests.server.support.websocket import BINARY, PING, TEXT, Frame, frame
from tests.server.test_fallthrough import JAVA, PIPELINES, assert_intact, pipelined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.server.support.certificates import Certificate
    from tests.server.support.process import Server


def described(server: Server, headers: dict[str, Any] | None = None) -> Any:
    with server.websocket("/describe-scope", headers) as websocket:
        scope = json.loads(websocket.receive_text())
        websocket.finish()
    return scope


def assert_echoes(server: Server, message: str = "hello") -> None:
    with server.websocket() as websocket:
        websocket.send_text(message)
        assert websocket.receive_message() == message
        websocket.finish()


# TLS


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def tls_server(request: pytest.FixtureRequest, shared: Callable[..., Server], certificate: Certificate) -> Server:
    parser, loop = request.param
    return shared("upgraded:app", *certificate.options, http=parser, loop=loop, tls=certificate.client)


def test_over_tls_the_scheme_is_wss(tls_server: Server) -> None:
    assert described(tls_server)["scheme"] == "wss"


def test_over_tls_messages_of_all_sizes_are_echoed(tls_server: Server) -> None:
    with tls_server.websocket() as websocket:
        for size in (0, 100, 70_000, 1_000_000):
            websocket.send_bytes(bytes(size))
            assert websocket.receive_message() == bytes(size)
        websocket.finish()


def test_over_tls_the_same_origin_is_https(tls_server: Server) -> None:
    with tls_server.websocket(headers={"Origin": f"https://{tls_server.host}"}):
        pass
    with tls_server.handshaker() as websocket:
        assert websocket.refused(headers={"Origin": f"http://{tls_server.host}"}).status == 403


def test_over_tls_a_request_with_an_offer_is_served_and_pipelined_ones_too(tls_server: Server) -> None:
    body = bytes(200_000)
    with tls_server.peer() as peer:
        assert_intact(peer.ask("POST", headers={**JAVA, "Content-Length": len(body)}, body=body), body)
        peer.send(pipelined(peer, *(("/slow", offer, b"x") for offer in PIPELINES["the offer between"])))
        for _ in range(3):
            assert_intact(peer.receive_response(), b"x")


def test_over_tls_a_client_that_vanishes_is_reported_as_1006(tls_server: Server) -> None:
    with tls_server.websocket() as websocket:
        websocket.reset()
        assert tls_server.note(websocket.key, "websocket.disconnect")["code"] == 1006


# Unix domain sockets


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def uds_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    parser, loop = request.param
    with uvicorn("upgraded:app", "--uds", str(tmp_path / "socket"), http=parser, loop=loop) as server:
        yield server


def test_over_uds_websockets_and_requests_with_an_offer_work(uds_server: Server) -> None:
    assert_echoes(uds_server)
    assert described(uds_server)["scheme"] == "ws"
    with uds_server.peer() as peer:
        assert_intact(peer.ask("POST", headers={**JAVA, "Content-Length": 5}, body=b"hello"), b"hello")
        assert peer.ask().status == 200


# Paths and proxies


@pytest.mark.parametrize("parser", PARSERS)
def test_root_path_is_in_the_websocket_scope(shared: Callable[..., Server], parser: str) -> None:
    server = shared("upgraded:app", "--root-path", "/api", http=parser)
    scope = described(server)
    assert scope["root_path"] == "/api"
    assert scope["path"] == "/api/describe-scope"
    assert_echoes(server)


def test_proxy_headers_give_scheme_and_client(server: Server) -> None:
    scope = described(server, {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"})
    assert scope["scheme"] == "wss"
    assert scope["client"][0] == "203.0.113.9"


def test_behind_a_proxy_the_forwarded_scheme_is_compared_with_the_origin(server: Server) -> None:
    headers = {"Host": "chat.example", "Origin": "https://chat.example"}
    with server.websocket(headers={**headers, "X-Forwarded-Proto": "https"}) as websocket:
        websocket.finish()
    with server.handshaker() as websocket:
        assert websocket.refused(headers=headers).status == 403


def test_wss_of_traefik_is_https_in_the_middleware_and_wss_in_the_endpoint(server: Server) -> None:
    headers = {"Host": "chat.example", "Origin": "https://chat.example", "X-Forwarded-Proto": "wss"}
    with server.websocket("/describe-scope?remember", headers) as websocket:
        scope = json.loads(websocket.receive_text())
        websocket.finish()
        assert scope["scheme"] == "wss"
        assert server.note(websocket.key, "outer scope")["scheme"] == "https"
    with server.peer() as peer:
        facts = json.loads(peer.ask(headers={**JAVA, "X-Forwarded-Proto": "wss"}).body)
        assert ["x-forwarded-proto", "https"] in facts["headers"]


def test_proxy_headers_turned_off_are_ignored(shared: Callable[..., Server]) -> None:
    scope = described(shared("upgraded:app", "--no-proxy-headers"), {"X-Forwarded-Proto": "https"})
    assert scope["scheme"] == "ws"


def test_the_servers_own_headers_are_on_the_101(shared: Callable[..., Server]) -> None:
    server = shared("upgraded:app", "--header", "X-Own: yes", "--no-date-header", "--no-server-header")
    with server.handshaker() as websocket:
        response = websocket.open()
    assert response.header("x-own") == "yes"
    assert response.header("date") is None
    assert response.header("server") is None


@pytest.mark.parametrize("parser", PARSERS)
def test_a_value_that_the_application_returns_is_reported_as_without_us(
    shared: Callable[..., Server], parser: str
) -> None:
    server = shared("configured:returning", http=parser)
    for headers in ({}, JAVA, {**JAVA, "Content-Length": "0"}):
        start = len(server.log.lines)
        with server.peer() as peer:
            assert peer.ask(headers=headers).status == 200
        server.log.search("ASGI callable should return None, but returned 'a value for http'", start=start)
    with server.websocket() as websocket:
        websocket.finish()
    server.log.search("ASGI callable should return None, but returned 'a value for websocket'")


# Limits of WebSockets


def test_uvicorns_default_lets_long_messages_pass(server: Server) -> None:
    """A document of Yjs is one message of some megabytes."""
    data = bytes(16 * 1024 * 1024)
    with server.websocket() as websocket:
        websocket.send_bytes(data)
        assert websocket.receive_message() == data
    with server.websocket() as websocket:
        websocket.send(frame(BINARY, data + b"1")[:100])  # its length is enough
        assert websocket.receive_close()[0] == 1009


@pytest.mark.parametrize("parser", PARSERS)
def test_ws_max_size_holds(shared: Callable[..., Server], parser: str) -> None:
    server = shared("configured:default", "--ws-max-size", "1000", http=parser)
    with server.websocket() as websocket:
        websocket.send_bytes(bytes(1000))
        assert websocket.receive_message() == bytes(1000)
        websocket.send_bytes(bytes(1001))
        assert websocket.receive_close() == (1009, "message is longer than 1000 bytes")


def test_ws_max_size_may_be_more_than_the_default(shared: Callable[..., Server]) -> None:
    server = shared("configured:default", "--ws-max-size", str(17 * 1024 * 1024))
    data = bytes(17 * 1024 * 1024)
    with server.websocket() as websocket:
        websocket.send_bytes(data)
        assert websocket.receive_message() == data


def test_ws_ping_interval_and_ws_ping_timeout_hold(shared: Callable[..., Server]) -> None:
    server = shared("configured:default", "--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.2")
    with server.websocket() as websocket:
        assert websocket.receive_frame() == Frame(PING, b"")
        assert websocket.receive_close() == (1011, "keepalive ping timeout")


def test_ws_ping_interval_0_sends_no_pings(shared: Callable[..., Server]) -> None:
    server = shared("configured:default", "--ws-ping-interval", "0", "--ws-ping-timeout", "0.2")
    with server.websocket() as websocket:
        assert websocket.receive_until_silence(0.5) == b""


def test_ws_max_queue_holds(shared: Callable[..., Server]) -> None:
    """An application that does not receive gets no more than that; the rest stays with the client."""

    def taken(*options: str) -> int:
        server = shared("configured:long_queue", *options)
        with server.websocket("/wait-for-release") as websocket:
            message = frame(TEXT, b"x" * 1000)
            return len(message) * 20_000 - len(websocket.send_until_blocked(message * 20_000))

    assert taken("--ws-max-queue", "20000") - taken("--ws-max-queue", "2") > 5_000_000


def test_arguments_of_the_middleware_go_before(shared: Callable[..., Server]) -> None:
    server = shared("configured:own_limits", "--ws-max-size", "1000", "--ws-ping-interval", "0.1")
    with server.websocket() as websocket:
        assert websocket.receive_until_silence(0.4) == b""
        websocket.socket.settimeout(PATIENCE)
        websocket.send_bytes(bytes(2000))
        assert websocket.receive_message() == bytes(2000)
        websocket.send_bytes(bytes(2001))
        assert websocket.receive_close()[0] == 1009


# Log and limits


def test_the_access_log_has_one_line_for_the_101(server: Server) -> None:
    start = len(server.log.lines)
    with server.websocket("/echo?access=log") as websocket:
        address, port = websocket.socket.getsockname()
        websocket.finish()
        server.note(websocket.key, "websocket.disconnect")
    assert_echoes(server)
    lines = [line for line in server.log.lines[start:] if "access=log" in line]
    assert lines == [f'INFO:     {address}:{port} - "GET /echo?access=log HTTP/1.1" 101 Switching Protocols']


def test_the_access_log_has_one_line_for_a_refusal(server: Server) -> None:
    start = len(server.log.lines)
    with server.handshaker() as websocket:
        websocket.refused("/echo?access=refused", {"Sec-WebSocket-Version": "1"})
        assert websocket.ask().status == 200
    server.settle()
    lines = [line for line in server.log.lines[start:] if "access=refused" in line]
    assert len(lines) == 1
    assert lines[0].endswith('"GET /echo?access=refused HTTP/1.1" 426 Upgrade Required')


def test_no_access_log_is_honoured(shared: Callable[..., Server]) -> None:
    server = shared("upgraded:app", "--no-access-log")
    assert_echoes(server)
    server.settle()
    assert not any('" 101' in line for line in server.log.lines)


@pytest.mark.parametrize("parser", PARSERS)
def test_limit_concurrency_counts_open_websockets_and_answers_503(parser: str) -> None:
    with uvicorn("upgraded:app", "--limit-concurrency", "3", http=parser) as server:
        with server.websocket() as first, server.websocket() as second:
            with server.handshaker() as third:
                assert third.refused().status == 503
            with server.peer() as other:
                assert other.ask(headers=JAVA).status == 503
            for websocket in (first, second):
                websocket.send_text("still served")
                assert websocket.receive_message() == "still served"
                websocket.finish()
        deadline = time.monotonic() + PATIENCE
        while is_busy(server) and time.monotonic() < deadline:
            time.sleep(0.02)  # it takes a moment to notice that all are gone
        assert_echoes(server)


def is_busy(server: Server) -> bool:
    with server.peer() as peer:
        return peer.ask().status == 503


@pytest.mark.parametrize("parser", PARSERS)
def test_limit_max_requests_counts_handshakes_and_offers_and_closes_open_websockets(parser: str) -> None:
    with uvicorn("upgraded:app", "--limit-max-requests", "3", http=parser) as server:
        with server.websocket() as websocket:
            with server.peer() as peer:
                assert peer.ask(headers=JAVA).status == 200
                assert peer.ask(headers=JAVA).status == 200
            code, _ = websocket.receive_close()
            assert code in (1001, 1012)
            websocket.send_close(code)
        assert server.wait() == 0


@pytest.mark.parametrize("parser", PARSERS)
def test_timeout_keep_alive_ends_idle_connections_but_no_websocket(parser: str) -> None:
    """It runs after an offer was ignored or refused as after any other request."""
    with (
        uvicorn("upgraded:app", "--timeout-keep-alive", "1", http=parser) as server,
        server.websocket() as websocket,
        server.peer() as ignored,
        server.peer() as with_body,
        server.peer() as plain_again,
        server.handshaker() as refused,
    ):
        ignored.ask(headers=JAVA)
        for peer in (with_body, plain_again):
            peer.ask("POST", headers={**JAVA, "Content-Length": 4}, body=b"body")
        plain_again.ask()
        refused.refused("/forbidden")
        start = time.monotonic()
        for peer in (ignored, with_body, plain_again, refused):
            assert peer.receive_end() == b""
        assert 0.5 < time.monotonic() - start < PATIENCE
        websocket.send_text("still here")
        assert websocket.receive_message() == "still here"
        websocket.finish()
