"""Who offers HTTP/2, who may have it, and what makes the settings invalid."""

from __future__ import annotations

import base64
import struct
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_upgrade import H2CSettings, UpgradeMiddleware
from asgi_upgrade.http2.offer import read_offer
from asgi_upgrade.http2.settings import check_h2c

CONNECTION = (b"connection", b"Upgrade, HTTP2-Settings")
UPGRADE = (b"upgrade", b"h2c")
JAVA = base64.b64decode("AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAA")


def scope(*headers: tuple[bytes, bytes], **changes: Any) -> dict[str, Any]:
    return {"type": "http", "http_version": "1.1", "scheme": "http", "method": "GET", "headers": headers, **changes}


def settings(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">HL", *pair) for pair in pairs)


def encode(payload: bytes) -> tuple[bytes, bytes]:
    return (b"http2-settings", base64.urlsafe_b64encode(payload).rstrip(b"="))


@pytest.mark.parametrize(
    "headers",
    [
        [CONNECTION, UPGRADE, encode(JAVA)],
        [
            (b"connection", b"http2-settings"),
            (b"connection", b"keep-alive, UPGRADE"),
            (b"upgrade", b"H2C"),
            encode(JAVA),
        ],
        [CONNECTION, (b"upgrade", b"TLS/1.2, h2c, websocket"), encode(JAVA)],
        [CONNECTION, UPGRADE, (b"HTTP2-Settings", b" " + base64.urlsafe_b64encode(JAVA) + b"\t")],
        # Padding has no place there, and clients send it.
        [CONNECTION, UPGRADE, (b"http2-settings", base64.urlsafe_b64encode(JAVA) + b"=")],
        [CONNECTION, UPGRADE, (b"http2-settings", base64.urlsafe_b64encode(JAVA) + b"==")],
    ],
)
def test_an_offer_is_recognised(headers: list[tuple[bytes, bytes]]) -> None:
    assert read_offer(scope(*headers)) == JAVA


def test_a_scope_without_a_scheme_is_one_of_http() -> None:
    request = scope(CONNECTION, UPGRADE, encode(JAVA))
    del request["scheme"]
    assert read_offer(request) == JAVA


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [(0x1, 0), (0x1, 2**32 - 1)],
        [(0x2, 0), (0x2, 1)],
        [(0x3, 0), (0x3, 2**32 - 1)],
        [(0x4, 0), (0x4, 2**31 - 1)],
        [(0x5, 2**14), (0x5, 2**24 - 1)],
        [(0x8, 1)],
        [(0xFFFF, 2**32 - 1)],
    ],
)
def test_valid_settings(pairs: list[tuple[int, int]]) -> None:
    assert read_offer(scope(CONNECTION, UPGRADE, encode(settings(*pairs)))) == settings(*pairs)


def test_more_settings_than_anybody_has_are_no_offer() -> None:
    many = settings(*[(0x4, 65535)] * 64)
    assert read_offer(scope(CONNECTION, UPGRADE, encode(many))) == many
    assert read_offer(scope(CONNECTION, UPGRADE, encode(many + settings((0x4, 65535))))) is None


@pytest.mark.parametrize("pair", [(0x2, 2), (0x4, 2**31), (0x5, 2**14 - 1), (0x5, 2**24), (0x8, 2)])
def test_settings_that_would_end_a_connection_do_not_begin_one(pair: tuple[int, int]) -> None:
    assert read_offer(scope(CONNECTION, UPGRADE, encode(settings((0x3, 100), pair)))) is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [UPGRADE, encode(b"")],
        [CONNECTION, encode(b"")],
        [CONNECTION, UPGRADE],
        [CONNECTION, UPGRADE, encode(b""), encode(b"")],
        [(b"connection", b"Upgrade"), UPGRADE, encode(b"")],
        [(b"connection", b"HTTP2-Settings"), UPGRADE, encode(b"")],
        [CONNECTION, (b"upgrade", b"h2"), encode(b"")],
        [CONNECTION, (b"upgrade", b"h2c/2"), encode(b"")],
        [CONNECTION, (b"upgrade", b"websocket, h2c"), encode(b"")],
        [CONNECTION, UPGRADE, (b"http2-settings", b"AAMAAABk, AAMAAABk")],
        [CONNECTION, UPGRADE, (b"http2-settings", b"AAMAAABk===")],
        [CONNECTION, UPGRADE, (b"http2-settings", b"AAM+AAB/")],
        [CONNECTION, UPGRADE, (b"http2-settings", b"AAMAA")],
        [CONNECTION, UPGRADE, (b"http2-settings", b"XAAMAAABk")],
        [CONNECTION, UPGRADE, (b"http2-settings", b"\x0cAAMAAABk")],
        [CONNECTION, UPGRADE, encode(b"\0\3\0\0\0\0\0")],
    ],
)
def test_no_offer(headers: list[tuple[bytes, bytes]]) -> None:
    assert read_offer(scope(*headers)) is None


@pytest.mark.parametrize(
    "changes",
    [{"scheme": "https"}, {"http_version": "1.0"}, {"http_version": "2"}, {"type": "websocket"}, {"method": "CONNECT"}],
)
def test_requests_that_cannot_offer_it(changes: dict[str, Any]) -> None:
    assert read_offer(scope(CONNECTION, UPGRADE, encode(b""), **changes)) is None


@given(value=st.binary(max_size=40) | st.text("AQgw-_=/+ ,", max_size=20).map(str.encode))
def test_whatever_the_field_says_the_answer_is_settings_or_none(value: bytes) -> None:
    payload = read_offer(scope(CONNECTION, UPGRADE, (b"http2-settings", value)))
    assert payload is None or len(payload) % 6 == 0


# Who may have it


@pytest.mark.parametrize(
    ("networks", "client", "admitted"),
    [
        (None, ("203.0.113.9", 1), True),
        (None, None, True),
        (["10.0.0.0/8"], ("10.1.2.3", 1), True),
        (["10.0.0.0/8"], ("11.1.2.3", 1), False),
        (["10.0.0.0/8"], ("::ffff:10.1.2.3", 1), True),
        (["10.0.0.0/8"], ("10.1.2.3", 0), True),
        (["unix", "10.0.0.0/8"], ("10.1.2.3", 1), True),
        (["10.0.0.0/8"], None, False),
        (["10.0.0.0/8"], ("testclient", 1), False),
        (["::1", "192.0.2.1"], ("192.0.2.1", 1), True),
        (["::1", "192.0.2.1"], ("::1", 1), True),
        (["::1", "192.0.2.1"], ("::2", 1), False),
        (["unix"], None, True),
        (["unix"], ("", 0), True),
        (["unix"], ("127.0.0.1", 1), False),
    ],
)
def test_networks(networks: list[str] | None, client: tuple[str, int] | None, admitted: bool) -> None:
    assert H2CSettings(networks).admits(client) is admitted


def test_what_the_argument_means() -> None:
    assert check_h2c(None) is None
    own = H2CSettings(idle_timeout=5)
    assert check_h2c(own) is own


@pytest.mark.parametrize("h2c", [True, False, ["10.0.0.0/8"], "10.0.0.0/8", 1])
def test_other_arguments_are_refused(h2c: Any) -> None:
    with pytest.raises(ValueError, match=r"^h2c must be H2CSettings or None, not "):
        UpgradeMiddleware(_nothing, h2c=h2c)


@pytest.mark.parametrize("networks", ["10.0.0.0/8", [], [1], 1, True, b"::1"])
def test_what_is_no_list_of_networks_is_refused(networks: Any) -> None:
    with pytest.raises(ValueError, match=r"^H2CSettings\.networks must be a list of networks such as "):
        H2CSettings(networks=networks)


@pytest.mark.parametrize("network", ["10.0.0.1/8", "nonsense"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=rf"^H2CSettings\.networks: '{network}' is no address or network: "):
        H2CSettings(networks=["::1", network])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_concurrent_streams", 0),
        ("max_concurrent_streams", 2**31),
        ("max_header_size", True),
        ("max_header_size", 2**31),
        ("write_buffer_size", 2**31),
        ("read_buffer_size", 1.5),
        ("idle_timeout", None),
        ("idle_timeout", 0),
        ("ping_interval", float("inf")),
        ("write_timeout", -1),
        ("open_timeout", "1"),
        ("close_timeout", 0),
        ("ping_timeout", 0),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        H2CSettings(**{name: value})


def test_windows_must_fit_into_the_one_of_the_connection() -> None:
    with pytest.raises(ValueError, match="read_buffer_size"):
        H2CSettings(max_concurrent_streams=2**15, read_buffer_size=2**16)
    H2CSettings(max_concurrent_streams=2**15 - 1, read_buffer_size=2**16)


def test_sizes_may_be_as_large_as_http2_allows() -> None:
    H2CSettings(max_header_size=2**31 - 1, write_buffer_size=2**31 - 1)


def test_times_that_may_be_left_out() -> None:
    H2CSettings(ping_interval=None, ping_timeout=None, write_timeout=None)


def test_a_missing_library_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h2", None)
    with pytest.raises(ValueError, match=r"pip install 'asgi-upgrade\[h2\]'"):
        UpgradeMiddleware(_nothing, h2c=H2CSettings())
    UpgradeMiddleware(_nothing)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    pass
