"""TLS that begins on a plain connection (RFC 2817)."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import ssl
import struct
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.server.conftest import COMBINATIONS, PARSERS
from tests.server.support.peer import Peer, chunked
from tests.server.support.process import uvicorn
from tests.server.support.websocket import WebSocket
from tests.server.test_fallthrough import JAVA, arrived, assert_intact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.certificates import Certificate
    from tests.server.support.process import Server

    Start = Callable[..., Server]

OFFER = {"Connection": "Upgrade", "Upgrade": "TLS/1.2"}
BODY_LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def start(certificate: Certificate) -> Iterator[Start]:
    """Gives a server of `apps/secured.py`, the same one whenever the arguments are the same."""
    servers: dict[tuple[Any, ...], Server] = {}
    with ExitStack() as stack:

        def get(name: str, *options: str, http: str = "httptools", loop: str = "asyncio") -> Server:
            key = (name, *options, http, loop)
            if key not in servers:
                environment = {"CERTFILE": certificate.certfile, "KEYFILE": certificate.keyfile}
                environment["CAFILE"] = certificate.cafile
                servers[key] = stack.enter_context(
                    uvicorn(f"secured:{name}", *options, http=http, loop=loop, environment=environment)
                )
            return servers[key]

        yield get


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, start: Start) -> Server:
    """TLS on every parser and event loop."""
    parser, loop = request.param
    return start("app", http=parser, loop=loop)


@pytest.fixture
def client(certificate: Certificate) -> ssl.SSLContext:
    return certificate.client


def offer(peer: Peer, method: str = "GET", target: str = "/http", **options: Any) -> None:
    """Ask for TLS, and get it."""
    headers = {**OFFER, **options.pop("headers", {})}
    peer.send(peer.request(method, target, headers, **options))
    response = peer.receive_response()
    assert response.status == 101, response
    assert response.header("connection") == "Upgrade"
    assert response.header("upgrade") == f"{headers['Upgrade'].partition(',')[0]}, HTTP/1.1"


def secure(peer: Peer, context: ssl.SSLContext) -> Peer:
    """The client's side of the TLS handshake."""
    assert peer.take_unread() == b""
    secured = type(peer)(context.wrap_socket(peer.socket, server_hostname="127.0.0.1"), peer.host)
    secured.key = peer.key
    return secured


def upgraded(server: Server, context: ssl.SSLContext) -> Peer:
    """A connection that has begun TLS with a request, whose answer has been read."""
    peer = server.peer()
    offer(peer)
    peer = secure(peer, context)
    assert arrived(peer.receive_response())["scheme"] == "https"
    return peer


def complaints(server: Server, start: int = 0) -> list[str]:
    return [line for line in server.log.lines[start:] if not re.match(r"INFO: |NOTE |DEBUG: ", line)]


# The upgrade


@pytest.mark.parametrize(
    "upgrade", ["TLS/1.0", "TLS/1.1", "TLS/1.2", "TLS/1.3", "tls/1.2", "TLS/1.2, HTTP/1.1", "TLS/1.3, TLS/1.2, TLS/1.0"]
)
def test_the_request_that_asks_is_answered_over_tls(server: Server, client: ssl.SSLContext, upgrade: str) -> None:
    with server.peer() as peer:
        offer(peer, target="/http?a=b%20c", headers={"Upgrade": upgrade, "X-Kept": "yes"})
        with secure(peer, client) as secured:
            facts = arrived(secured.receive_response())
            assert (facts["method"], facts["path"], facts["scheme"]) == ("GET", "/http", "https")
            assert facts["extensions"] == ["tls"]
            names = [name for name, _ in facts["headers"]]
            assert "x-kept" in names
            assert "upgrade" not in names
            assert "connection" not in names
            assert [name for name in server.notes(peer.key) if name == "passed"] == ["passed"]


@pytest.mark.parametrize("target", ["/http?a=b%20c&d", "/http?", "/http"])
def test_the_target_is_kept_with_its_query(server: Server, client: ssl.SSLContext, target: str) -> None:
    with server.peer() as peer:
        offer(peer, target=target)
        with secure(peer, client) as secured:
            assert arrived(secured.receive_response())["query_string"] == target.partition("?")[2]


def test_other_options_of_the_connection_are_kept(server: Server, client: ssl.SSLContext) -> None:
    with server.peer() as peer:
        offer(peer, headers={"Connection": "close, Upgrade"})
        with secure(peer, client) as secured:
            assert ["connection", "close"] in arrived(secured.receive_response())["headers"]
            assert secured.receive_end() == b""


def test_the_scope_says_what_the_connection_is(server: Server, client: ssl.SSLContext) -> None:
    with upgraded(server, client) as peer:
        peer.ask()
        tls = server.note(peer.key, "passed")["tls"]
        assert isinstance(peer.socket, ssl.SSLSocket)
        cipher = peer.socket.cipher()
        assert cipher is not None
        suites = {suite["name"]: suite["id"] & 0xFFFF for suite in client.get_ciphers()}
        assert tls == {
            "server_cert": None,
            "client_cert_chain": [],
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}[peer.socket.version() or ""],
            "cipher_suite": suites[cipher[0]],
        }


BODY = b"".join(b"line %d\r\n\r\n" % number for number in range(500))


def test_a_body_of_known_length_is_kept(server: Server, client: ssl.SSLContext) -> None:
    with server.peer() as peer:
        offer(peer, "POST", headers={"Content-Length": len(BODY)}, body=BODY)
        with secure(peer, client) as secured:
            assert_intact(secured.receive_response(), BODY)


def test_a_body_of_unknown_length_is_kept(server: Server, client: ssl.SSLContext) -> None:
    with server.peer() as peer:
        offer(peer, "POST", headers={"Transfer-Encoding": "chunked"}, body=chunked(BODY[:10], BODY[10:]))
        with secure(peer, client) as secured:
            response = secured.receive_response()
            assert_intact(response, BODY)
            assert ["content-length", str(len(BODY))] in arrived(response)["headers"]
            assert_intact(secured.ask("POST", headers={"Content-Length": 3}, body=b"two"), b"two")


def test_a_client_that_waits_for_100_sends_its_body_before_the_switch(server: Server, client: ssl.SSLContext) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**OFFER, "Content-Length": 5, "Expect": "100-continue"}))
        assert peer.receive_response().status == 100
        peer.send(b"hello")
        assert peer.receive_response().status == 101
        with secure(peer, client) as secured:
            assert_intact(secured.receive_response(), b"hello")


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_a_body_too_long_to_keep_is_served_in_the_clear(server: Server, length: str) -> None:
    body = bytes(BODY_LIMIT + 1)
    with server.peer() as peer:
        if length == "known":
            response = peer.ask("POST", headers={**OFFER, "Content-Length": len(body)}, body=body)
        else:
            response = peer.ask("POST", headers={**OFFER, "Transfer-Encoding": "chunked"}, body=chunked(body))
        assert_intact(response, body)
        assert arrived(response)["scheme"] == "http"
        offer(peer)


def test_the_longest_body_that_is_kept(server: Server, client: ssl.SSLContext) -> None:
    body = bytes(BODY_LIMIT)
    with server.peer() as peer:
        offer(peer, "POST", headers={"Content-Length": len(body)}, body=body)
        with secure(peer, client) as secured:
            assert_intact(secured.receive_response(), body)


def test_a_client_that_goes_before_its_body_is_whole(server: Server) -> None:
    logged = len(server.log.lines)
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**OFFER, "Content-Length": 5}, body=b"he"))
    server.note(peer.key, "incomplete")
    server.settle()
    assert complaints(server, logged) == []


@pytest.mark.parametrize(
    "upgrade", ["TLS", "TLS/1.4", "TLS/2", "SSL/3.0", "HTTP/1.1", "TLS/1.2/3", "websocket/TLS", ""]
)
def test_what_is_no_offer_of_tls_is_served_in_the_clear(server: Server, upgrade: str) -> None:
    with server.peer() as peer:
        assert arrived(peer.ask(headers={"Connection": "Upgrade", "Upgrade": upgrade}))["scheme"] == "http"
        assert arrived(peer.ask(headers={"Upgrade": "TLS/1.2"}))["scheme"] == "http"
        assert arrived(peer.ask())["scheme"] == "http"


def test_http_1_0_has_no_upgrade(server: Server) -> None:
    with server.peer() as peer:
        assert arrived(peer.ask(headers=OFFER, version="HTTP/1.0"))["scheme"] == "http"


@pytest.mark.parametrize("upgrade", ["h2c, TLS/1.2", "websocket, TLS/1.2", "echo, TLS/1.2"])
def test_tls_comes_before_all_other_offers(server: Server, client: ssl.SSLContext, upgrade: str) -> None:
    with server.peer() as peer:
        peer.send(peer.request(headers={**OFFER, "Upgrade": upgrade}))
        assert peer.receive_response().header("upgrade") == "TLS/1.2, HTTP/1.1"
        with secure(peer, client) as secured:
            assert arrived(secured.receive_response())["scheme"] == "https"


# Bytes that come early


class Early:
    """A client's side of TLS, of which each byte can be sent when it suits. To `Peer` it is a socket."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def hello(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def finish(self, received: bytes, data: bytes) -> bytes:
        """The last bytes of the handshake, and `data` right behind them."""
        self._incoming.write(received)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._incoming.write(self.socket.recv(65536))
            else:
                self._tls.write(data)
                return self._outgoing.read()

    def recv(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._incoming.write(self.socket.recv(65536))

    def close(self) -> None:
        self.socket.close()


@pytest.mark.parametrize("size", [1 << 20, 7])
@pytest.mark.parametrize("first", ["with the request", "after the 101"])
def test_bytes_may_come_early_and_in_pieces(server: Server, client: ssl.SSLContext, size: int, first: str) -> None:
    """The client's hello comes with the request, and its next requests come with the end of the handshake."""
    with server.peer() as peer:
        early: Any = Early(peer.socket, client)
        hello = early.hello()
        request = peer.request("POST", headers={**OFFER, "Content-Length": 5}, body=b"hello")
        together = first == "with the request"
        peer.send_in_pieces(request + hello if together else request, size, 0.0002)
        assert peer.receive_response().status == 101
        if not together:
            peer.send_in_pieces(hello, size, 0.0002)
        more = b"".join(peer.request("POST", headers={"Content-Length": 1}, body=body) for body in (b"a", b"b"))
        peer.send_in_pieces(early.finish(peer.take_unread(), more), size, 0.0002)
        secured = Peer(early, peer.host)
        for body in (b"hello", b"a", b"b"):
            assert_intact(secured.receive_response(), body)


# Afterwards


def test_the_connection_goes_on_as_http(server: Server, client: ssl.SSLContext) -> None:
    with upgraded(server, client) as peer:
        for _ in range(3):
            assert arrived(peer.ask(target="/next"))["scheme"] == "https"
        assert_intact(peer.ask("POST", headers={"Content-Length": 300_000}, body=bytes(300_000)), bytes(300_000))
        assert_intact(peer.ask("POST", headers={**JAVA, "Content-Length": 5}, body=b"hello"), b"hello")
        targets = ["/slow", "/1", "/2"]
        peer.send(b"".join(peer.request(target=target) for target in targets))
        assert [arrived(peer.receive_response())["path"] for _ in targets] == targets
        assert peer.ask(target="/stream").body == b"one two three"


def test_tls_does_not_begin_twice(server: Server, client: ssl.SSLContext) -> None:
    with upgraded(server, client) as peer:
        facts = arrived(peer.ask("POST", headers={**OFFER, "Content-Length": 5}, body=b"hello"))
        assert facts["extensions"] == ["http.upgrade", "tls"]
        assert ["upgrade", "TLS/1.2"] in facts["headers"]
        assert arrived(peer.ask())["extensions"] == ["tls"]


def test_websockets_open_inside(server: Server, client: ssl.SSLContext) -> None:
    with server.handshaker() as plain:
        offer(plain)
        with secure(plain, client) as websocket:
            assert isinstance(websocket, WebSocket)
            assert arrived(websocket.receive_response())["scheme"] == "https"
            websocket.open("/describe-scope", headers={"Origin": f"https://{server.host}"})
            scope = json.loads(websocket.receive_text())
            assert scope["scheme"] == "wss"
            websocket.finish()
    with server.handshaker() as plain:
        offer(plain)
        with secure(plain, client) as websocket:
            assert isinstance(websocket, WebSocket)
            websocket.receive_response()
            websocket.open()
            for size in (0, 100, 70_000):
                websocket.send_bytes(bytes(size))
                assert websocket.receive_message() == bytes(size)
            websocket.finish()


def test_streams_open_inside_and_know_of_tls(server: Server, client: ssl.SSLContext) -> None:
    with upgraded(server, client) as peer:
        assert peer.ask(headers={"Connection": "Upgrade", "Upgrade": "echo"}).status == 101
        assert isinstance(peer.socket, ssl.SSLSocket)
        version = (peer.socket.version() or "").encode() + b"\n"
        assert peer.receive_exactly(len(version)) == version
        peer.send(b"hello")
        assert peer.receive_exactly(5) == b"hello"


def test_httpx_gives_a_network_stream_that_can_begin_tls(server: Server, client: ssl.SSLContext) -> None:
    async def talk() -> bytes:
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            http.stream("GET", server.url("http", "/http"), headers=OFFER) as response,
        ):
            assert response.status_code == 101
            stream = await response.extensions["network_stream"].start_tls(client, "127.0.0.1", timeout=30)
            data = b""
            while b"}" not in data:
                data += await stream.read(65536, timeout=30)
            await stream.aclose()
            return data

    head, _, body = asyncio.run(talk()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body)["scheme"] == "https"


def test_httpx_can_ask_about_the_server(start: Start, client: ssl.SSLContext) -> None:
    server = start("required")

    async def talk() -> bytes:
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            http.stream("OPTIONS", server.url("http"), headers=OFFER, extensions={"target": b"*"}) as response,
        ):
            assert response.status_code == 101
            stream = await response.extensions["network_stream"].start_tls(client, "127.0.0.1", timeout=30)
            data = await stream.read(65536, timeout=30)
            await stream.aclose()
            return bytes(data)

    assert asyncio.run(talk()).startswith(b"HTTP/1.1 200 OK\r\n")


def test_nonsense_is_answered_once(server: Server, client: ssl.SSLContext) -> None:
    logged = len(server.log.lines)
    with server.peer() as peer:
        offer(peer)
        early = Early(peer.socket, client)
        peer.send(early.hello())
        # More than one read takes: the rest arrives when the connection is being closed.
        with suppress(OSError):
            peer.send(early.finish(b"", b"nonsense\r\n" * 100_000))
        server.log.search("Invalid HTTP request", start=logged)
    server.settle()
    assert set(complaints(server, logged)) == {"WARNING:  Invalid HTTP request received."}


# OPTIONS *


def test_options_of_the_server_may_begin_tls(server: Server, client: ssl.SSLContext) -> None:
    with server.peer() as peer:
        offer(peer, "OPTIONS", "*")
        with secure(peer, client) as secured:
            response = secured.receive_response()
            assert (response.status, response.header("content-length"), response.body) == (200, "0", b"")
            assert response.header("upgrade") is None
            assert server.note(peer.key, "passed")["scheme"] == "https"
            assert arrived(secured.ask())["scheme"] == "https"


def test_options_of_the_server_are_answered_in_the_clear(server: Server) -> None:
    with server.peer() as peer:
        for headers in ({}, JAVA):
            response = peer.ask("OPTIONS", "*", headers)
            assert (response.status, response.body) == (200, b"")
            assert response.header("upgrade") == "TLS/1.2, HTTP/1.1"
            assert response.header("connection") == "Upgrade"


@pytest.mark.parametrize("root", ["", "/api"])
@pytest.mark.parametrize("parser", PARSERS)
def test_without_tls_options_of_the_server_reach_the_application(
    shared: Callable[..., Server], parser: str, root: str
) -> None:
    server = shared("upgraded:app", "--root-path", root, http=parser)
    with server.peer() as peer:
        for headers in ({}, JAVA, {**JAVA, "Content-Length": 2}):
            facts = arrived(peer.ask("OPTIONS", "*", headers, body=b"hi" if "Content-Length" in headers else b""))
            assert (facts["method"], facts["path"]) == ("OPTIONS", f"{root}*")
        peer.send(b"".join(peer.request("OPTIONS", target) for target in ("*", "/a", "*")))
        paths = [arrived(peer.receive_response())["path"] for _ in range(3)]
        assert paths == [f"{root}*", f"{root}/a", f"{root}*"]


# Handshakes that fail


def nonsense(sock: socket.socket, _: ssl.SSLContext) -> None:
    sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while sock.recv(65536):
        pass


def close(sock: socket.socket, _: ssl.SSLContext) -> None:
    sock.close()


def reset(sock: socket.socket, _: object = None) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def reset_in_the_middle(sock: socket.socket, client: ssl.SSLContext) -> None:
    sock.sendall(Early(sock, client).hello()[:50])
    reset(sock, client)


def distrust(sock: socket.socket, _: ssl.SSLContext) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(sock, server_hostname="127.0.0.1")


@pytest.mark.parametrize("fail", [nonsense, close, reset, reset_in_the_middle, distrust])
def test_a_handshake_that_fails_closes_the_connection_quietly(
    server: Server, client: ssl.SSLContext, fail: Callable[[socket.socket, ssl.SSLContext], None]
) -> None:
    logged = len(server.log.lines)
    with server.peer() as peer:
        offer(peer)
        fail(peer.socket, client)
    server.log.search(r"DEBUG: asgi_upgrade: GET /http HTTP/1\.1: the TLS handshake failed", start=logged)
    server.settle()
    assert complaints(server, logged) == []


@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_a_handshake_that_does_not_come_closes_the_connection(start: Start, parser: str, loop: str) -> None:
    server = start("impatient", http=parser, loop=loop)
    with server.peer() as peer:
        offer(peer)
        began = time.monotonic()
        assert peer.receive_end() == b""
        assert 0.3 < time.monotonic() - began < 30
    server.log.search("the TLS handshake failed")
    assert complaints(server) == []


def test_a_handshake_that_chooses_http_2_fails(start: Start, client: ssl.SSLContext, certificate: Certificate) -> None:
    """A context that was made for HTTPS with HTTP/2: what follows the 101 is HTTP/1.1, as the 101 says."""
    server = start("advertising_h2")
    context = ssl.create_default_context(cafile=certificate.cafile)
    context.set_alpn_protocols(["h2"])
    with server.peer() as peer:
        offer(peer)
        with secure(peer, context) as secured:
            assert secured.receive_end() == b""
    server.log.search("the TLS handshake failed: .*h2")
    context.set_alpn_protocols(["http/1.1"])
    with server.peer() as peer:
        offer(peer)
        with secure(peer, context) as secured:
            assert arrived(secured.receive_response())["scheme"] == "https"


# What requires TLS


def assert_requires_tls(peer: Peer, response: Any) -> None:
    assert response.status == 426
    assert response.header("upgrade") == "TLS/1.2, HTTP/1.1"
    assert response.header("connection") == "Upgrade"
    assert response.body == b"This service wants TLS.\n"


def test_requests_in_the_clear_are_refused(start: Start, client: ssl.SSLContext) -> None:
    server = start("required")
    with server.peer() as peer:
        for method, target, headers in (
            ("GET", "/http", {}),
            ("OPTIONS", "*", {}),
            ("POST", "/http", {"Content-Length": 0}),
            ("GET", "/http", JAVA),
            ("POST", "/http", {**JAVA, "Content-Length": 0}),
        ):
            assert_requires_tls(peer, peer.ask(method, target, headers))
        body = bytes(BODY_LIMIT + 1)
        assert_requires_tls(peer, peer.ask("POST", headers={**OFFER, "Content-Length": len(body)}, body=body))
        assert_requires_tls(peer, peer.ask(headers=OFFER))
        offer(peer, "OPTIONS", "*")
        with secure(peer, client) as secured:
            assert secured.receive_response().status == 200
            assert arrived(secured.ask())["scheme"] == "https"
    with server.handshaker() as websocket:
        assert_requires_tls(websocket, websocket.refused())


def test_a_predicate_tells_which_requests_are_refused(start: Start, client: ssl.SSLContext) -> None:
    server = start("private")
    with server.peer() as peer:
        assert arrived(peer.ask())["scheme"] == "http"
        assert_requires_tls(peer, peer.ask(target="/private"))
        assert_requires_tls(peer, peer.ask(target="/private", headers=OFFER))
        offer(peer, "OPTIONS", "*")
        with secure(peer, client) as secured:
            assert secured.receive_response().status == 200
            assert arrived(secured.ask(target="/private"))["path"] == "/private"


# What was sent in the clear has no rights of the client behind it


@pytest.mark.parametrize(
    "name", ["certified", "certified_if_they_like", "certified_and_required", "required", "private"]
)
@pytest.mark.parametrize("target", ["/admin", "/private", "/"])
@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_nobody_puts_a_request_in_front_of_the_handshake_of_somebody_else(
    start: Start, name: str, target: str, parser: str, loop: str
) -> None:
    """As in CVE-2009-3555: the request is of whoever sits between, the handshake of the client."""
    server = start(name, http=parser, loop=loop)
    with server.peer() as peer:
        for method in ("POST", "GET", "OPTIONS"):
            body = b"hello" if method == "POST" else b""
            fields = {**OFFER, "Content-Length": 5} if body else OFFER
            response = peer.ask(method, target, fields, body=body)
            if response.status != 426:
                assert (response.status, arrived(response)["scheme"]) == (200, "http")
                assert server.note(peer.key, "passed")["tls"] is None


@pytest.mark.parametrize("name", ["certified", "certified_and_required"])
def test_the_request_that_begins_tls_has_no_certificate_and_those_behind_it_have(
    start: Start, certificate: Certificate, name: str
) -> None:
    server = start(name)
    with server.peer() as peer:
        offer(peer, "OPTIONS", "*")
        with secure(peer, certificate.certified) as secured:
            assert secured.receive_response().status == 200
            first = server.note(peer.key, "passed")["tls"]
            assert (first["client_cert_name"], first["client_cert_chain"]) == (None, [])
            for _ in range(2):
                secured.key = secrets.token_hex(8)
                assert arrived(secured.ask())["scheme"] == "https"
                tls = server.note(secured.key, "passed")["tls"]
                assert "victim" in tls["client_cert_name"]
                assert len(tls["client_cert_chain"]) == 1


def test_a_proxy_that_is_trusted_may_have_spoken_tls(start: Start) -> None:
    with start("required").peer() as peer:
        assert arrived(peer.ask(headers={"X-Forwarded-Proto": "https"}))["scheme"] == "https"


def test_traefik_says_wss_for_that(start: Start) -> None:
    server = start("required")
    with server.peer() as peer:
        assert peer.ask(headers={"X-Forwarded-Proto": "wss"}).status == 200
    with server.websocket(headers={"X-Forwarded-Proto": "wss"}) as websocket:
        websocket.finish()


@pytest.mark.parametrize("options", [("--lifespan", "off"), ()])
def test_where_the_server_cannot_begin_tls_it_is_still_required(start: Start, options: tuple[str, ...]) -> None:
    server = start("unattached", *options)
    with server.peer() as peer:
        assert_requires_tls(peer, peer.ask(headers=OFFER))
    # The server delivers this one directly.
    with server.handshaker() as websocket:
        assert_requires_tls(websocket, websocket.refused())
    server.log.search("TLS cannot be offered")
    assert len([line for line in server.log.lines if "TLS cannot be offered" in line]) == 1


# Ways into the server


def test_with_the_protocol_named_explicitly(start: Start, client: ssl.SSLContext) -> None:
    server = start("unattached", http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol")
    with server.peer() as peer:
        offer(peer, "OPTIONS", "*")
        with secure(peer, client) as secured:
            assert secured.receive_response().status == 200
            assert arrived(secured.ask())["scheme"] == "https"
    assert complaints(server) == []


def test_with_the_middleware_inside_an_application(start: Start, client: ssl.SSLContext) -> None:
    server = start("inside")
    with upgraded(server, client) as peer:
        assert peer.ask("OPTIONS", "*").status == 200
    with server.peer() as peer:
        offer(peer, "OPTIONS", "*")
        with secure(peer, client) as secured:
            assert secured.receive_response().status == 200


# Life of the server


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def own_server(request: pytest.FixtureRequest, certificate: Certificate) -> Iterator[Server]:
    """A server of its own, with room for six connections if each counts once, and little patience."""
    parser, loop = request.param
    environment = {"CERTFILE": certificate.certfile, "KEYFILE": certificate.keyfile}
    options = ("--limit-concurrency", "7", "--timeout-keep-alive", "1")
    with uvicorn("secured:app", *options, http=parser, loop=loop, environment=environment) as server:
        yield server


def test_a_connection_counts_once_times_out_and_ends_with_the_server(
    own_server: Server, client: ssl.SSLContext
) -> None:
    server = own_server
    with upgraded(server, client), upgraded(server, client), upgraded(server, client) as idle, server.peer() as plain:
        assert plain.ask().status == 200
        start = time.monotonic()
        assert idle.receive_end() == b""
        assert 0.5 < time.monotonic() - start < 30
    for leave in (socket.socket.close, reset):
        with server.peer() as peer:
            offer(peer)
            early = Early(peer.socket, client)
            peer.send(early.hello())
            peer.send(early.finish(b"", peer.request(target="/slow?0.1")))
            leave(peer.socket)
    with server.peer() as peer:
        peer.send(peer.request(headers=OFFER))
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.receive_response().status == 101
        assert peer.receive_end() == b""
    with server.peer() as waiting, upgraded(server, client) as busy:
        offer(waiting)
        busy.send(busy.request(target="/slow?0.3"))
        server.note(busy.key, "started")
        start = time.monotonic()
        server.terminate()
        assert waiting.receive_end() == b""
        assert busy.receive_response().status == 200
        assert busy.receive_end() == b""
    # Only now: the server says goodbye in TLS, and waits for the client to do so.
    server.wait()
    assert time.monotonic() - start < 9
    assert complaints(server) == []
