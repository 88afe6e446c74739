"""The fields of a 101: what the application needs stays as it is, and what middleware adds cannot hurt."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_upgrade.switching.fields import check_essential, fields_of_101, print_fields

Fields = list[tuple[bytes, bytes]]

CONNECTION = (b"connection", b"Upgrade")
ESSENTIAL: Fields = [(b"upgrade", b"websocket"), (b"sec-websocket-accept", b"x="), (b"sec-websocket-protocol", b"chat")]


def test_what_an_application_announces_is_in_lower_case() -> None:
    assert check_essential([(b"Upgrade", b" foo "), (b"X-A", b"1")]) == [(b"upgrade", b"foo"), (b"x-a", b"1")]


@pytest.mark.parametrize("headers", [[], [(b"x-upgrade", b"foo")], [(b"connection", b"upgrade")]])
def test_an_announcement_names_its_protocol(headers: Fields) -> None:
    with pytest.raises(ValueError, match=r"^the headers must name the protocol to switch to, in upgrade "):
        check_essential(headers)


def test_an_announcement_cannot_break_the_response() -> None:
    with pytest.raises(ValueError, match="control character"):
        check_essential([(b"upgrade", b"foo\r\nx: y")])


@pytest.mark.parametrize(
    ("essential", "sent", "added"),
    [
        (ESSENTIAL, [], []),
        (ESSENTIAL, ESSENTIAL, []),
        (ESSENTIAL, [*ESSENTIAL, (b"Set-Cookie", b" a=1 "), (b"set-cookie", b"b=2")], [b"a=1", b"b=2"]),
        (ESSENTIAL, [(b"x-first", b"1"), *ESSENTIAL, (b"x-last", b"2")], [b"1", b"2"]),
        (ESSENTIAL, [*reversed(ESSENTIAL), (b"x", b"1")], [b"1"]),
        # Nobody changes what is essential, or adds to it.
        (
            ESSENTIAL,
            [(b"Upgrade", b"h2c"), (b"upgrade", b"h2c"), (b"sec-websocket-accept", b"y"), (b"x", b"1")],
            [b"1"],
        ),
        (ESSENTIAL, [(b"sec-websocket-extensions", b"foo"), (b"Sec-WebSocket-Version", b"8")], []),
        (
            [(b"upgrade", b"foo"), (b"x-token", b"1")],
            [(b"x-token", b"2"), (b"X-Token", b"3"), (b"x-other", b"4")],
            [b"4"],
        ),
        # What is about a body or a connection has no place in a 101.
        (
            ESSENTIAL,
            [
                (b"content-length", b"0"),
                (b"Content-Type", b"text/plain"),
                (b"transfer-encoding", b"chunked"),
                (b"Trailer", b"x"),
                (b"content-encoding", b"gzip"),
                (b"etag", b'"1"'),
                (b"connection", b"close"),
                (b"Connection", b"close"),
                (b"keep-alive", b"timeout=5"),
                (b"x", b"1"),
            ],
            [b"1"],
        ),
        ([(b"connection", b"close"), *ESSENTIAL], [], []),
        # Middleware may have made lists of the pairs.
        (ESSENTIAL, [[*field] for field in (*ESSENTIAL, (b"x", b"1"))], [b"1"]),
    ],
)
def test_a_101_has_what_is_essential_and_what_was_added(essential: Fields, sent: Any, added: list[bytes]) -> None:
    fields = fields_of_101(essential, iter(sent))
    kept = [CONNECTION, *(field for field in essential if field[0] != b"connection")]
    assert fields[: len(kept)] == kept
    assert [value for _, value in fields[len(kept) :]] == added
    assert all(name == name.lower() for name, _ in fields)


@pytest.mark.parametrize("field", [(b"x", b"a\nb"), (b"a b", b"1"), (b"x\0", b"1")])
def test_what_was_added_cannot_break_the_response(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        fields_of_101(ESSENTIAL, [*ESSENTIAL, field])


def test_the_names_of_the_handshake_are_printed_as_in_their_rfcs() -> None:
    names = [b"Connection", b"Upgrade", b"Sec-WebSocket-Accept", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions"]
    fields = [(name.lower(), b"%d" % number) for number, name in enumerate(names)]
    assert print_fields([*fields, (b"x-own", b"x")]) == [
        *((name, b"%d" % number) for number, name in enumerate(names)),
        (b"x-own", b"x"),
    ]
