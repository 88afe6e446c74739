"""One request to a server, and what is made of its answer."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from asgi_upgrade.probe.exchange import Answer, Target, ask
from tests.unit.probe.scripted import HTTP2_PREFACE, Scripted, frame, response, serving, switching
from tests.unit.waiting import PATIENCE, until

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS, GOAWAY = 1, 3, 4, 7
CLOSED = "the connection was closed without an answer; if the server speaks TLS, ask https://"
NO_HTTP = "an answer that is no HTTP/1.1"
NO_END = "informational responses without end"


def at(server: Scripted, *, tls: bool = False, host: str = "127.0.0.1", verify: bool = True) -> Target:
    return Target(host, server.port, "/", tls, "a", verify)


def answer_to(sent: bytes) -> tuple[Answer, bytes]:
    """What `ask` makes of what a server sends, and what the client sends after that."""
    with serving(sent) as server:
        answer = asyncio.run(ask(at(server), REQUEST, PATIENCE))
    assert server.requests == [REQUEST]
    [after] = server.after
    return answer, after


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.com", Target("example.com", 80, "/", False, "example.com")),
        ("ws://example.com/chat", Target("example.com", 80, "/chat", False, "example.com")),
        ("https://example.com", Target("example.com", 443, "/", True, "example.com")),
        ("wss://example.com/a?b=c", Target("example.com", 443, "/a?b=c", True, "example.com")),
        ("https://example.com:8443/", Target("example.com", 8443, "/", True, "example.com:8443")),
        ("example.com:8000/chat", Target("example.com", 8000, "/chat", False, "example.com:8000")),
        ("http://[::1]:8000?a", Target("::1", 8000, "/?a", False, "[::1]:8000")),
        ("http://me:secret@example.com/~x!", Target("example.com", 80, "/~x!", False, "example.com")),
    ],
)
def test_a_url_says_where_to_ask(url: str, target: Target) -> None:
    assert Target.from_url(url) == target
    assert Target.from_url(url, verify=False) == target._replace(verify=False)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://a", "'ftp://a' is no URL of a server: http, https, ws or wss, and a host"),
        ("http:///chat", "'http:///chat' is no URL of a server: http, https, ws or wss, and a host"),
        ("", "'' is no URL of a server: http, https, ws or wss, and a host"),
        ("http://a:99999", "'http://a:99999' is no URL: Port out of range 0-65535"),
        ("http://[a", "'http://[a' is no URL: Invalid IPv6 URL"),
        ("http://a/ü", "'http://a/ü' has characters that must be percent-encoded"),
        ("http://ü/", "'http://ü/' has characters that must be percent-encoded"),
        ("http://a/b c", "'http://a/b c' has characters that must be percent-encoded"),
        ("http://a b/", "'http://a b/' has characters that must be percent-encoded"),
    ],
)
def test_what_is_no_url_is_said(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        Target.from_url(url)


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Answer(200)),
        (b"HTTP/1.0 404 Not Found\r\n\r\nbody", Answer(404)),
        (b"HTTP/1.1 204\r\n\r\n", Answer(204)),
        (b"HTTP/1.1 200 OK\r\nSet-Cookie: a:b \r\nX:\t1\r\n\r\n", Answer(200, [("set-cookie", "a:b"), ("x", "1")])),
        (response(100) + response(103) + b"HTTP/1.1 403 No\r\n\r\n", Answer(403)),
        (response(100) * 7 + b"HTTP/1.1 200 OK\r\n\r\n", Answer(200)),
        (response(100) * 8 + b"HTTP/1.1 200 OK\r\n\r\n", Answer(problem=NO_END)),
        (b"HTTP/2 200\r\n\r\n", Answer(problem=NO_HTTP)),
        (b"HTTP/1.1 2x0\r\n\r\n", Answer(problem=NO_HTTP)),
        ("HTTP/1.1 ²²² x\r\n\r\n".encode("latin-1"), Answer(problem=NO_HTTP)),
        (b"\r\n\r\n", Answer(problem=NO_HTTP)),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000, Answer(problem="a head of more than 65536 bytes")),
        (b"HTTP/1.1 200 OK\r\n", Answer(problem=CLOSED)),
        (b"", Answer(problem=CLOSED)),
    ],
)
def test_the_head_of_an_answer(sent: bytes, answer: Answer) -> None:
    found, after = answer_to(sent)
    assert found == answer
    assert after == b""


@pytest.mark.parametrize(
    ("fields", "value"),
    [([], None), ([("a", "1")], "1"), ([("a", "1"), ("b", "2"), ("a", "3")], "1, 3"), ([("a", "")], "")],
)
def test_several_lines_of_a_field_are_one(fields: list[tuple[str, str]], value: str | None) -> None:
    assert Answer(200, fields).get("a") == value


def test_a_websocket_is_closed_as_websockets_are() -> None:
    found, after = answer_to(switching("WebSocket"))
    assert (found.status, found.problem, found.spoke_http2) == (101, "", None)
    # A masked close frame with the code 1000 (RFC 6455 section 5.5.1).
    assert after == bytes((0x88, 0x80 | 2, 0, 0, 0, 0)) + (1000).to_bytes(2, "big")


@pytest.mark.parametrize("head", [switching("example"), b"HTTP/1.1 101 Switching Protocols\r\n\r\n"])
def test_an_unknown_protocol_gets_nothing(head: bytes) -> None:
    found, after = answer_to(head)
    assert (found.status, found.problem, found.spoke_http2) == (101, "", None)
    assert after == b""


@pytest.mark.parametrize(
    ("frames", "spoke"),
    [
        (frame(SETTINGS) + frame(HEADERS, 1, 5), True),
        (frame(SETTINGS, length=6) + frame(8, length=4) + frame(HEADERS, 1), True),
        (frame(SETTINGS, length=16384) + frame(HEADERS, 1), True),
        (frame(SETTINGS, length=16385) + frame(HEADERS, 1), False),
        (frame(SETTINGS) * 63 + frame(HEADERS, 1), True),
        (frame(SETTINGS) * 64 + frame(HEADERS, 1), False),
        (frame(HEADERS, 1) + frame(SETTINGS) + frame(HEADERS, 1), False),
        (frame(SETTINGS) + frame(HEADERS, 3) + frame(HEADERS, 1), True),
        (frame(SETTINGS) + frame(HEADERS, 3), False),
        (frame(SETTINGS) + frame(HEADERS, 0x01000001), False),
        (frame(SETTINGS) + frame(HEADERS, 1) + frame(GOAWAY), True),
        (frame(SETTINGS) + frame(0, 1), False),
        (frame(SETTINGS) + frame(GOAWAY, length=8) + frame(HEADERS, 1), False),
        (frame(SETTINGS) + frame(RST_STREAM, 1, 4) + frame(HEADERS, 1), False),
        (frame(SETTINGS) + frame(HEADERS, 1, 5)[:-1], False),
        (frame(SETTINGS), False),
        (b"", False),
    ],
)
def test_whether_the_request_is_answered_over_http2(frames: bytes, spoke: bool) -> None:
    found, after = answer_to(switching("h2c") + frames)
    assert (found.status, found.problem, found.spoke_http2) == (101, "", spoke)
    assert after == HTTP2_PREFACE


@pytest.mark.parametrize(
    ("sent", "after", "status", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"", None, "no answer within 900.5 s"),
        (switching("h2c") + frame(SETTINGS), HTTP2_PREFACE, 101, ""),
    ],
)
def test_a_server_that_stops_is_waited_for_as_long_as_asked(
    sent: bytes, after: bytes, status: int | None, problem: str
) -> None:
    async def go_by(server: Scripted) -> Answer:
        loop = asyncio.get_running_loop()
        asking = asyncio.ensure_future(ask(at(server), REQUEST, 900.5))
        await until(lambda: server.after == [after])
        late = loop.time() + 900.6
        loop.time = lambda: late  # type: ignore[method-assign]  # so that nobody has to wait for it
        return await asking

    with serving(sent, stays=True) as server:
        found = asyncio.run(go_by(server))
    assert (found.status, found.problem, found.unreachable) == (status, problem, False)


def test_an_answer_over_http2_ends_the_waiting() -> None:
    with serving(switching("h2c") + frame(SETTINGS) + frame(HEADERS, 1), stays=True) as server:
        found = asyncio.run(asyncio.wait_for(ask(at(server), REQUEST, 100 * PATIENCE), PATIENCE))
    assert found.spoke_http2 is True


def test_nobody_listens() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
        found = asyncio.run(ask(Target("127.0.0.1", deaf.getsockname()[1], "/", False, "a"), REQUEST, PATIENCE))
    assert found == Answer(problem="nothing accepts connections there", unreachable=True)


def test_nobody_listens_at_any_address_of_a_name() -> None:
    async def ask_both() -> Answer:
        loop = asyncio.get_running_loop()
        known = [*await loop.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)]
        known += await loop.getaddrinfo("127.0.0.2", port, type=socket.SOCK_STREAM)

        async def resolve(*_: Any, **__: Any) -> list[Any]:
            return known  # as `localhost` is on most machines: of IPv6 and of IPv4

        loop.getaddrinfo = resolve  # type: ignore[method-assign]
        return await ask(Target("localhost", port, "/", False, "a"), REQUEST, PATIENCE)

    with socket.socket() as deaf:
        deaf.bind(("0.0.0.0", 0))  # nobody else gets the port, and nobody listens
        port = deaf.getsockname()[1]
        found = asyncio.run(ask_both())
    assert (found.status, found.unreachable) == (None, True)
    assert found.problem.startswith("none of its addresses can be connected to: [Errno ")
    assert "('127.0.0.1'" in found.problem
    assert "('127.0.0.2'" in found.problem


def test_what_the_system_says_of_an_address_is_passed_on() -> None:
    found = asyncio.run(ask(Target("255.255.255.255", 9, "/", False, "a"), REQUEST, PATIENCE))
    assert (found.status, found.unreachable) == (None, True)
    assert found.problem in {os.strerror(errno.ENETUNREACH), os.strerror(errno.EACCES)}


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process trust the authority."""
    with authority.cert_pem.tempfile() as path:
        monkeypatch.setenv("SSL_CERT_FILE", path)
        yield


@pytest.mark.usefixtures("trusted")
def test_over_tls_http_1_is_asked_for(tls: ssl.SSLContext) -> None:
    with serving(response(200), tls=tls) as server:
        found = asyncio.run(ask(at(server, tls=True, host="localhost"), REQUEST, PATIENCE))
    assert (found.status, found.problem) == (200, "")
    assert server.alpn == ["http/1.1"]


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_host_is_not_trusted(tls: ssl.SSLContext) -> None:
    with serving(response(200), tls=tls) as server:
        found = asyncio.run(ask(at(server, tls=True), REQUEST, PATIENCE))
    assert found.problem.startswith("its certificate is not trusted (IP address mismatch")


def test_a_certificate_of_an_unknown_authority_is_not_trusted(tls: ssl.SSLContext) -> None:
    with serving(response(200), tls=tls) as server:
        found = asyncio.run(ask(at(server, tls=True, host="localhost"), REQUEST, PATIENCE))
    assert found.status is None
    assert found.problem.startswith("its certificate is not trusted (")
    assert found.problem.endswith("); --insecure asks all the same")


def test_any_certificate_will_do_if_none_is_checked(tls: ssl.SSLContext) -> None:
    with serving(response(200), tls=tls) as server:
        found = asyncio.run(ask(at(server, tls=True, verify=False), REQUEST, PATIENCE))
    assert (found.status, found.problem) == (200, "")


def test_a_connection_over_tls_that_ends_is_no_hint_of_tls(tls: ssl.SSLContext) -> None:
    with serving(b"", tls=tls) as server:
        found = asyncio.run(ask(at(server, tls=True, verify=False), REQUEST, PATIENCE))
    assert found == Answer(problem="the connection was closed without an answer")


def test_tls_to_a_server_of_plain_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target("127.0.0.1", listener.getsockname()[1], "/", True, "a")

        async def refuse() -> Answer:
            asking = asyncio.ensure_future(ask(target, REQUEST, PATIENCE))
            listener.setblocking(False)
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            with connection:
                await asyncio.get_running_loop().sock_recv(connection, 65536)
                connection.sendall(response(400))
                return await asking

        found = asyncio.run(refuse())
    assert found.status is None
    assert found.problem.startswith("it does not speak TLS as we do (")
    assert found.problem.endswith("); if it speaks plain HTTP, ask http://")
