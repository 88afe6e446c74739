"""The server's side of the WebSocket opening handshake (RFC 6455 section 4.2): a request in, a value out, no I/O.

In HTTP/2 it is an extended CONNECT, which the server delivers as a GET whose ``http.upgrade`` names the protocol. It
has the same fields but those that only HTTP/1.1 needs: Upgrade, Connection and Sec-WebSocket-Key (RFC 8441 section 5).
"""

import hashlib
import re
from binascii import b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from asgi_upgrade.http.fields import FRAMING, OFFER
from asgi_upgrade.http.headers import (
    ExtensionOffer,
    FieldTooLargeError,
    HeaderError,
    RawHeaders,
    check_response_headers,
    collect,
    is_token,
    parse_extensions,
    parse_host,
    parse_list,
    parse_tokens,
)
from asgi_upgrade.http.offer import UpgradeOffer
from asgi_upgrade.switching.extension import get_extension

# RFC 6455 section 1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# 16 bytes are 128 bits, 22 digits of base64 carry 132. A client that fills the surplus bits with something else than
# zeros may be refused (RFC 4648 section 3.5), but no other server does; the answer is made from the text as sent.
_is_key = re.compile(rb"[A-Za-z0-9+/]{22}==").fullmatch
# Visible ASCII, but what separates or quotes the elements of a list.
_is_lenient_subprotocol = re.compile(r"[!#-+\-.-\[\]-~]+").fullmatch
_names_websocket = re.compile(rb"(?:^|,)[ \t]*websocket[ \t]*(?:,|\Z)", re.IGNORECASE).search

_FIELDS = frozenset(
    {
        b"connection",
        b"host",
        b"origin",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"upgrade",
    }
)
# What the application may not add to a 101.
_RESERVED = OFFER | FRAMING


@dataclass(frozen=True)
class Reject:
    """A handshake that is refused with a plain HTTP response.

    Attributes:
        status: the HTTP status, 400 or above.
        reason: one line of text for the client, without the line's end.
        headers: header lines that this refusal needs besides those that describe its body.
    """

    status: int
    reason: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Accept(NamedTuple):
    """A handshake that can be completed.

    Attributes:
        key: the value for ``Sec-WebSocket-Accept``, empty for no such line: in HTTP/2, and where the server writes it.
        subprotocols: the subprotocols that the client offers, in its order of preference, each once.
        extensions: the extensions that the client offers, in its order of preference.
    """

    key: bytes
    subprotocols: tuple[str, ...] = ()
    extensions: tuple[ExtensionOffer, ...] = ()

    def choose_subprotocol(self, configured: Sequence[str]) -> str | None:
        """Return the first offered subprotocol that is among ``configured``, ``None`` if none is.

        The client's order decides (RFC 6455 section 4.1, item 10); names compare exactly.

        Args:
            configured: the subprotocols that the server speaks, in any order.
        """
        for subprotocol in self.subprotocols:
            if subprotocol in configured:
                return subprotocol
        return None

    def response_headers(
        self,
        *,
        subprotocol: str | None = None,
        extensions: str | None = None,
        headers: RawHeaders = (),
        offered_only: bool = True,
    ) -> list[tuple[bytes, bytes]]:
        """Return the header lines of the 101 response (RFC 6455 section 4.2.2, item 5).

        Args:
            subprotocol: the subprotocol chosen, ``None`` (the default) for none.
            extensions: the value for ``Sec-WebSocket-Extensions``, ``None`` (the default) for no line.
            headers: more header lines, as pairs of byte strings; they follow the handshake's own. None by default.
            offered_only: whether ``subprotocol`` must be one that the client offers. Default: ``True``.

        Raises:
            ValueError: the subprotocol was not offered, or cannot stand in a header field; or a header's name or value
                is malformed, or it is one that belongs to the handshake (Upgrade, Connection, Sec-WebSocket-*) or
                frames a body.
            TypeError: a header is not a pair of byte strings.
        """
        lines = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
        if self.key:
            lines.append((b"sec-websocket-accept", self.key))
        if subprotocol is not None:
            # RFC 6455 section 4.1: the client fails the connection over a subprotocol that it did not ask for.
            if offered_only and subprotocol not in self.subprotocols:
                raise ValueError(f"subprotocol {subprotocol!r} was not offered by the client")
            if not is_subprotocol(subprotocol, lenient=True):
                raise ValueError(f"subprotocol {subprotocol!r} cannot stand in a header field")
            lines.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
        if extensions is not None:
            lines += check_response_headers([(b"sec-websocket-extensions", extensions.encode("latin-1"))])
        return lines + check_added_headers(headers) if headers else lines


def check_added_headers(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Return header lines that an application adds to the 101 response, names in lower case.

    Args:
        headers: pairs of byte strings.

    Raises:
        ValueError: as `Accept.response_headers`.
        TypeError: as `Accept.response_headers`.
    """
    checked = check_response_headers(headers)
    for name, _ in checked:
        if name in _RESERVED or name.startswith(b"sec-websocket-"):
            raise ValueError(f"header {name!r} cannot be set on a WebSocket handshake")
    return checked


def is_subprotocol(name: str, *, lenient: bool) -> bool:
    """Tell whether ``name`` may be a subprotocol.

    Args:
        name: the name.
        lenient: whether any visible ASCII but commas, double quotes and backslashes will do, and not only a token
            (RFC 6455 section 4.1, item 10).
    """
    return _is_lenient_subprotocol(name) is not None if lenient else is_token(name)


def check_subprotocols(subprotocols: Sequence[str], *, lenient: bool) -> tuple[str, ...]:
    """Return the argument ``subprotocols`` of `UpgradeMiddleware`.

    Args:
        subprotocols: the names.
        lenient: see `is_subprotocol`.

    Raises:
        ValueError: they are something else.
    """
    if isinstance(subprotocols, str) or not all(
        isinstance(name, str) and is_subprotocol(name, lenient=lenient) for name in subprotocols
    ):
        raise ValueError(f"subprotocols must be a sequence of tokens (RFC 9110 section 5.6.2), not {subprotocols!r}")
    return tuple(subprotocols)


def accept_key(key: bytes) -> bytes:
    """Return the value of ``Sec-WebSocket-Accept`` (RFC 6455 section 4.2.2, item 5.4).

    Args:
        key: the value of ``Sec-WebSocket-Key``, as the client sent it.
    """
    return b2a_base64(hashlib.sha1(key + _GUID, usedforsecurity=False).digest(), newline=False)


def read_fields(scope: Mapping[str, Any]) -> dict[bytes, list[bytes]]:
    """Return the values of the fields by which a handshake is judged, Origin among them, by name in lower case.

    Args:
        scope: an ASGI connection scope of any type.
    """
    return collect(scope.get("headers", ()), _FIELDS)


def negotiate(
    scope: Mapping[str, Any],
    fields: Mapping[bytes, list[bytes]] | None = None,
    *,
    lenient_subprotocols: bool = False,
) -> Accept | Reject | None:
    """Read the opening handshake of a request (RFC 6455 section 4.2.1). Never raises, whatever the headers contain.

    The Origin field is left to `asgi_upgrade.websocket.origin.OriginPolicy`.

    Args:
        scope: an ASGI connection scope of any type.
        fields: what `read_fields` returns for it, ``None`` (the default) to read them here.
        lenient_subprotocols: whether subprotocols need not be tokens, see `is_subprotocol`. Default: ``False``.

    Returns:
        `Accept` if the handshake can be completed; `Reject` with status 400, 405, 426 or 431 if the request is a
        handshake with a fault; ``None`` if the request does not ask for WebSocket.
    """
    if scope.get("type") != "http":
        return None
    if fields is None:
        fields = read_fields(scope)
    if scope.get("http_version") != "1.1":
        return _negotiate_http2(scope, fields, lenient_subprotocols)
    if b"upgrade" not in fields:
        return None
    upgrade = fields[b"upgrade"]
    try:
        offer = UpgradeOffer.from_lines(upgrade, fields.get(b"connection", ()))
    except HeaderError as error:
        return _reject("Malformed WebSocket handshake", error) if _claims(upgrade, fields) else None
    if offer is None:
        if _claims(upgrade, fields):
            return Reject(400, "A WebSocket handshake needs the header field Connection: Upgrade")
        return None
    if offer.find("websocket") is None:
        return None
    return _read_handshake(scope, fields, lenient_subprotocols)


def _negotiate_http2(
    scope: Mapping[str, Any], fields: Mapping[bytes, list[bytes]], lenient: bool
) -> Accept | Reject | None:
    """Read an extended CONNECT; an Upgrade field means nothing in HTTP/2 (RFC 9113 section 8.6)."""
    extension = get_extension(scope)
    if extension is None or extension.get("protocol") != "websocket":
        return None
    fault = _check_host(fields)
    if fault is not None:
        return fault
    if not _has_version_13(fields):
        return Reject(400, "Sec-WebSocket-Version must be 13", ((b"sec-websocket-version", b"13"),))
    return _read_lists(b"", fields, lenient)


def _claims(upgrade: Iterable[bytes], fields: Mapping[bytes, list[bytes]]) -> bool:
    """Tell whether a request that makes no proper offer plainly means to be a WebSocket handshake all the same."""
    if b"sec-websocket-key" not in fields and b"sec-websocket-version" not in fields:
        return False
    return any(_names_websocket(line) for line in upgrade)


def _read_handshake(scope: Mapping[str, Any], fields: Mapping[bytes, list[bytes]], lenient: bool) -> Accept | Reject:
    if scope.get("method") != "GET":
        return Reject(405, "A WebSocket handshake needs the method GET", ((b"allow", b"GET"),))
    fault = _check_host(fields)
    if fault is not None:
        return fault
    # The version goes before the key: other versions may use other fields, and the client has to learn what we speak.
    if not _has_version_13(fields):
        return Reject(
            426,
            "Sec-WebSocket-Version must be 13",
            ((b"sec-websocket-version", b"13"), (b"upgrade", b"websocket"), (b"connection", b"Upgrade")),
        )
    keys = fields.get(b"sec-websocket-key", ())
    if len(keys) != 1:
        return Reject(400, "A WebSocket handshake needs the header field Sec-WebSocket-Key, once")
    key = keys[0].strip(b" \t")
    if not _is_key(key):
        return Reject(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    return _read_lists(accept_key(key), fields, lenient)


def _check_host(fields: Mapping[bytes, list[bytes]]) -> Reject | None:
    hosts = fields.get(b"host", ())
    # RFC 9112 section 3.2: 400 for a request without Host, with more than one, or with a malformed one.
    if len(hosts) != 1:
        return Reject(400, "A WebSocket handshake needs the header field Host, once")
    try:
        parse_host(hosts[0].strip(b" \t"))
    except HeaderError as error:
        return Reject(400, f"Malformed Host: {error}")
    return None


def _reject(fault: str, error: HeaderError) -> Reject:
    return Reject(431 if isinstance(error, FieldTooLargeError) else 400, f"{fault}: {error}")


def _has_version_13(fields: Mapping[bytes, list[bytes]]) -> bool:
    return [value.strip(b" \t") for value in fields.get(b"sec-websocket-version", ())] == [b"13"]


def _read_lists(key: bytes, fields: Mapping[bytes, list[bytes]], lenient: bool) -> Accept | Reject:
    subprotocols: list[str] = []
    extensions: list[ExtensionOffer] = []
    if b"sec-websocket-protocol" in fields:
        try:
            lines = fields[b"sec-websocket-protocol"]
            subprotocols = _parse_lenient_subprotocols(lines) if lenient else parse_tokens(lines)
        except HeaderError as error:
            return _reject("Malformed Sec-WebSocket-Protocol", error)
    if b"sec-websocket-extensions" in fields:
        try:
            # RFC 6455 section 9.1: a value that does not conform must fail the connection, not only the extension.
            extensions = parse_extensions(fields[b"sec-websocket-extensions"])
        except HeaderError as error:
            return _reject("Malformed Sec-WebSocket-Extensions", error)
    return Accept(key, tuple(dict.fromkeys(subprotocols)) if subprotocols else (), tuple(extensions))


def _parse_lenient_subprotocols(lines: list[bytes]) -> list[str]:
    elements = parse_list(lines)
    if not all(_is_lenient_subprotocol(element) for element in elements):
        raise HeaderError("it lists something that cannot be a subprotocol")
    return elements
