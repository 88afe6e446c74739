"""Whether a request that offers an upgrade has a body to wait for, and which scheme a proxy has named."""

from __future__ import annotations

import pytest

from asgi_upgrade.switching.request import has_body, name_http_schemes


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], False),
        ([(b"host", b"1")], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b" 00\t")], False),
        ([(b"content-length", b"X0")], True),  # not for us to judge
        ([(b"content-length", b"10")], True),
        ([(b"content-length", b"5"), (b"content-length", b"0")], True),
        ([(b"content-length", b"0"), (b"host", b"1"), (b"content-length", b"5")], True),
        ([(b"transfer-encoding", b"chunked")], True),
        ([(b"transfer-encoding", b"chunked"), (b"content-length", b"0")], True),
        ([(b"content-type", b"text/plain"), (b"x-content-length", b"5"), (b"te", b"trailers")], False),
        ([(b"host", b"1"), (b"content-length", b"0")], False),
    ],
)
def test_has_body(fields: list[tuple[bytes, bytes]], *, expected: bool) -> None:
    assert has_body(fields) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([b"https"], [b"https"]),
        ([b"wss"], [b"https"]),
        ([b"ws"], [b"http"]),
        ([b" wss\t"], [b"https"]),
        ([b"http", b"wss"], [b"http", b"https"]),
        ([b"wss, http"], [b"wss, http"]),  # a list is taken for a scheme by nobody
        ([b"WSS"], [b"WSS"]),
        ([b"Xwss"], [b"Xwss"]),
        ([b"\x0bwss"], [b"\x0bwss"]),
    ],
)
def test_schemes_of_websocket_are_named_as_http(given: list[bytes], expected: list[bytes]) -> None:
    fields = [(b"host", b"wss"), *((b"x-forwarded-proto", value) for value in given), (b"x-other", b"ws")]
    before = list(fields)
    named = name_http_schemes(fields)
    assert [name for name, _ in named] == [name for name, _ in before]
    assert [value for name, value in named if name == b"x-forwarded-proto"] == expected
    assert [named[0], named[-1]] == [before[0], before[-1]]
    assert fields == before


def test_fields_without_a_scheme_are_not_copied() -> None:
    fields = [(b"host", b"example.com")]
    assert name_http_schemes(fields) is fields
