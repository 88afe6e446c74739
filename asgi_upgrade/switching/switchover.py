"""The part of ``http.upgrade`` that all servers share: the request, its 101, and the bytes that came early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from starlette.types import Send

from asgi_upgrade.http.fields import NOT_IN_101
from asgi_upgrade.http.headers import check_response_headers
from asgi_upgrade.switching.extension import Connect

__all__ = [
    "Announcing",
    "check_essential",
    "fields_of_101",
    "has_body",
    "linger",
    "name_http_schemes",
    "printed",
    "refuse_101",
    "replay",
    "shut_down",
]

# RFC 6455 §4.2.2 and RFC 9110 print them so. Names have no case, but some clients look for these in a plain dict.
_PRINTED = {
    b"connection": b"Connection",
    b"content-type": b"Content-Type",
    b"sec-websocket-accept": b"Sec-WebSocket-Accept",
    b"sec-websocket-extensions": b"Sec-WebSocket-Extensions",
    b"sec-websocket-protocol": b"Sec-WebSocket-Protocol",
    b"upgrade": b"Upgrade",
}

_HTTP_SCHEMES = {b"ws": b"http", b"wss": b"https"}

_REFUSAL = b"The connection could not be switched to another protocol.\n"


class Announcing:
    """Mixed into what serves one request: keeps what the application announces by the extension's ``connect``."""

    __slots__ = ()  # what is mixed into may have some

    _protocol: Any  # what was announced last, if anything was
    _essential: list[tuple[bytes, bytes]]
    _switched: asyncio.Future[bool] | None  # what ``connect`` has returned then
    _on_shutdown: Callable[[], None] | None  # what the application wants to be called if the server stops before

    def is_too_late(self) -> bool:
        """Tell whether there can be no switch any more."""
        raise NotImplementedError

    def connect(self) -> Connect:
        """The extension's ``connect``: a function, because those survive a deep copy of the scope."""

        def connect(protocol: asyncio.BaseProtocol, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
            essential = check_essential(headers)
            switched: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            if self.is_too_late():
                switched.set_result(False)
            else:
                self.withdraw()
                self._protocol, self._essential, self._switched = protocol, essential, switched  # type: ignore[misc]
            return switched

        return connect

    def is_stopping(self) -> bool:
        """Tell whether the server has begun to stop."""
        raise NotImplementedError

    def on_shutdown(self) -> Callable[[Callable[[], None]], None]:
        """The extension's ``on_shutdown``, a function for the same reason."""

        def on_shutdown(callback: Callable[[], None]) -> None:
            if self.is_stopping():
                callback()
            else:
                self._on_shutdown = callback  # type: ignore[misc]

        return on_shutdown

    def tell_shutdown(self) -> None:
        """The server begins to stop, and the connection has not been switched."""
        callback, self._on_shutdown = self._on_shutdown, None  # type: ignore[misc]
        if callback is not None:
            callback()

    def withdraw(self) -> None:
        """Say that there will be no switch, if that is not decided."""
        if self._switched is not None and not self._switched.done():
            self._switched.set_result(False)


async def refuse_101(send: Send) -> None:
    """Answer in place of a 101 that cannot go out, because nobody announced it, or it came too late."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REFUSAL))]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": _REFUSAL, "more_body": False})


def shut_down(protocol: Any, transport: asyncio.BaseTransport) -> None:
    """Tell what owns a connection that the server stops, or close ``transport`` if it does not want to know."""
    getattr(protocol, "shutdown", transport.close)()


def linger(protocol: Any) -> asyncio.Future[None] | None:
    """Return what is done when the transport of ``protocol`` is gone, if it is about to close that by itself."""
    closing = getattr(protocol, "closing", None)
    return None if closing is None else closing()


def check_essential(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields given to ``connect``, names in lower case.

    Raises:
        ValueError: One of them would break the response, or ``upgrade`` is missing.
    """
    checked = check_response_headers(headers)
    if b"upgrade" not in [name for name, _ in checked]:
        raise ValueError("the headers must name the protocol to switch to, in upgrade (RFC 9110 section 7.8)")
    return checked


def fields_of_101(
    essential: list[tuple[bytes, bytes]], headers: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Return the fields of a 101: those that the new protocol needs, and what middleware has added to the response.

    Args:
        essential: What was given to ``connect``; it reaches the client as it is.
        headers: What came with ``http.response.start``. A name that is essential, describes a body or belongs to the
            WebSocket handshake is not taken from here.

    Raises:
        ValueError: A field that is taken from ``headers`` would break the response.
    """
    fields = [(b"connection", b"Upgrade"), *[field for field in essential if field[0] != b"connection"]]
    # What does not reach the wire need not be checked, and most fields are the essential ones themselves.
    added = [field for field in headers if field[0] not in NOT_IN_101 and tuple(field) not in essential]
    if added:
        fixed = {name for name, _ in essential} | NOT_IN_101
        added = check_response_headers([field for field in added if field[0].lower() not in fixed])
        fields += [field for field in added if not field[0].startswith(b"sec-websocket-")]
    return fields


def printed(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a 101 as HTTP/1.1 shall carry them: the handshake's names as their RFCs print them.

    Args:
        fields: What `fields_of_101` has returned. Fields that the application has added keep their names.
    """
    return [(_PRINTED.get(name, name), value) for name, value in fields]


def name_http_schemes(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return a request's fields with ``http`` and ``https`` for the ``ws`` and ``wss`` of ``X-Forwarded-Proto``.

    Traefik sends those with handshakes. Middleware for proxies would make them the scheme of the ``http`` scope, where
    nobody takes ``wss`` for secure. The list given is not changed, and is returned itself if there is nothing to do.

    Args:
        headers: The fields, names in lower case.
    """
    # A dict, because that is the fastest way to look, and this runs for each offer.
    if b"x-forwarded-proto" not in dict(headers):
        return headers
    return [
        (name, _HTTP_SCHEMES.get(value.strip(b" \t"), value) if name == b"x-forwarded-proto" else value)
        for name, value in headers
    ]


def has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request with these lower-case fields has a body to wait for (RFC 9112 §6.3)."""
    # A dict, because that is the fastest way to look, and this runs for each offer.
    fields = dict(headers)
    if b"transfer-encoding" in fields:
        return True
    # Lines that do not say the same are not for us to judge: there is a body if one of them says so.
    return b"content-length" in fields and any(
        name == b"content-length" and value.strip(b" \t0") != b"" for name, value in headers
    )


def replay(protocol: Any, data: bytes) -> None:
    """Give ``protocol`` bytes that arrived before it owned the connection.

    Args:
        protocol: A streaming or a buffered protocol.
        data: Not empty.
    """
    if not isinstance(protocol, asyncio.BufferedProtocol):
        protocol.data_received(data)
        return
    while data:
        buffer = memoryview(protocol.get_buffer(len(data))).cast("B")
        size = min(len(buffer), len(data))
        buffer[:size] = data[:size]
        protocol.buffer_updated(size)
        data = data[size:]
