"""TLS and HTTP/2 on connections of uvicorn's that began in the clear, as HTTP/1.1."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

import h2.connection
import h2.events
import pytest
import trustme

from asgi_upgrade import H2CSettings, TLSSettings
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.uvicorn.edge import edge_of
from asgi_upgrade.tls.upgrade import MAX_BODY
from tests.unit.connected import run
from tests.unit.servers.requests import read, request, respond
from tests.unit.servers.uvicorn_connection import every_parser, serve

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from tests.unit.servers.uvicorn_connection import Client, Served

H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAQAAP__\r\n"
TO_TLS = b"Connection: Upgrade\r\nUpgrade: %b\r\n"
BODY = b"Content-Length: 4\r\n"


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what has arrived, and over what."""
    if scope["path"] == "/fail":
        raise ValueError("on purpose")
    if scope["path"] == "/wait":
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        return
    websocket = scope["extensions"].get("http.upgrade", {}).get("websocket")
    facts = {
        "request": f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} {scope['http_version']}",
        "body": (await read(receive)).decode() if scope.get("method") != "CONNECT" and websocket is None else "",
        "scheme": scope["scheme"],
        "tls": scope["extensions"].get("tls"),
        "offer": "http.upgrade" in scope["extensions"],
        "websocket": websocket,
    }
    await respond(send, json.dumps(facts).encode())


# HTTP/2


class HTTP2:
    """The client's side of HTTP/2 behind a 101."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.connection = h2.connection.H2Connection()
        self.connection.initiate_upgrade_connection()
        self.answers: dict[int, tuple[dict[bytes, bytes], bytes]] = {}
        self.ended: set[int] = set()

    def ask(self, stream_id: int, path: str, *, connect: bool = False) -> None:
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "example"), (":path", path)]
        if connect:
            fields = [(":method", "CONNECT"), (":protocol", "websocket"), *fields[1:], ("sec-websocket-version", "13")]
        self.connection.send_headers(stream_id, fields, end_stream=not connect)

    async def answer(self, stream_id: int) -> tuple[dict[bytes, bytes], bytes]:
        """The fields and the body of a response."""
        while stream_id not in self.ended:
            await self.client.send(self.connection.data_to_send())
            data, self.client.unread = self.client.unread or await self.client.receive(), b""
            assert data, "the connection has ended"
            for event in self.connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self.answers[event.stream_id] = dict(event.headers), b""
                elif isinstance(event, h2.events.DataReceived):
                    headers, body = self.answers[event.stream_id]
                    self.answers[event.stream_id] = headers, body + event.data
                elif isinstance(event, h2.events.StreamEnded):
                    self.ended.add(event.stream_id)
        return self.answers[stream_id]


@every_parser
@pytest.mark.parametrize("limit", [2, 20, None])
@pytest.mark.parametrize("logs", [True, False])
def test_http2(parser: str, limit: int | None, caplog: pytest.LogCaptureFixture, *, logs: bool) -> None:
    async def test() -> None:
        options: dict[str, Any] = {"ws_max_size": 1000, "access_log": logs, "limit_concurrency": limit}
        async with serve(parser, describe, headers=[("x-always", "1")], **options) as served:
            edge_of(served.config).settings = EdgeSettings(h2c=H2CSettings())
            await served.client.send(request(b"POST /first?a=b", H2C, BODY, body=b"body"))
            assert (await served.client.answer()).status == 101
            http2 = HTTP2(served.client)
            headers, body = await http2.answer(1)
            facts = json.loads(body)
            assert (headers[b":status"], headers[b"server"], headers[b"x-always"]) == (b"200", b"uvicorn", b"1")
            assert (facts["request"], facts["body"], facts["offer"]) == ("POST /first?a=b 2", "body", False)
            http2.ask(3, "/wait")
            http2.ask(5, "/fail")
            http2.ask(7, "/chat", connect=True)
            statuses = [(await http2.answer(stream))[0][b":status"] for stream in (5, 7)]
            # uvicorn waits for these when it stops; where it has as many tasks as it may have, it answers 503.
            assert len(served.state.tasks) == 2
            if limit == 2:
                assert statuses == [b"503", b"503"]
                return
            assert statuses == [b"500", b"200"]
            assert json.loads(http2.answers[7][1])["websocket"] == {"max_message_size": 1000}
            assert served.state.total_requests == 4

    with caplog.at_level(logging.INFO):
        run("asyncio", test)
    lines = [each.getMessage().partition(" - ")[2] for each in caplog.records if each.name == "uvicorn.access"]
    if not logs:
        assert lines == []
    elif limit != 2:
        wanted = ['"POST /first?a=b HTTP/1.1" 101', '"POST /first?a=b HTTP/2" 200', '"GET /fail HTTP/2" 500']
        assert [each for each in lines if "chat" not in each] == wanted
    if limit != 2:
        [error] = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert error.name == "uvicorn.error"


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context_of(authority: trustme.CA, verify: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = verify
    return context


def go_on_in_tls(authority: trustme.CA, near: socket.socket, *more: bytes) -> list[dict[str, Any]]:
    """Shake hands, read a response, send more requests, read their responses: what the application said of each."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("ada@example.com", common_name="ada").configure_cert(context)
    near.settimeout(60)
    found: list[dict[str, Any]] = []
    with context.wrap_socket(near, server_hostname="localhost") as tls, tls.makefile("rb") as lines:
        for following in (*more, b""):
            assert lines.readline().startswith(b"HTTP/1.1 200 "), found
            length = 0
            while (line := lines.readline()) != b"\r\n":
                name, _, value = line.partition(b": ")
                length = int(value) if name.lower() == b"content-length" else length
            found.append(json.loads(lines.read(length)))
            tls.sendall(following)
    return found


NONE, OPTIONAL = ssl.CERT_NONE, ssl.CERT_OPTIONAL


@every_parser
@pytest.mark.parametrize(
    ("asked", "offer", "verify", "required", "taken"),
    [
        ("GET /%61?b=c", b"TLS/1.2", NONE, False, "TLS"),
        ("POST /a?b=c", b"TLS/1.2", NONE, False, "TLS"),
        ("OPTIONS *", b"TLS/1.2", NONE, False, "TLS"),
        ("OPTIONS *", b"TLS/1.2", OPTIONAL, False, "TLS"),
        ("OPTIONS *", b"TLS/1.2", NONE, True, "TLS"),
        ("GET /a", b"TLS/1.2", OPTIONAL, False, None),  # the pattern of CVE-2009-3555
        ("GET /a", b"TLS/1.2", NONE, True, None),
        ("GET /a", b"h2c, TLS/1.2", NONE, False, "TLS"),
        ("GET /a", b"h2c", NONE, False, "h2c"),
        ("GET /a", b"h2c", NONE, True, None),
        ("GET /a", b"h2c", NONE, lambda scope: scope["path"] == "/root/a", None),
        ("GET /a", b"h2c", NONE, lambda scope: scope["path"] == "/a", "h2c"),
        ("PUT /a", b"TLS/1.2", NONE, False, None),  # its body is longer than what is kept
        ("GET /a", b"h2c, TLS/1.2", OPTIONAL, False, "h2c"),
        ("GET /a", b"example/1", NONE, False, None),
        ("GET /a", b'"', NONE, False, None),
    ],
)
def test_what_may_begin_on_a_request_in_the_clear(
    *,
    parser: str,
    asked: str,
    offer: bytes,
    verify: ssl.VerifyMode,
    taken: str | None,
    authority: trustme.CA,
    required: Any,
) -> None:
    kinds: list[set[type]] = []  # the protocols of the connection, at each request

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kinds.append({type(each) for each in served.state.connections})
        await describe(scope, receive, send)

    served: Served

    async def test() -> None:
        nonlocal served
        async with serve(parser, app, root_path="/root") as served:
            client = served.client
            settings = TLSSettings(context_of(authority, verify), required=required)
            edge_of(served.config).settings = EdgeSettings(h2c=H2CSettings(), tls=settings)
            fields = TO_TLS % offer
            if b"h2c" in offer:
                fields = H2C.replace(b"h2c", offer)
            body = {"PO": b"body", "PU": bytes(MAX_BODY + 1)}.get(asked[:2], b"")
            length = b"Content-Length: %d\r\n" % len(body)
            await client.send(request(asked.encode(), fields, length, body=body))
            answer = await client.answer()
            method, target = asked.split()
            path, _, query = target.replace("%61", "a").partition("?")
            wanted = f"{method} /root{path}?{query} 1.1"
            assert answer.all(b"upgrade") == {"TLS": [b"TLS/1.2, HTTP/1.1"], "h2c": [b"h2c"], None: []}[taken]
            if taken is None:
                assert json.loads(answer.body)["request"] == wanted
            if taken != "TLS":
                return
            near = socket.socket(fileno=client.socket.detach())
            more = request(b"GET /next?d", H2C), request(b"POST /last", H2C, BODY, body=b"more")
            first, second, third = await asyncio.to_thread(go_on_in_tls, authority, near, *more)
            assert (first["request"], first["scheme"], first["body"]) == (wanted, "https", body.decode())
            assert (second["request"], second["scheme"]) == ("GET /root/next?d 1.1", "https")
            # The first request was sent in the clear, by whomever. And in TLS nothing of all that begins.
            assert (first["tls"]["client_cert_name"], first["tls"]["client_cert_chain"]) == (None, [])
            assert (second["tls"]["client_cert_name"] or "").startswith("CN=ada") is (verify is OPTIONAL)
            assert second["offer"]
            assert (third["request"], third["body"], third["tls"]) == ("POST /root/last? 1.1", "more", second["tls"])
            assert kinds[1] == {type(served.protocol)}
            assert served.state.total_requests == 4

    run("asyncio", test)
