"""The field grammar of RFC 9110 over ASGI header pairs: tokens, lists over several lines, quoted strings."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from itertools import chain

RawHeaders = Iterable[tuple[bytes, bytes]]
"""Header lines as ASGI carries them: pairs of name and value, one per line, in the order of the message."""

OWS = " \t"
"""Optional white space, RFC 9110 section 5.6.3. ``str.strip()`` without it would also take U+0085 and U+00A0."""

# RFC 9110 section 5.6.2.
_TCHARS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# RFC 9110 section 5.6.4. Each alternative starts with another character, so matching stays linear.
_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'

_is_token = re.compile(_TCHARS).fullmatch
_is_token_bytes = re.compile(_TCHARS.encode()).fullmatch
# RFC 9110 section 5.5: no control character belongs in a field value but the horizontal tab.
_find_control = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search
_find_control_bytes = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
# Names and values by turns, with a NUL between them.
_FIELD = rf"{_TCHARS}\0[^\x00-\x08\x0a-\x1f\x7f]*"
_are_fields = re.compile(rf"{_FIELD}(?:\0{_FIELD})*".encode()).fullmatch
_find_list_pieces = re.compile(rf'[^",]+|{_QUOTED}|,|"').finditer
_match_token = re.compile(_TCHARS).match
# RFC 6455 section 9.1 takes its grammar from RFC 2616, which allows white space around ";" and "=".
_match_parameter = re.compile(rf"[ \t]*;[ \t]*({_TCHARS})(?:[ \t]*=[ \t]*(?:({_TCHARS})|({_QUOTED})))?").match
_replace_quoted_pairs = re.compile(r"\\(.)").sub

# RFC 9110 section 7.2: a host as in RFC 3986 section 3.2.2 (IPv6 literal, IPv4 address or name), perhaps a port.
_match_host = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|([\w\-.~!$&'()*+,;=]+(?:%[0-9A-Fa-f]{2}[\w\-.~!$&'()*+,;=]*)*))(?::([0-9]{0,5}))?"
).fullmatch

MAX_LIST_SIZE = 16 * 1024
"""Longest list field that is read, in bytes over all its lines: parsing costs some time for each element. Browsers and
libraries send far less; the longest in use carry a token for login in ``Sec-WebSocket-Protocol``."""

# Names that need no look at their letters: those that a 101 has, and that middleware likes to add.
_USUAL_NAMES = frozenset(
    {
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"server",
        b"set-cookie",
        b"upgrade",
        b"vary",
    }
)

# A server meets few different hosts and extension offers, so parsing remembers them; long values could fill the memory.
_REMEMBERED_LENGTH = 128


class HeaderError(ValueError):
    """A header field does not have the form its specification asks for. The message is one line, fit for a client."""


class FieldTooLargeError(HeaderError):
    """A header field is longer than `MAX_LIST_SIZE`, which deserves 431 (RFC 6585 section 5)."""


@dataclass(frozen=True)
class ExtensionOffer:
    """One element of a ``Sec-WebSocket-Extensions`` field (RFC 6455 section 9.1).

    Attributes:
        name: the extension's name, as sent.
        parameters: names and values in the order sent, repeated ones included. The value is ``None`` where the
            parameter has none; a quoted value stands here without its quotes.
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()

    def __str__(self) -> str:
        """Return the offer as it stands in the field."""
        parts = [self.name]
        parts += [name if value is None else f"{name}={value}" for name, value in self.parameters]
        return "; ".join(parts)


def is_token(value: str) -> bool:
    """Tell whether ``value`` is a token (RFC 9110 section 5.6.2)."""
    return _is_token(value) is not None


def get_all(headers: RawHeaders, name: bytes) -> list[bytes]:
    """Return the values of all lines called ``name``, in order.

    Args:
        headers: the header lines, names in any case.
        name: the name to look for, in lower case.
    """
    return [value for key, value in headers if key.lower() == name]


def collect(headers: RawHeaders, names: frozenset[bytes]) -> dict[bytes, list[bytes]]:
    """Return the values of all lines whose name is among ``names``, by name, each in order, in one pass.

    Args:
        headers: the header lines, names in any case.
        names: the names to look for, in lower case.
    """
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        name = name.lower()
        if name in names:
            if name in fields:
                fields[name].append(value)
            else:
                fields[name] = [value]
    return fields


def parse_list(lines: Iterable[bytes]) -> list[str]:
    """Return the elements of a list field (RFC 9110 section 5.6.1) over all its lines.

    Commas inside quoted strings do not separate; quotes stay in the elements. White space around elements and
    empty elements are dropped, as section 5.6.1.2 asks of recipients. Bytes are read as ISO-8859-1.

    Args:
        lines: the values of the field's lines, in order.

    Raises:
        FieldTooLargeError: the lines are longer than `MAX_LIST_SIZE`.
        HeaderError: a quoted string has no end, or a value contains a control character.
    """
    elements: list[str] = []
    size = 0
    for line in lines:
        size += len(line)
        if size > MAX_LIST_SIZE:
            raise FieldTooLargeError(f"a header field is longer than {MAX_LIST_SIZE} bytes")
        text = line.decode("latin-1")
        if _find_control(text):
            raise HeaderError("a header field contains a control character")
        pieces = _split_quoted(text) if '"' in text else text.split(",")
        elements += [element for piece in pieces if (element := piece.strip(OWS))]
    return elements


def parse_tokens(lines: Iterable[bytes]) -> list[str]:
    """Return the elements of a list field whose elements are tokens, such as ``Connection``.

    Args:
        lines: the values of the field's lines, in order.

    Raises:
        HeaderError: as `parse_list`, or an element is not a token.
    """
    elements = parse_list(lines)
    for element in elements:
        if not _is_token(element):
            raise HeaderError("a header field that lists tokens contains something else")
    return elements


def parse_extensions(lines: Iterable[bytes]) -> list[ExtensionOffer]:
    """Return the offers of a ``Sec-WebSocket-Extensions`` field (RFC 6455 section 9.1) over all its lines.

    Args:
        lines: the values of the field's lines, in order.

    Raises:
        HeaderError: as `parse_list`, or an element is not an extension with parameters, or a quoted value is not a
            token once unquoted.
    """
    return [
        (_parse_known_extension if len(element) <= _REMEMBERED_LENGTH else _parse_extension)(element)
        for element in parse_list(lines)
    ]


def parse_host(value: bytes) -> tuple[str, int | None]:
    """Return host and port of a ``Host`` value or of the authority in an origin (RFC 9110 section 7.2).

    The host is in lower case; an IPv6 address is in its shortest form, in square brackets. The port is ``None``
    where the value has none.

    Args:
        value: ``host [":" port]`` without user information.

    Raises:
        HeaderError: the value has another form, or the port is above 65535.
    """
    return (_parse_known_host if len(value) <= _REMEMBERED_LENGTH else _parse_host)(value)


def check_response_headers(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Return outgoing header lines, checked so that none can break out of its line (RFC 9110 section 5.5).

    Names come back in lower case, values without white space around them.

    Args:
        headers: pairs of byte strings.

    Raises:
        ValueError: a name is not a token, or a value contains a control character other than the tab. Names the header.
        TypeError: a name or a value is not a byte string. Names the header.
    """
    pairs = [*headers]
    checked = _check_usual(pairs)
    if checked is not None:
        return checked
    # Nearly all are right, and one look at all of them together is faster. None of them has a NUL.
    parts = [*chain.from_iterable(pairs)]
    if set(map(type, parts)) == {bytes} and _are_fields(b"\0".join(parts)):
        return [(name.lower(), value.strip(b" \t")) for name, value in pairs]
    return _check_each(pairs)


def _check_usual(pairs: Iterable[tuple[object, object]]) -> list[tuple[bytes, bytes]] | None:
    """Check usual names and printable values, which is what most responses have. ``None``: there is something else."""
    checked: list[tuple[bytes, bytes]] = []
    for name, value in pairs:
        if type(name) is not bytes or name not in _USUAL_NAMES or type(value) is not bytes:
            return None
        # Printable ASCII is all that a value may have but tabs and bytes above it.
        if not (value.isascii() and value.decode("ascii").isprintable()):
            return None
        checked.append((name, value.strip(b" ")))
    return checked


def _check_each(headers: Iterable[tuple[object, object]]) -> list[tuple[bytes, bytes]]:
    checked: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"header {name!r}: name and value must be byte strings")
        if not _is_token_bytes(name):
            raise ValueError(f"header {name!r}: the name is not a token")
        if _find_control_bytes(value):
            raise ValueError(f"header {name!r}: the value contains a control character")
        checked.append((name.lower(), value.strip(b" \t")))
    return checked


def _split_quoted(text: str) -> list[str]:
    """Split at commas outside quoted strings, in linear time."""
    elements: list[str] = []
    start = 0
    for match in _find_list_pieces(text):
        piece = match[0]
        if piece == ",":
            elements.append(text[start : match.start()])
            start = match.end()
        elif piece == '"':
            raise HeaderError("a quoted string in a header field has no end")
    elements.append(text[start:])
    return elements


def _parse_extension(element: str) -> ExtensionOffer:
    match = _match_token(element)
    if match is None:
        raise HeaderError("an extension has no name")
    name, end = match[0], match.end()
    parameters: list[tuple[str, str | None]] = []
    while end < len(element):
        match = _match_parameter(element, end)
        if match is None:
            raise HeaderError("an extension's parameters are malformed")
        parameter, value, quoted = match.groups()
        if quoted is not None:
            value = _replace_quoted_pairs(r"\1", quoted[1:-1])
            if not _is_token(value):
                # RFC 6455 section 9.1: after unquoting, the value must still be a token.
                raise HeaderError("a quoted extension parameter is not a token")
        parameters.append((parameter, value))
        end = match.end()
    return ExtensionOffer(name, tuple(parameters))


def _parse_host(value: bytes) -> tuple[str, int | None]:
    match = _match_host(value)
    if match is None:
        raise HeaderError("the host is malformed")
    address, name, digits = match.groups()
    port = int(digits) if digits else None
    if port is not None and port > 65535:
        raise HeaderError("the port is above 65535")
    if address is None:
        return name.decode("ascii").lower(), port
    try:
        return f"[{IPv6Address(address.decode('ascii')).compressed}]", port
    except AddressValueError:
        raise HeaderError("the host is not a valid IPv6 address") from None


_parse_known_extension = lru_cache(maxsize=64)(_parse_extension)
_parse_known_host = lru_cache(maxsize=256)(_parse_host)
