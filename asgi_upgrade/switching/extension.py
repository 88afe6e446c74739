"""The ASGI extension ``http.upgrade``: the contract between a server and an application.

A server that can hand this very connection to another protocol puts an entry into the scope of the request:

    scope["extensions"]["http.upgrade"] = {"version": "1.2", "connect": connect}

The entry is there only where the request is HTTP/1.1 and has ``Connection: upgrade`` and ``Upgrade`` (RFC 9110 §7.8).
The application calls ``connect(protocol, headers)`` and then sends ``http.response.start`` with status 101. If that
message reaches the server, the server writes the 101, gives the transport to ``protocol`` and the connection is no
longer HTTP. Any other status leaves the connection as it was. The whole specification: ``docs/reference/extension.md``.

An extended CONNECT of HTTP/2 (RFC 8441 §4) has such an entry too, with the key ``protocol``. It is about its stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypedDict

__all__ = ["EXTENSION", "HTTP2_VERSION", "VERSION", "Connect", "UpgradeExtension", "get_extension"]

EXTENSION = "http.upgrade"
VERSION = "1.2"
# Of an entry that has `protocol`.
HTTP2_VERSION = "1.2"
_MAJOR = "1."


class Connect(Protocol):
    """Names the protocol that shall own the connection once the 101 has left the server."""

    def __call__(self, protocol: asyncio.BaseProtocol, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
        """Announce ``protocol``; the application sends the 101 afterwards.

        Args:
            protocol: Gets ``connection_made(transport)``, then the bytes that followed the request, then everything
                else a transport tells its protocol. On shutdown the server calls its ``shutdown()``, if it has one.
            headers: What the 101 must carry unchanged, ``Upgrade`` among it. Whatever stands between the application
                and the server may add headers to the 101, but can neither remove nor change these.

        Returns:
            A future: ``True`` once ``protocol`` owns the connection, ``False`` if it never will, because another
            response was sent or the client has gone. Cancelling it withdraws the announcement.
        """
        ...  # pragma: no cover


class _Required(TypedDict):
    version: str
    connect: Connect


class UpgradeExtension(_Required, total=False):
    """The value of ``scope["extensions"]["http.upgrade"]``."""

    protocol: str  # what an extended CONNECT names; HTTP/1.1 has `Upgrade` for that
    websocket: Mapping[str, Any]  # the server's own limits for WebSockets, where its user has set some
    lingers: bool  # a protocol's close may go on when the application has returned
    on_shutdown: Callable[[Callable[[], None]], None]  # calls a function if the server stops before the switch


def get_extension(scope: Mapping[str, Any]) -> UpgradeExtension | None:
    """Return the extension's entry in ``scope``, or ``None`` where the server cannot switch this request.

    An entry of another major version is none that we understand.
    """
    extensions = scope.get("extensions")
    entry: UpgradeExtension | None = extensions.get(EXTENSION) if extensions else None
    return entry if entry is not None and entry["version"].startswith(_MAJOR) else None
