"""Recognises the offer to continue with HTTP/2 (RFC 7540 section 3.2). Pure."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from struct import iter_unpack
from typing import Any

from asgi_upgrade.http.headers import HeaderError, get_all, parse_tokens
from asgi_upgrade.http.offer import UpgradeOffer

__all__ = ["read_offer"]

# RFC 7540 section 3.2.1: base64url (RFC 4648 section 5). A setting is six bytes, so eight digits: there is no padding.
# Some clients send it all the same.
_match_settings = re.compile(rb"((?:[A-Za-z0-9_\-]{8})*)={0,2}").fullmatch

# RFC 9113 section 6.5.2: the settings that not every value is valid for.
_VALID = {0x2: range(2), 0x4: range(2**31), 0x5: range(2**14, 2**24), 0x8: range(2)}


# There are ten settings, and clients send a few. So many fit into the field; more are no offer.
_MOST_SETTINGS = 64


def read_offer(scope: Mapping[str, Any]) -> bytes | None:
    """Return the client's settings if its request may become the first stream of an HTTP/2 connection.

    That is an HTTP/1.1 request that offers ``h2c``, with no ``websocket`` in front of it, and has exactly one
    ``HTTP2-Settings``, which ``Connection`` lists and which is valid (section 3.2.1), of at most 64 settings. Over TLS
    ``h2c`` means nothing. Never raises, whatever the headers contain.

    Args:
        scope: an ASGI connection scope of any type.

    Returns:
        The payload of a SETTINGS frame, which may be empty; ``None`` if the request stays HTTP/1.1.
    """
    if scope.get("scheme", "http") != "http":
        return None
    offer = UpgradeOffer.from_scope(scope)
    if offer is None:
        return None
    for protocol in offer.protocols:
        if protocol.matches("h2c"):
            break
        if protocol.matches("websocket"):
            return None
    else:
        return None
    headers = scope["headers"]
    values = get_all(headers, b"http2-settings")
    if len(values) != 1:
        return None
    try:
        listed = parse_tokens(get_all(headers, b"connection"))
    except HeaderError:  # pragma: no cover - then there was no offer
        return None
    if "http2-settings" not in [token.lower() for token in listed]:
        return None
    return _decode(values[0].strip(b" \t"))


def _decode(value: bytes) -> bytes | None:
    if len(value) > _MOST_SETTINGS * 8:
        return None
    match = _match_settings(value)
    if match is None:
        return None
    payload = urlsafe_b64decode(match[1])
    for identifier, setting in iter_unpack(">HL", payload):
        if identifier in _VALID and setting not in _VALID[identifier]:
            return None
    return payload
