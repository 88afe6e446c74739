"""uvicorn's protocol that finds out whether a client speaks HTTP/1.1 or HTTP/2, extended."""

from __future__ import annotations

import asyncio
import json
import ssl
from importlib import import_module
from typing import TYPE_CHECKING, Any

import h2.connection
import h2.events
import pytest
import trustme

from tests.unit.connected import run
from tests.unit.line import Line
from tests.unit.servers.requests import OFFER, request, respond
from tests.unit.servers.uvicorn_connection import PARSERS, set_up
from tests.unit.waiting import PATIENCE, arrived, until

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

pytestmark = pytest.mark.skipif("zttp" not in PARSERS, reason="this version of uvicorn does not know it")

FIELDS = [(":method", "GET"), (":scheme", "http"), (":authority", "example"), (":path", "/a")]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    offer = "http.upgrade" in scope.get("extensions", {})
    await respond(send, json.dumps([scope["http_version"], scope["scheme"], offer, scope["state"]]).encode())


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    """The body of a response in HTTP/1.1, to a request that begins with the letter that HTTP/2 begins with."""
    for part in (data[:1], data[1:]):
        writer.write(part)
        await arrived(writer.get_extra_info("socket"))
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    assert head.startswith(b"HTTP/1.1 200 ")
    return await asyncio.wait_for(reader.readuntil(b"]"), PATIENCE)


async def ask_in_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    connection.send_headers(1, FIELDS, end_stream=True)
    writer.write(connection.data_to_send())
    body, ended = b"", False
    while not ended:
        data = await asyncio.wait_for(reader.read(65536), PATIENCE)
        assert data, "the connection has ended"
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                body += event.data
            ended |= isinstance(event, h2.events.StreamEnded)
    return body


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("http2", [False, True])
def test_each_client_is_served_in_what_it_speaks(authority: trustme.CA, *, tls: bool, http2: bool) -> None:
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["h2" if http2 else "http/1.1"])

    async def test() -> None:
        module = import_module("asgi_upgrade.servers.uvicorn.zttp_protocol")
        _, state, protocol = set_up(module.AutoZttpUpgradeProtocol, "zttp", describe)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: protocol, "127.0.0.1", 0, ssl=server if tls else None)
        port = listener.sockets[0].getsockname()[1]
        options: dict[str, Any] = {"ssl": client, "server_hostname": "localhost"} if tls else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
        if http2:
            body = await ask_in_http2(reader, writer)
        else:
            body = await ask(reader, writer, request(b"PUT /a", OFFER))
        assert json.loads(body) == ["2" if http2 else "1.1", "https" if tls else "http", not http2, {"started": True}]
        assert len(state.connections) == 1
        writer.close()
        await until(lambda: not state.connections)
        listener.close()

    run("asyncio", test)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_it_switches_to_has_its_loop(first: bytes) -> None:
    """Which is not always the one that runs."""

    async def test() -> None:
        module = import_module("asgi_upgrade.servers.uvicorn.zttp_protocol")
        config, state, _ = set_up(module.AutoZttpUpgradeProtocol, "zttp", describe)
        other = asyncio.new_event_loop()
        protocol = module.AutoZttpUpgradeProtocol(config, state, {}, other)
        line = Line()
        line.set_protocol(protocol)
        protocol.connection_made(line)
        line.receive(first)
        switched: Any = line.get_protocol()
        assert switched is not protocol
        assert switched.loop is other
        switched.connection_lost(None)
        other.close()

    run("asyncio", test)
