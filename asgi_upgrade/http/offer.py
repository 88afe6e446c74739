"""The protocols that a request offers to switch to (RFC 9110 section 7.8)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from asgi_upgrade.http.headers import HeaderError, get_all, is_token, parse_list, parse_tokens


@dataclass(frozen=True)
class OfferedProtocol:
    """One protocol of an ``Upgrade`` field.

    Attributes:
        name: the protocol's name, as the client sent it.
        version: the text after the slash; ``None`` without a slash.
    """

    name: str
    version: str | None = None

    def __str__(self) -> str:
        """Return ``name`` or ``name/version``."""
        return self.name if self.version is None else f"{self.name}/{self.version}"

    def matches(self, protocol: str) -> bool:
        """Tell whether this is ``protocol``. Case does not count in names, but it counts in versions.

        A protocol without a version matches only an offer without a version. A protocol with one matches only an offer
        with the same one.

        Args:
            protocol: ``name`` or ``name/version``.
        """
        name, slash, version = protocol.partition("/")
        return self.version == (version if slash else None) and self.name.lower() == name.lower()


@dataclass(frozen=True)
class UpgradeOffer:
    """The protocols that a request offers, in the client's order of preference.

    Attributes:
        protocols: at least one, in the order sent.
    """

    protocols: tuple[OfferedProtocol, ...]

    @classmethod
    def from_scope(cls, scope: Mapping[str, Any]) -> "UpgradeOffer | None":
        """Return the offer of the request; ``None`` if it offers nothing. It never raises, with any header fields.

        A request makes an offer if it is HTTP/1.1, has ``Upgrade``, and its ``Connection`` field lists ``upgrade``.
        Servers ignore the field in HTTP/1.0 (section 7.8). HTTP/2 and HTTP/3 do not have it (RFC 9113 section 8.6,
        RFC 9114 section 4.5). CONNECT makes a tunnel of the connection by itself (section 9.3.6), so it offers nothing.
        If ``Connection`` or ``Upgrade`` is malformed or too long, the request makes no offer.

        Args:
            scope: an ASGI connection scope of any type.
        """
        if scope.get("type") != "http" or scope.get("http_version") != "1.1" or scope.get("method") == "CONNECT":
            return None
        headers = scope.get("headers", ())
        upgrade = get_all(headers, b"upgrade")
        if not upgrade:
            return None
        try:
            return cls.from_lines(upgrade, get_all(headers, b"connection"))
        except HeaderError:
            return None

    @classmethod
    def from_lines(cls, upgrade: Sequence[bytes], connection: Sequence[bytes]) -> "UpgradeOffer | None":
        """Return the offer of an HTTP/1.1 request with these fields; ``None`` if it offers nothing.

        Args:
            upgrade: the values of the ``Upgrade`` lines, in order.
            connection: the values of the ``Connection`` lines, in order.

        Raises:
            HeaderError: one of the two fields is malformed.
        """
        if len(upgrade) == len(connection) == 1 and len(upgrade[0]) <= 64 and len(connection[0]) <= 64:
            return _parse_known_lines(upgrade[0], connection[0])
        return _parse_lines(upgrade, connection)

    def find(self, protocol: str) -> OfferedProtocol | None:
        """Return the first offered protocol that matches ``protocol``; ``None`` if there is none.

        Args:
            protocol: ``name`` or ``name/version``. See `OfferedProtocol.matches`.
        """
        for offered in self.protocols:
            if offered.matches(protocol):
                return offered
        return None


_lists_upgrade = re.compile(rb"(?:^|,)[ \t]*upgrade[ \t]*(?:,|\Z)", re.IGNORECASE).search


def has_upgrade(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell cheaply whether an HTTP/1.1 request may make an offer: a check that servers can afford for each request.

    True for every request that `UpgradeOffer.from_scope` takes for an offer, and for a few malformed ones.

    Args:
        headers: the header lines, names in lower case.
    """
    for name, _ in headers:
        if name == b"upgrade":
            break
    else:
        return False
    return any(name == b"connection" and _lists_upgrade(value) for name, value in headers)


def _parse_lines(upgrade: Iterable[bytes], connection: Iterable[bytes]) -> UpgradeOffer | None:
    # Section 7.8: the sender must list "upgrade" in Connection, so that the offer ends at the next hop.
    if "upgrade" not in [token.lower() for token in parse_tokens(connection)]:
        return None
    protocols = tuple([_parse_protocol(element) for element in parse_list(upgrade)])
    return UpgradeOffer(protocols) if protocols else None


@lru_cache(maxsize=64)
def _parse_known_lines(upgrade: bytes, connection: bytes) -> UpgradeOffer | None:
    """Parse two short lines and remember them: few different ones exist in practice."""
    return _parse_lines((upgrade,), (connection,))


def _parse_protocol(element: str) -> OfferedProtocol:
    name, slash, version = element.partition("/")
    if not is_token(name) or (slash and not is_token(version)):
        raise HeaderError("the Upgrade field is malformed")
    return OfferedProtocol(name, version if slash else None)


def may_upgrade(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request has ``Upgrade``, or fields of a WebSocket handshake that has lost it.

    Args:
        headers: its fields, names in lower case.
    """
    # A loop, because it runs for each request. Few names come behind this one in the order of bytes.
    for name, _ in headers:
        if name > b"sec-websocket-" and (name == b"upgrade" or name.startswith(b"sec-websocket-")):
            return True
    return False
