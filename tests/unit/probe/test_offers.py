"""The requests that a server is asked with."""

from __future__ import annotations

import base64

import h11
import pytest
from websockets.utils import accept_key

from asgi_upgrade.probe.exchange import Target
from asgi_upgrade.probe.offers import ACCEPT, requests

TARGET = Target("192.0.2.1", 8000, "/chat?room=1", False, "example.com:8000")
EACH = {"host": "example.com:8000", "user-agent": "asgi-upgrade-probe"}
WEBSOCKET = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": base64.b64encode(b"asgi-upgrade-key").decode(),
    "sec-websocket-version": "13",
}
H2C = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
BODY = {"content-length": "5"}
EXPECTED: dict[str, tuple[dict[str, str], bytes, bytes]] = {
    "plain": ({}, b"", b"1.1"),
    "websocket": (WEBSOCKET, b"", b"1.1"),
    "foreign origin": ({**WEBSOCKET, "origin": "https://foreign.example"}, b"", b"1.1"),
    "wrong version": ({**WEBSOCKET, "sec-websocket-version": "12"}, b"", b"1.1"),
    "body": (BODY, b"hello", b"1.1"),
    "h2c with a body": ({**H2C, **BODY}, b"hello", b"1.1"),
    "unknown protocol": ({"connection": "Upgrade", "upgrade": "example-unknown/1"}, b"", b"1.1"),
    "HTTP/1.0": (WEBSOCKET, b"", b"1.0"),
}


def test_each_kind_of_offer_is_tried() -> None:
    assert list(requests(TARGET)) == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("added", [[], [("Cookie", "session=1"), ("X-Name", "\xe4")]])
def test_a_request_is_whole_and_offers_what_its_name_says(name: str, added: list[tuple[str, str]]) -> None:
    fields, body, version = EXPECTED[name]
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(requests(TARGET, added)[name])
    request, content = reader.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := reader.next_event(), h11.Data):
        content += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert reader.trailing_data[0] == b""
    assert (request.method, request.target, request.http_version) == (b"GET", b"/chat?room=1", version)
    found = [(name.decode(), value.decode("latin-1")) for name, value in request.headers]
    assert dict(found) == {**EACH, **{name.lower(): value for name, value in added}, **fields}
    assert len(found) == len(dict(found))
    assert content == body


def test_the_answer_to_the_key() -> None:
    assert accept_key(WEBSOCKET["sec-websocket-key"]) == ACCEPT
