"""The fields of a 101: those that the new protocol needs, and those that middleware has added."""

from __future__ import annotations

from collections.abc import Iterable

from asgi_upgrade.http.fields import NOT_IN_101
from asgi_upgrade.http.headers import check_response_headers

__all__ = ["check_essential", "fields_of_101", "print_fields"]

# RFC 6455 §4.2.2 and RFC 9110 print them so. Names have no case, but some clients look for these in a plain dict.
_PRINTED = {
    b"connection": b"Connection",
    b"content-type": b"Content-Type",
    b"sec-websocket-accept": b"Sec-WebSocket-Accept",
    b"sec-websocket-extensions": b"Sec-WebSocket-Extensions",
    b"sec-websocket-protocol": b"Sec-WebSocket-Protocol",
    b"upgrade": b"Upgrade",
}


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
    sent = [*headers]
    if sent[: len(essential)] == essential:
        sent = sent[len(essential) :]
    added = [field for field in sent if field[0] not in NOT_IN_101 and tuple(field) not in essential]
    if added:
        fixed = {name for name, _ in essential} | NOT_IN_101
        added = check_response_headers([field for field in added if field[0].lower() not in fixed])
        fields += [field for field in added if not field[0].startswith(b"sec-websocket-")]
    return fields


def print_fields(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a 101 as HTTP/1.1 shall carry them: the handshake's names as their RFCs print them.

    Args:
        fields: What `fields_of_101` has returned. Fields that the application has added keep their names.
    """
    return [(_PRINTED.get(name, name), value) for name, value in fields]
