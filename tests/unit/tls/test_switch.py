"""A connection that is switched to TLS: what goes on over it, and with which request."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from asgi_upgrade import TLSSettings
from asgi_upgrade.tls.upgrade import TLS
from tests.unit.calls import Call, http_scope
from tests.unit.connected import run
from tests.unit.sockets import reset
from tests.unit.waiting import PATIENCE, turns, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.connected import Test

Fields = list[tuple[bytes, bytes]]
NO_BODY = {"type": "http.request"}


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of the server, and of its clients."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    return server, client


class First(asyncio.Protocol):
    """Owns a connection before `protocol` does, and has read some of it."""

    def __init__(self, protocol: Any, data: bytes) -> None:
        self._protocol = protocol
        self._data = data

    def connection_made(self, transport: Any) -> None:
        transport.set_protocol(self._protocol)
        self._protocol.connection_made(transport)
        for part in (self._data[:50], self._data[50:]):
            if part:
                self._protocol.data_received(part)


class Switching:
    """A server that switches: one request in the clear, on a real connection."""

    def __init__(
        self,
        server: ssl.SSLContext,
        headers: Fields,
        *messages: dict[str, Any],
        early: int = 0,
        handshake_timeout: float = 30,
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.near = socket.create_connection(listener.getsockname())
            self._far, _ = listener.accept()
        self.near.setblocking(False)
        self._far.setblocking(False)
        self._early = early  # so many bytes of the handshake have come with the request
        self.call = Call(*messages)
        self.resumed: dict[str, Any] | None = None
        self.owner: Any = None  # of the connection, from the 101 on
        settings = TLSSettings(server, handshake_timeout=handshake_timeout)
        self._tls = TLS(self._never, settings, resume=self._resume)
        self._headers = [(b"connection", b"Upgrade, TE"), (b"upgrade", b"TLS/1.2"), *headers]

    async def _never(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("the request is answered over TLS")

    def _resume(self, transport: Any, **given: Any) -> None:
        self.resumed = {"transport": transport, **given}

    def _connect(self, protocol: Any, fields: Fields) -> asyncio.Future[bool]:
        assert fields == [(b"upgrade", b"TLS/1.2, HTTP/1.1")]

        async def give_away() -> bool:
            loop = asyncio.get_running_loop()
            data = await loop.sock_recv(self._far, self._early) if self._early else b""
            await loop.connect_accepted_socket(lambda: First(protocol, data), self._far)
            self.owner = protocol
            return True

        return asyncio.ensure_future(give_away())

    async def serve(self) -> None:
        extension = {"http.upgrade": {"version": "1.2", "connect": self._connect}}
        scope = http_scope(method="POST", headers=self._headers, extensions=extension)
        await self.call.run(self._tls, scope)


@pytest.mark.parametrize(
    ("headers", "body", "kept"),
    [
        ([], None, [(b"connection", b"TE")]),
        (
            [(b"te", b"trailers"), (b"expect", b"100-continue"), (b"content-length", b"5")],
            b"hello",
            [(b"te", b"trailers"), (b"connection", b"TE"), (b"content-length", b"5")],
        ),
        (
            [(b"transfer-encoding", b"chunked"), (b"trailer", b"x"), (b"connection", b"keep-alive, upgrade")],
            b"hello",
            [(b"connection", b"TE, keep-alive"), (b"content-length", b"5")],
        ),
        ([(b"content-length", b"0")], b"", [(b"connection", b"TE"), (b"content-length", b"0")]),
    ],
)
def test_the_request_goes_on_over_tls_without_what_its_switch_has_made_void(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    on_loop: Callable[[Test], None],
    headers: Fields,
    body: bytes | None,
    kept: Fields,
) -> None:
    async def test() -> None:
        switching = Switching(contexts[0], headers, NO_BODY if body is None else {"type": "http.request", "body": body})
        serving = asyncio.ensure_future(switching.serve())
        reader, writer = await asyncio.open_connection(
            sock=switching.near, ssl=contexts[1], server_hostname="localhost"
        )
        await serving
        assert switching.call.sent == [{"type": "http.response.start", "status": 101, "headers": []}]
        assert switching.resumed is not None
        assert switching.resumed["headers"] == kept
        assert switching.resumed["data"] == (body or b"")
        assert switching.resumed["tls"]["tls_version"] == 0x0304
        switching.resumed["transport"].write(b"over TLS")
        assert await reader.readexactly(8) == b"over TLS"
        writer.close()
        switching.resumed["transport"].abort()
        await asyncio.sleep(0)

    on_loop(test)


@pytest.mark.parametrize("early", [100, 65536])
def test_what_came_early_belongs_to_the_handshake(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], on_loop: Callable[[Test], None], early: int
) -> None:
    async def test() -> None:
        part = {"type": "http.request", "body": b"hello", "more_body": False}
        switching = Switching(contexts[0], [(b"content-length", b"5")], part, early=early)
        serving = asyncio.ensure_future(switching.serve())
        _, writer = await asyncio.open_connection(sock=switching.near, ssl=contexts[1], server_hostname="localhost")
        await serving
        assert switching.resumed is not None
        assert switching.resumed["data"] == b"hello"
        writer.close()
        switching.resumed["transport"].abort()
        await asyncio.sleep(0)

    on_loop(test)


@pytest.mark.parametrize(("protocol", "goes_on"), [("http/1.1", True), ("h2", False)])
def test_only_http_1_goes_on_over_tls(on_loop: Callable[[Test], None], protocol: str, *, goes_on: bool) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    for context in (server, client):
        context.set_alpn_protocols([protocol])

    async def test() -> None:
        switching = Switching(server, [], NO_BODY)
        serving = asyncio.ensure_future(switching.serve())
        reader, writer = await asyncio.open_connection(sock=switching.near, ssl=client, server_hostname="localhost")
        await serving
        assert (switching.resumed is not None) is goes_on
        if switching.resumed is not None:
            switching.resumed["transport"].abort()
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""  # nobody leaves it open
        writer.close()
        await asyncio.sleep(0)

    on_loop(test)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", None])
def test_a_client_that_does_not_speak_tls_gets_no_answer(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    on_loop: Callable[[Test], None],
    caplog: pytest.LogCaptureFixture,
    sent: bytes | None,
) -> None:
    caplog.set_level(logging.DEBUG, "asgi_upgrade")

    async def test() -> None:
        switching = Switching(contexts[0], [], NO_BODY)
        loop = asyncio.get_running_loop()
        if sent is None:
            switching.near.shutdown(socket.SHUT_WR)
        else:
            await loop.sock_sendall(switching.near, sent)
        await switching.serve()
        assert switching.resumed is None
        received = await loop.sock_recv(switching.near, 1000)
        assert not received.startswith(b"HTTP")
        switching.near.close()

    on_loop(test)
    if sent is not None:
        [line] = [record.getMessage() for record in caplog.records if record.name == "asgi_upgrade"]
        assert line.startswith("POST / HTTP/1.1: the TLS handshake failed: SSLError")


@pytest.mark.parametrize("stops", [False, True])
def test_a_client_that_says_nothing_is_waited_for_until_its_time_is_up_or_the_server_stops(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], on_loop: Callable[[Test], None], *, stops: bool
) -> None:
    async def test() -> None:
        switching = Switching(contexts[0], [], NO_BODY, handshake_timeout=3600 if stops else 0.1)
        serving = asyncio.ensure_future(switching.serve())
        if stops:
            await until(lambda: switching.owner is not None)
            switching.owner.shutdown()
        await asyncio.wait_for(serving, PATIENCE)
        assert switching.resumed is None
        with suppress(ConnectionError):
            assert await asyncio.get_running_loop().sock_recv(switching.near, 1000) == b""
        switching.near.close()

    on_loop(test)


def test_for_a_client_that_leaves_with_the_end_of_its_handshake_nothing_goes_on(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async def test() -> None:
        switching = Switching(contexts[0], [], NO_BODY)
        serving = asyncio.ensure_future(switching.serve())
        loop = asyncio.get_running_loop()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = contexts[1].wrap_bio(incoming, outgoing, server_hostname="localhost")
        while client.version() is None or outgoing.pending == 0:
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
                break
            await loop.sock_sendall(switching.near, outgoing.read())
            incoming.write(await loop.sock_recv(switching.near, 65536))
        switching.near.send(outgoing.read())
        reset(switching.near)  # so the server cannot send its tickets
        await asyncio.wait_for(serving, PATIENCE)
        assert switching.resumed is None
        await turns()

    run("asyncio", test)
