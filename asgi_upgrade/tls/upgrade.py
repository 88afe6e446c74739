"""TLS on a connection that began in the clear (RFC 2817).

It concerns the connection, not a resource: so the server's edge puts `TLS` in front of the application, and the request
that has asked for it reaches the application once, over TLS.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any, Protocol, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_upgrade.http.fields import FRAMING, OFFER
from asgi_upgrade.http.headers import parse_tokens
from asgi_upgrade.http.offer import UpgradeOffer
from asgi_upgrade.http.request_line import request_line
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.system.transports import replay
from asgi_upgrade.tls.scope import tls_extension
from asgi_upgrade.tls.settings import TLSSettings

__all__ = ["MAX_BODY", "TLS", "Resume", "find_tls", "is_about_server"]

logger = logging.getLogger("asgi_upgrade")

# Longest body that is kept until the request is answered over TLS, in bytes.
MAX_BODY = 64 * 1024

_PROTOCOLS = ("TLS/1.0", "TLS/1.1", "TLS/1.2", "TLS/1.3")


class Resume(Protocol):
    """Goes on with HTTP/1.1 on a connection that has been switched to TLS."""

    def __call__(
        self, transport: asyncio.Transport, *, headers: list[tuple[bytes, bytes]], data: bytes, tls: dict[str, Any]
    ) -> None:
        """Answer the request that asked for TLS, and then whatever comes.

        Args:
            transport: The connection, with TLS.
            headers: The fields of that request, without those that its answer has made void.
            data: What follows them: the body, and bytes that have arrived since.
            tls: The ASGI extension ``tls`` for this and all further requests.
        """
        ...  # pragma: no cover


class TLS:
    """Takes a request's offer of TLS; gives any other request to the application.

    Args:
        app: The application.
        settings: How to speak TLS.
        resume: Goes on with HTTP/1.1 after it.
    """

    def __init__(self, app: ASGIApp, settings: TLSSettings, *, resume: Resume) -> None:
        self.app = app
        self._context = settings.context
        self._timeout = settings.handshake_timeout
        self._resume = resume

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of a connection in the clear."""
        extension = get_extension(scope)
        offer = UpgradeOffer.from_scope(scope)
        protocol = find_tls(offer) if offer is not None else None
        if extension is None or protocol is None or _is_too_long(scope["headers"]):
            return await self.app(scope, receive, send)
        kept = _Kept(receive)
        body = await kept.read(MAX_BODY)
        if body is None:
            # RFC 2817 §3.1: the server may ignore the offer.
            return await self.app(scope, kept.receive, send)
        between = _Between()
        # RFC 2817 §3.3: the lowest layer first.
        switched = extension["connect"](between, [(b"upgrade", protocol.encode() + b", HTTP/1.1")])
        await send({"type": "http.response.start", "status": 101, "headers": []})
        if not await switched:
            return None
        try:
            transport = await self._handshake(between)
        except OSError as error:  # TLS errors are such, too
            logger.debug("%s: the TLS handshake failed: %r", request_line(scope), error)
            return None
        if transport is not None:
            tls = tls_extension(transport.get_extra_info("ssl_object"), self._context)
            headers = _fields_over_tls(scope["headers"], body)
            self._resume(transport, headers=headers, data=body + between.take(), tls=tls)
        return None

    async def _handshake(self, between: _Between) -> asyncio.Transport | None:
        """Return the transport with TLS, ``None`` if the connection has been closed."""
        plain = between.transport
        if plain.is_closing():
            return None
        loop = asyncio.get_running_loop()
        loop.call_soon(_feed, plain, between.take())
        transport = await loop.start_tls(
            plain, between, self._context, server_side=True, ssl_handshake_timeout=self._timeout
        )
        if transport is None or plain.is_closing():
            if transport is not None:
                transport.abort()  # Python 3.10 warns of one that nobody closes
            return None
        alpn = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if alpn not in (None, "http/1.1"):
            transport.abort()  # nobody would own it
            raise ConnectionAbortedError(f"the client has chosen {alpn}, after we had said HTTP/1.1")
        return transport


class _Between(asyncio.Protocol):
    """Owns the connection between HTTP in the clear and HTTP over TLS.

    What it keeps is what the server held back behind the request, and later what came in one read with the end of the
    handshake: both are limited.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._data += data

    def shutdown(self) -> None:
        """The server begins to stop."""
        self.transport.abort()

    def take(self) -> bytes:
        """Return what has been kept."""
        data, self._data = self._data, b""
        return data


class _Kept:
    """The body of a request that may yet go to the application."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()

    async def read(self, limit: int) -> bytes | None:
        """Return the whole body, ``None`` if it is longer than ``limit`` or the client has gone."""
        body = bytearray()
        while True:
            message = await self._receive()
            self._messages.append(message)
            body += message.get("body", b"")
            if message["type"] != "http.request" or len(body) > limit:
                return None
            if not message.get("more_body", False):
                return bytes(body)

    async def receive(self) -> Message:
        """ASGI ``receive``, from the start."""
        return self._messages.popleft() if self._messages else await self._receive()


def find_tls(offer: UpgradeOffer) -> str | None:
    """Return the version of TLS that ``offer`` names first, as it is written there, or ``None``.

    Which version is spoken is for the handshake to decide.
    """
    for offered in offer.protocols:
        if any(offered.matches(protocol) for protocol in _PROTOCOLS):
            return str(offered)
    return None


def is_about_server(scope: Scope) -> bool:
    """Tell whether a request is ``OPTIONS *``, about the server and not about a resource (RFC 9110 §9.3.7)."""
    return scope["method"] == "OPTIONS" and bool(scope["path"] == scope.get("root_path", "") + "*")


def _feed(transport: asyncio.Transport, data: bytes) -> None:
    """Give TLS what arrived before it owned the connection.

    This runs when it is the protocol of ``transport``, before its ``connection_made``, and before anything is read.
    """
    protocol: Any = transport.get_protocol()
    if not data:
        return
    if hasattr(protocol, "get_buffer"):
        replay(protocol, data)  # it only takes the bytes now
    else:
        # asyncio of Python 3.10 drops them now. It reads nothing before what is called soon.
        asyncio.get_running_loop().call_soon(protocol.data_received, data)


def _fields_over_tls(headers: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a request whose offer has been taken, and whose body is known (RFC 9110 §7.6.1)."""
    options = parse_tokens(value for name, value in headers if name == b"connection")
    connection = ", ".join(option for option in options if option.lower() != "upgrade").encode()
    dropped = OFFER | FRAMING | {b"expect"}
    fields = [field for field in headers if field[0] not in dropped]
    if connection:
        fields.append((b"connection", connection))
    if any(name in (b"content-length", b"transfer-encoding") for name, _ in headers):
        fields.append((b"content-length", str(len(body)).encode()))
    return fields


def _is_too_long(headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether the body is known to be longer than what is kept."""
    for name, value in headers:
        if name == b"content-length":
            # The server has refused what is no number, but not what Python finds too long to be one.
            digits = value.strip(b" \t").lstrip(b"0")
            return len(digits) > 9 or int(digits or b"0") > MAX_BODY
    return False
