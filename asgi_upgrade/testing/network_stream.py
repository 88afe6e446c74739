"""The client's end of a connection that `asgi_upgrade.testing` has switched, with the interface of HTTPX's own."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream

from asgi_upgrade.streams.protocol import StreamProtocol

__all__ = ["NetworkStream"]


class NetworkStream:
    """A connection that has been switched, as HTTPX gives it to its users.

    Args:
        stream: The connection, perhaps with TLS on top.
        protocol: What is below all of it.
        sock: The client's end.
        core: ``httpcore`` or ``httpcore2``, whose errors are raised.
    """

    def __init__(self, stream: ByteStream, protocol: StreamProtocol, sock: socket.socket, core: Any) -> None:
        self._stream = stream
        self._protocol = protocol
        self._socket = sock
        self._core = core

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Return up to ``max_bytes`` bytes, or ``b""`` at the end."""
        with _errors(self._core.ReadTimeout, self._core.ReadError), anyio.fail_after(timeout):
            try:
                return await self._stream.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send ``buffer``."""
        with _errors(self._core.WriteTimeout, self._core.WriteError), anyio.fail_after(timeout):
            await self._stream.send(bytes(buffer))

    async def aclose(self) -> None:
        """Close the connection."""
        self._protocol.transport.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> NetworkStream:
        """Begin TLS as its client; the result replaces this stream."""
        with _errors(self._core.ConnectTimeout, self._core.ConnectError), anyio.fail_after(timeout):
            stream = await TLSStream.wrap(
                self._stream,
                ssl_context=ssl_context,
                hostname=server_hostname,
                standard_compatible=False,
                server_side=False,
            )
        return NetworkStream(stream, self._protocol, self._socket, self._core)

    def get_extra_info(self, info: str) -> Any:
        """Return ``"socket"``, ``"ssl_object"``, ``"client_addr"``, ``"server_addr"`` or ``None``."""
        if info == "socket":
            return self._socket  # uvloop's own has no `shutdown`, which is how one direction is ended
        attribute: Any = {
            "ssl_object": TLSAttribute.ssl_object,
            "client_addr": SocketAttribute.local_address,
            "server_addr": SocketAttribute.remote_address,
        }.get(info)
        return None if attribute is None else self._stream.extra(attribute, None)  # noqa: S610


@contextmanager
def _errors(timeout: type[Exception], error: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise timeout from exc
    # AnyIO's TLS ends a stream where nobody has asked for bytes: in its handshake, and when it sends.
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError, ssl.SSLError) as exc:
        raise error from exc
