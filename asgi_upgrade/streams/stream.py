"""`UpgradeStream`: an upgraded connection as an AnyIO `ByteStream`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from anyio import TypedAttributeSet, typed_attribute
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from anyio.streams.tls import TLSAttribute
from starlette.types import Scope

from asgi_upgrade.streams.protocol import StreamProtocol

__all__ = ["UpgradeAttribute", "UpgradeStream"]


class UpgradeAttribute(TypedAttributeSet):
    """More attributes of an `UpgradeStream`, besides AnyIO's ``SocketAttribute`` and, over TLS, ``TLSAttribute``."""

    #: The ASGI scope of the request that asked for the upgrade.
    scope: Scope = typed_attribute()
    #: The protocol of the connection, as the client offered it: ``name`` or ``name/version``.
    protocol: str = typed_attribute()
    #: Whether one direction can end before the other: ``False`` over TLS.
    half_close: bool = typed_attribute()


class UpgradeStream(ByteStream):
    """A connection that has left HTTP, as a stream of bytes. Bytes that came behind the request are read first.

    Each direction can end by itself. When the client has ended its direction, `receive` raises ``EndOfStream``, and
    `send` goes on working. Some transports cannot do that, such as TLS: there both directions end together.

    If `receive` is cancelled, no bytes are lost. If `send` is cancelled, no bytes were sent.

    Args:
        protocol: The owner of the server's transport.
        scope: The ASGI scope of the request that asked for the upgrade.
        name: The protocol of the connection, as the client offered it.
    """

    def __init__(self, protocol: StreamProtocol, scope: Scope, name: str) -> None:
        self._protocol = protocol
        self._scope = scope
        self._name = name

    @property
    def scope(self) -> Scope:
        """The ASGI scope of the request that asked for the upgrade."""
        return self._scope

    @property
    def protocol(self) -> str:
        """The protocol of this connection, as the client offered it: ``name`` or ``name/version``."""
        return self._name

    def receive(self, max_bytes: int = 65536) -> Coroutine[Any, Any, bytes]:
        """Wait for bytes, and return between 1 and ``max_bytes`` of them.

        Raises:
            ValueError: ``max_bytes`` is less than 1.
            EndOfStream: The client has ended its direction.
            BrokenResourceError: The connection was lost.
            ClosedResourceError: The stream was closed by `aclose`.
            BusyResourceError: Another task is receiving.
        """
        return self._protocol.receive(max_bytes)  # without a coroutine of our own around it: this is the hot path

    def send(self, item: bytes) -> Coroutine[Any, Any, None]:
        """Send ``item``. If more than ``write_buffer_size`` bytes wait to be sent, wait first.

        Raises:
            BrokenResourceError: The connection was lost.
            ClosedResourceError: The stream was closed by `aclose`, or this direction ended by `send_eof`.
            BusyResourceError: Another task is sending.
        """
        return self._protocol.send(item)

    async def send_eof(self) -> None:
        """End our direction, after everything that was sent. `receive` goes on working. A second call does nothing.

        Raises:
            NotImplementedError: The transport cannot end one direction only. TLS cannot.
            ClosedResourceError: The stream was closed by `aclose`.
            BusyResourceError: Another task is sending.
        """
        await checkpoint()
        self._protocol.end()

    async def aclose(self) -> None:
        """Close the connection, after everything that was sent.

        Bytes that the client still sends are discarded. The client has ``close_timeout`` seconds to end its side. The
        time begins again whenever it takes more of the data that was sent. Then the connection is cut. It is also cut
        if this call is cancelled.
        """
        protocol = self._protocol
        try:
            await checkpoint_if_cancelled()
            protocol.close()
            await protocol.wait_closed()
        except BaseException:
            protocol.cut()
            raise

    @property
    def shutting_down(self) -> bool:
        """Whether the server has begun to stop. The handler should come to its end then."""
        return self._protocol.shutdown_requested.is_set()

    async def wait_shutdown(self) -> None:
        """Wait until the server begins to stop. The handler is cancelled ``shutdown_timeout`` seconds later."""
        await self._protocol.shutdown_requested.wait()

    def asyncio_streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return this connection as asyncio's pair of streams, for libraries that need them.

        From then on only these two streams can be used: `receive` and `send` raise ``BusyResourceError``. `aclose` and
        the limits work as before.

        Raises:
            BusyResourceError: A task is receiving or sending, or this was called before.
            ClosedResourceError: The stream was closed by `aclose`.
        """
        return self._protocol.delegate()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """`UpgradeAttribute`, AnyIO's ``SocketAttribute`` and, over TLS, its ``TLSAttribute``."""
        attributes: dict[Any, Callable[[], Any]] = {
            UpgradeAttribute.scope: lambda: self._scope,
            UpgradeAttribute.protocol: lambda: self._name,
            UpgradeAttribute.half_close: lambda: self._protocol.half_close,
        }
        if self._protocol.socket is not None:
            attributes |= _socket_attributes(self._protocol, self._protocol.socket)
        ssl_object = self._protocol.transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            attributes |= _tls_attributes(ssl_object)
        return attributes


def _socket_attributes(protocol: StreamProtocol, raw_socket: socket.socket) -> dict[Any, Callable[[], Any]]:
    local, remote = protocol.local_address, protocol.remote_address
    attributes: dict[Any, Callable[[], Any]] = {
        SocketAttribute.family: lambda: raw_socket.family,
        SocketAttribute.local_address: lambda: _address(local),
        SocketAttribute.remote_address: lambda: _address(remote),
        SocketAttribute.raw_socket: lambda: raw_socket,
    }
    if raw_socket.family in (socket.AF_INET, socket.AF_INET6):
        attributes[SocketAttribute.local_port] = lambda: local[1]
        attributes[SocketAttribute.remote_port] = lambda: remote[1]
    return attributes


def _tls_attributes(ssl_object: Any) -> dict[Any, Callable[[], Any]]:
    return {
        TLSAttribute.alpn_protocol: ssl_object.selected_alpn_protocol,
        TLSAttribute.channel_binding_tls_unique: ssl_object.get_channel_binding,
        TLSAttribute.cipher: ssl_object.cipher,
        TLSAttribute.peer_certificate: ssl_object.getpeercert,
        TLSAttribute.peer_certificate_binary: lambda: ssl_object.getpeercert(True),
        TLSAttribute.server_side: lambda: ssl_object.server_side,
        TLSAttribute.shared_ciphers: ssl_object.shared_ciphers,
        TLSAttribute.ssl_object: lambda: ssl_object,
        TLSAttribute.standard_compatible: lambda: False,  # the end of TLS without its closing message is an end
        TLSAttribute.tls_version: ssl_object.version,
    }


def _address(address: Any) -> Any:
    """AnyIO's form of an address: (host, port), with the scope of an IPv6 address in the host, or a path."""
    if not isinstance(address, tuple):
        return address or ""
    if len(address) == 4 and address[3]:
        return f"{address[0]}%{address[3]}", address[1]
    return address[:2]
