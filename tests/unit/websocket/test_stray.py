"""Handshakes from which a proxy has taken what belongs to its hop."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.websocket import stray

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
VERSION = (b"sec-websocket-version", b"13")
UPGRADE = (b"upgrade", b"websocket")
CONNECTION = (b"connection", b"keep-alive, Upgrade")


@pytest.fixture(autouse=True)
def nothing_reported() -> Iterator[None]:
    stray._reported.clear()
    yield
    stray._reported.clear()


def report(*headers: tuple[bytes, bytes], path: str = "/chat", version: str = "1.1") -> None:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "query_string": b"a=b"}
    stray.report_stray_handshake({**scope, "http_version": version, "headers": [(b"host", b"example"), *headers]})


@pytest.mark.parametrize(
    ("headers", "version", "missing"),
    [
        ([KEY, VERSION], "1.1", "lacks the field Upgrade: websocket"),
        ([KEY], "1.1", "lacks the field Upgrade: websocket"),
        ([VERSION, (b"connection", b"close")], "1.1", "lacks the field Upgrade: websocket"),
        ([KEY, VERSION, CONNECTION], "1.1", "lacks the field Upgrade: websocket"),
        ([KEY, VERSION, UPGRADE], "1.1", "lacks the field Connection: Upgrade"),
        ([KEY, VERSION, UPGRADE, (b"connection", b"close")], "1.1", "lacks the field Connection: Upgrade"),
        ([KEY, VERSION], "1.0", "comes in HTTP/1.0"),
        ([KEY, VERSION, UPGRADE, CONNECTION], "1.0", "comes in HTTP/1.0"),
    ],
)
def test_what_is_missing_is_said_once_for_each_path_with_the_cure(
    headers: Any, version: str, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    for path in ("/chat", "/chat", "/other"):
        report(*headers, path=path, version=version)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    for record, path in zip(caplog.records, ("/chat", "/other"), strict=True):
        message = record.getMessage()
        assert message.startswith(f"GET {path}?a=b HTTP/{version} has fields of a WebSocket handshake, but {missing}")
        assert "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;" in message


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ([], "1.1"),
        ([], "1.0"),
        ([UPGRADE, CONNECTION], "1.1"),
        ([KEY, VERSION, UPGRADE, CONNECTION], "1.1"),
        ([KEY, VERSION, (b"upgrade", b"h2c"), CONNECTION], "1.1"),
        ([KEY, VERSION, UPGRADE, (b"connection", b"keep-alive, UPGRADE")], "1.1"),
        ([KEY, VERSION, UPGRADE, (b"connection", b"upgrade, a b")], "1.1"),  # malformed, by the client
        ([KEY, VERSION], "2"),
        ([(b"sec-websocket-protocol", b"chat")], "1.1"),
    ],
)
def test_about_other_requests_nothing_is_said(headers: Any, version: str, caplog: pytest.LogCaptureFixture) -> None:
    report(*headers, version=version)
    assert not caplog.records


def test_clients_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    for number in range(1000):
        report(KEY, path=f"/{number}/" + "x" * 10_000)
    assert len(caplog.records) == 64
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


def test_what_a_client_wrote_stays_in_its_line(caplog: pytest.LogCaptureFixture) -> None:
    report(KEY, path="/a\r\nERROR forged\x1b[31m\udcff")
    (record,) = caplog.records
    assert record.getMessage().isprintable()
