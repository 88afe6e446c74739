import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_upgrade.http.offer import OfferedProtocol, UpgradeOffer, has_upgrade, may_upgrade

Headers = list[tuple[bytes, bytes]]

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789abcXYZ"
TOKENS = st.text(TOKEN_CHARACTERS, min_size=1, max_size=8)
PROTOCOLS = st.builds(OfferedProtocol, TOKENS, st.none() | TOKENS)
# Fragments from which fuzzing builds fields that are nearly right.
FRAGMENTS = st.lists(
    st.sampled_from(
        [b"upgrade", b"UPGRADE", b"websocket", b"foo/2", b",", b" ", b"\t", b"/", b'"', b"\\", b"\xe4", b"\x00"]
    )
).map(b"".join)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"upgrade", b"Upgrade", b"connection", b"CONNECTION", b"host"]) | st.binary(max_size=8),
        FRAGMENTS | st.binary(),
    ),
    max_size=6,
)


def make_scope(headers: Headers, **changes: Any) -> dict[str, Any]:
    return {"type": "http", "http_version": "1.1", "method": "GET", "headers": headers, **changes}


def read_offer(headers: Headers, **changes: Any) -> list[str] | None:
    offer = UpgradeOffer.from_scope(make_scope(headers, **changes))
    return None if offer is None else [str(protocol) for protocol in offer.protocols]


@pytest.mark.parametrize(
    ("headers", "protocols"),
    [
        ([(b"connection", b"upgrade"), (b"upgrade", b"websocket")], ["websocket"]),
        ([(b"Connection", b"UPGRADE"), (b"UPGRADE", b"WebSocket")], ["WebSocket"]),
        ([(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"websocket")], ["websocket"]),
        ([(b"connection", b",,keep-alive ,\tupgrade\t,"), (b"upgrade", b",websocket,,")], ["websocket"]),
        (
            [(b"connection", b"keep-alive"), (b"connection", b"upgrade"), (b"upgrade", b"websocket")],
            ["websocket"],
        ),
        (
            [(b"connection", b"upgrade"), (b"connection", b"HTTP2-Settings"), (b"upgrade", b"h2c")],
            ["h2c"],
        ),
        ([(b"connection", b"upgrade"), (b"upgrade", b"foo/2, foo/1"), (b"upgrade", b"bar")], ["foo/2", "foo/1", "bar"]),
        ([(b"upgrade", b"TLS/1.2, HTTP/1.1"), (b"connection", b"Upgrade")], ["TLS/1.2", "HTTP/1.1"]),
        ([(b"upgrade", b""), (b"connection", b"Upgrade"), (b"upgrade", b"tcp")], ["tcp"]),
        ([(b"upgrade", b"a, a"), (b"connection", b"Upgrade")], ["a", "a"]),
    ],
)
def test_an_offer_is_recognised(headers: Headers, protocols: list[str]) -> None:
    assert read_offer(headers) == protocols


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"host", b"x")],
        [(b"upgrade", b"websocket")],
        [(b"connection", b"upgrade")],
        [(b"connection", b"keep-alive"), (b"upgrade", b"websocket")],
        [(b"connection", b"upgrades"), (b"upgrade", b"websocket")],
        [(b"connection", b"x-upgrade"), (b"upgrade", b"websocket")],
        [(b"connection", b""), (b"upgrade", b"websocket")],
        [(b"connection", b"upgrade"), (b"upgrade", b"")],
        [(b"connection", b"upgrade"), (b"upgrade", b" , ,")],
        [(b"connection", b"upgrade"), (b"x-upgrade", b"websocket")],
        [(b"proxy-connection", b"upgrade"), (b"upgrade", b"websocket")],
    ],
)
def test_no_offer(headers: Headers) -> None:
    assert read_offer(headers) is None


@pytest.mark.parametrize(
    "value",
    [
        b"foo/",
        b"/1",
        b"/",
        b"foo/1/2",
        b"foo /1",
        b"foo/ 1",
        b"foo bar",
        b'"websocket"',
        b"websocket;x",
        b"websocket, foo/",
        b"web\x00socket",
        b"websocket\r\nx: y",
        b"\xffoo",
        b"foo/\xb2",
        b'"',
    ],
)
def test_a_malformed_upgrade_makes_no_offer(value: bytes) -> None:
    assert read_offer([(b"connection", b"upgrade"), (b"upgrade", value)]) is None
    assert read_offer([(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"upgrade", value)]) is None


@pytest.mark.parametrize(
    "value",
    [b'"upgrade"', b'"a,upgrade,b"', b"upgrade; x", b"upgrade, a b", b"upgrade, a/b", b'upgrade, "', b"upgrade\x00"],
)
def test_a_malformed_connection_makes_no_offer(value: bytes) -> None:
    assert read_offer([(b"connection", value), (b"upgrade", b"websocket")]) is None
    assert read_offer([(b"connection", b"upgrade"), (b"connection", value), (b"upgrade", b"websocket")]) is None


WEBSOCKET: Headers = [(b"connection", b"upgrade"), (b"upgrade", b"websocket")]


@pytest.mark.parametrize("version", ["1.0", "2", "2.0", "3", "0.9", "", None])
def test_only_http_1_1_can_offer(version: str | None) -> None:
    assert read_offer(WEBSOCKET, http_version=version) is None


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_only_an_http_scope_can_offer(kind: str) -> None:
    assert read_offer(WEBSOCKET, type=kind) is None
    assert UpgradeOffer.from_scope({"type": kind}) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PROPFIND"])
def test_every_method_can_offer(method: str) -> None:
    assert read_offer(WEBSOCKET, method=method) == ["websocket"]


def test_connect_makes_a_tunnel_and_offers_nothing() -> None:
    assert read_offer(WEBSOCKET, method="CONNECT") is None


def test_a_scope_without_headers_offers_nothing() -> None:
    assert UpgradeOffer.from_scope({"type": "http", "http_version": "1.1"}) is None


@pytest.mark.parametrize(
    ("offered", "protocol", "matches"),
    [
        (OfferedProtocol("websocket"), "websocket", True),
        (OfferedProtocol("WebSocket"), "websocket", True),
        (OfferedProtocol("websocket"), "WEBSOCKET", True),
        (OfferedProtocol("websocket"), "websocket/13", False),
        (OfferedProtocol("websocket", "13"), "websocket", False),
        (OfferedProtocol("websocket", "13"), "WebSocket/13", True),
        (OfferedProtocol("foo", "2"), "foo/2", True),
        (OfferedProtocol("foo", "2"), "foo/2.0", False),
        (OfferedProtocol("foo", "a"), "foo/A", False),
        (OfferedProtocol("foo", "2"), "foo/", False),
        (OfferedProtocol("foo"), "foo/", False),
        (OfferedProtocol("foo", "2"), "bar/2", False),
        (OfferedProtocol("foo"), "", False),
    ],
)
def test_matches(offered: OfferedProtocol, protocol: str, matches: bool) -> None:
    assert offered.matches(protocol) is matches


def test_find_returns_the_first_match() -> None:
    offer = UpgradeOffer((OfferedProtocol("foo", "2"), OfferedProtocol("Foo", "1"), OfferedProtocol("foo", "1")))
    assert offer.find("FOO/1") is offer.protocols[1]
    assert offer.find("foo/2") is offer.protocols[0]
    assert offer.find("foo") is None
    assert offer.find("foo/3") is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], False),
        (WEBSOCKET, True),
        ([(b"upgrade", b"h2c"), (b"connection", b"Upgrade, HTTP2-Settings")], True),
        ([(b"upgrade", b"h2c"), (b"connection", b"HTTP2-Settings,\tUPGRADE\t")], True),
        ([(b"connection", b"a"), (b"upgrade", b"x"), (b"connection", b"b,upgrade,c")], True),
        ([(b"connection", b"upgrade")], False),
        ([(b"upgrade", b"websocket")], False),
        ([(b"upgrade", b"websocket"), (b"connection", b"keep-alive")], False),
        ([(b"upgrade", b"websocket"), (b"connection", b"upgrades, x-upgrade, up grade")], False),
        ([(b"upgrade", b"websocket"), (b"x-connection", b"upgrade")], False),
    ],
)
def test_has_upgrade(headers: Headers, expected: bool) -> None:
    assert has_upgrade(headers) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], False),
        ([b"upgrade"], True),
        ([b"sec-websocket-key"], True),
        ([b"sec-websocket-version"], True),
        ([b"host", b"connection", b"upgrade", b"x"], True),
        ([b"upgrade-insecure-requests", b"user-agent", b"x-upgrade", b"connection"], False),
        ([b"sec-fetch-mode", b"sec-websockets", b"te"], False),
    ],
)
def test_may_upgrade(names: list[bytes], *, expected: bool) -> None:
    assert may_upgrade([(name, b"") for name in names]) is expected


@given(HEADERS, st.sampled_from(["1.0", "1.1", "2"]))
@settings(deadline=None, max_examples=500)
def test_no_bytes_make_it_raise(headers: Headers, version: str) -> None:
    offer = UpgradeOffer.from_scope(make_scope(headers, http_version=version))
    assert offer is None or (version == "1.1" and offer.protocols)
    lower_case = [(name.lower(), value) for name, value in headers]
    cheap = has_upgrade(lower_case)
    assert cheap or offer is None


@given(st.lists(st.lists(PROTOCOLS, min_size=1), min_size=1), st.lists(TOKENS), st.lists(TOKENS), st.booleans())
@settings(deadline=None)
def test_offers_survive_a_round_trip(
    lines: list[list[OfferedProtocol]], before: list[str], after: list[str], split: bool
) -> None:
    options = [*before, "uPgRaDe", *after]
    connection = options if split else [", ".join(options)]
    headers = [(b"upgrade", ", ".join(map(str, line)).encode()) for line in lines]
    headers += [(b"connection", value.encode()) for value in connection]
    offer = UpgradeOffer.from_scope(make_scope(headers))
    assert offer == UpgradeOffer(tuple(protocol for line in lines for protocol in line))
    assert has_upgrade(headers)
    for protocol in offer.protocols:
        found = offer.find(str(protocol))
        assert found is not None
        assert found.matches(str(protocol).swapcase()) == (protocol.version in {None, str(protocol.version).swapcase()})


@pytest.mark.parametrize(
    "value", [b"," * 65536, b", " * 32768, b" " * 65536, b"upgrade" + b" " * 65536 + b"x", b"upgrade " * 8192]
)
def test_the_cheap_check_takes_linear_time(value: bytes) -> None:
    start = time.process_time()
    assert not has_upgrade([(b"upgrade", b"x"), (b"connection", value)])
    assert time.process_time() - start < 1
