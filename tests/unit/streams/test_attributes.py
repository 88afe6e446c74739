"""What an `UpgradeStream` tells of its connection, in AnyIO's words: addresses, and what was agreed on over TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute

from asgi_upgrade import UpgradeAttribute, UpgradeStream
from asgi_upgrade.streams.protocol import StreamProtocol
from asgi_upgrade.streams.settings import StreamSettings

pytestmark = pytest.mark.anyio
SETTINGS = StreamSettings(keepalive_interval=None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def over_tls() -> AsyncIterator[tuple[UpgradeStream, asyncio.StreamReader, ssl.SSLObject, bytes]]:
    """A stream over TLS 1.2 with a client that shows a certificate; the client's end, and its certificate (DER)."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # the last one that has a channel binding of this kind
    server.set_alpn_protocols(["example"])
    client = ssl.create_default_context()
    certificate = authority.issue_cert("me@example.com")
    certificate.configure_cert(client)
    authority.configure_trust(client)
    client.set_alpn_protocols(["other", "example"])

    loop = asyncio.get_running_loop()
    protocol = StreamProtocol(SETTINGS, loop)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far = listener.accept()[0]
    accepting = asyncio.ensure_future(loop.connect_accepted_socket(lambda: protocol, far, ssl=server))
    reader, writer = await asyncio.open_connection(sock=near, ssl=client, server_hostname="localhost")
    await accepting
    stream = UpgradeStream(protocol, {"type": "http"}, "example/1")
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    try:
        yield stream, reader, writer.get_extra_info("ssl_object"), der
    finally:
        writer.transport.abort()
        await anyio.aclose_forcefully(stream)


async def test_what_both_ends_have_agreed_on_over_tls() -> None:
    async with over_tls() as (stream, _, client, certificate):
        cipher = stream.extra(TLSAttribute.cipher)
        assert cipher == client.cipher()
        assert cipher in (stream.extra(TLSAttribute.shared_ciphers) or [])
        assert stream.extra(TLSAttribute.tls_version) == "TLSv1.2"
        assert stream.extra(TLSAttribute.alpn_protocol) == "example"
        binding = stream.extra(TLSAttribute.channel_binding_tls_unique)
        assert binding
        assert binding == client.get_channel_binding()
        assert stream.extra(TLSAttribute.peer_certificate_binary) == certificate
        names = (stream.extra(TLSAttribute.peer_certificate) or {}).get("subjectAltName")
        assert names == (("email", "me@example.com"),)
        assert stream.extra(TLSAttribute.server_side) is True
        assert isinstance(stream.extra(TLSAttribute.ssl_object), ssl.SSLObject)
        # The end of TLS without its closing message is an end, and no error.
        assert stream.extra(TLSAttribute.standard_compatible) is False


async def test_over_tls_no_direction_ends_alone() -> None:
    async with over_tls() as (stream, reader, _, _):
        assert stream.extra(UpgradeAttribute.half_close) is False
        with pytest.raises(NotImplementedError, match="one direction"):
            await stream.send_eof()
        await stream.send(b"the end")
        await stream.aclose()
        assert await reader.read() == b"the end"


class Transport(asyncio.Transport):
    """Says that its connection is between these addresses."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("family", "address", "told", "port"),
    [
        (socket.AF_INET, ("192.0.2.1", 80), ("192.0.2.1", 80), 80),
        (socket.AF_INET6, ("2001:db8::1", 80, 0, 0), ("2001:db8::1", 80), 80),
        (socket.AF_INET6, ("fe80::1", 80, 0, 3), ("fe80::1%3", 80), 80),  # on the third interface
        (socket.AF_UNIX, "/run/app.sock", "/run/app.sock", None),
        (socket.AF_UNIX, "", "", None),
        (socket.AF_UNIX, None, "", None),
    ],
)
async def test_addresses_are_what_anyio_makes_of_them(family: int, address: Any, told: Any, port: int | None) -> None:
    other: Any = ("192.0.2.9", 99)
    with socket.socket(family) as sock:
        for name, attributes in (
            ("sockname", (SocketAttribute.local_address, SocketAttribute.local_port)),
            ("peername", (SocketAttribute.remote_address, SocketAttribute.remote_port)),
        ):
            protocol = StreamProtocol(SETTINGS, asyncio.get_running_loop())
            names = {"sockname": other, "peername": other, name: address}
            protocol.connection_made(Transport({"socket": sock, **names}))
            stream = UpgradeStream(protocol, {"type": "http"}, "example/1")
            assert stream.extra(SocketAttribute.family) == family
            assert stream.extra(SocketAttribute.raw_socket) is sock
            assert stream.extra(attributes[0]) == told
            assert stream.extra(attributes[1], None) == port
            assert stream.extra(TLSAttribute.ssl_object, None) is None


async def test_a_transport_without_a_socket_has_no_addresses() -> None:
    protocol = StreamProtocol(SETTINGS, asyncio.get_running_loop())
    protocol.connection_made(Transport())
    stream = UpgradeStream(protocol, {"type": "http"}, "example/1")
    assert stream.extra(SocketAttribute.raw_socket, None) is None
    assert stream.extra(UpgradeAttribute.half_close) is True
