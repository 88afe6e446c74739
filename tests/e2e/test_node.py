"""Node: the package `ws`, undici's WebSocket, and the HTTP client that comes with Node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.websocket.deflate import PerMessageDeflate
from tests.e2e.support.bodies import header

if TYPE_CHECKING:
    from tests.e2e.support.node import Node
    from tests.server.support.process import Server

CLIENT_BITS = f"client_max_window_bits={PerMessageDeflate().client_max_window_bits}"

LONG: dict[str, Any] = {"repeat": "All work and no play makes Jack a dull boy. ", "times": 10_000}
LONG_TEXT = LONG["repeat"] * LONG["times"]
WHOLE_BYTES = {"hex": bytes(range(256)).hex()}

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
H2C = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"}


def test_ws_echoes_text_fragments_bytes_and_pings(node: Node, server: Server) -> None:
    result = node.ws(
        server.url("ws", "/echo"),
        protocols=["unknown.v1", "configured.v1"],
        send=["grüße", LONG, {"parts": ["one ", "two ", "three"]}, WHOLE_BYTES, "", "ping", "after"],
        close=[4001, "enough"],
    )
    assert result["answers"] == [
        "grüße", LONG_TEXT, "one two three", WHOLE_BYTES, "", "pong are you there?", "after",
    ]  # fmt: skip
    assert result["protocol"] == "configured.v1"
    assert result["extensions"] == "permessage-deflate"
    assert result["headers"]["x-guard"] == "passed"
    assert [name.lower() for name in result["rawHeaders"][::2]].count("sec-websocket-accept") == 1
    assert result["closed"] == [4001, ""]
    assert "error" not in result
    server.log.search("closed 4001 enough")


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        (False, None),
        ({"threshold": 0}, {CLIENT_BITS}),
        ({"serverNoContextTakeover": True, "threshold": 0}, {"server_no_context_takeover", CLIENT_BITS}),
        ({"clientNoContextTakeover": True, "threshold": 0}, {"client_no_context_takeover", CLIENT_BITS}),
        ({"serverMaxWindowBits": 9, "threshold": 0}, {"server_max_window_bits=9", CLIENT_BITS}),
        ({"clientMaxWindowBits": 9, "threshold": 0}, {"client_max_window_bits=9"}),
        ({"clientMaxWindowBits": False, "threshold": 0}, set()),
    ],
    ids=str,
)
def test_ws_compresses_as_agreed(node: Node, one_server: Server, offer: Any, agreed: set[str] | None) -> None:
    result = node.ws(
        one_server.url("ws", "/echo"),
        options={"perMessageDeflate": offer},
        send=["a", LONG, LONG, WHOLE_BYTES, {"parts": ["one ", "two ", "three"]}],
        close=[1000, ""],
    )
    assert result["answers"] == ["a", LONG_TEXT, LONG_TEXT, WHOLE_BYTES, "one two three"]
    assert result["closed"] == [1000, ""]
    header = result["headers"].get("sec-websocket-extensions")
    if agreed is None:
        assert header is None
    else:
        name, *parameters = header.split("; ")
        assert (name, set(parameters)) == ("permessage-deflate", agreed)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "going"), (3000, "enough"), (4999, "grüße")])
def test_ws_is_told_why_the_application_closes(node: Node, one_server: Server, code: int, reason: str) -> None:
    result = node.ws(one_server.url("ws", f"/close/{code}?reason={reason}"))
    assert result["closed"] == [code, reason]


def test_ws_sees_the_status_and_the_text_of_a_refusal(node: Node, server: Server) -> None:
    result = node.ws(server.url("ws", "/members"))
    assert (result["refused"], result["body"]) == (401, "members only\n")


def test_ws_is_refused_with_the_origin_of_another_site(node: Node, server: Server) -> None:
    result = node.ws(server.url("ws", "/echo"), options={"origin": "http://elsewhere.example"})
    assert result["refused"] == 403
    assert len(result["body"].splitlines()) == 1


def test_undici_echoes(node: Node, server: Server) -> None:
    result = node.undici(
        server.url("ws", "/echo"),
        protocols=["configured.v1"],
        send=["grüße", WHOLE_BYTES, "after" * 1000],
        close=[4001, "enough"],
    )
    assert result["answers"] == ["grüße", WHOLE_BYTES, "after" * 1000]
    assert result["protocol"] == "configured.v1"
    assert result["extensions"].startswith("permessage-deflate")
    assert result["closed"] == [4001, "", True]
    assert "error" not in result
    server.log.search("closed 4001 enough")


def test_http_reads_refusals_pages_and_the_101_on_one_connection(node: Node, server: Server) -> None:
    url = server.url("http", "")
    answers = node.http(
        {"url": f"{url}/members", "headers": HANDSHAKE},
        {"url": f"{url}/echo", "headers": {**HANDSHAKE, "Sec-WebSocket-Version": "12"}},
        {"url": f"{url}/closed", "headers": HANDSHAKE},
        {"url": f"{url}/request", "headers": {"Connection": "Upgrade", "Upgrade": "example/1"}},
        {"url": f"{url}/request", "method": "POST", "headers": H2C, "body": "hello"},
        {"url": f"{url}/request", "method": "POST", "headers": H2C, "body": ["hello ", "world"]},
        {"url": f"{url}/only"},
        {"url": f"{url}/echo", "headers": HANDSHAKE},
    )
    assert len({answer["port"] for answer in answers}) == 1
    refused, early, closed, found, posted, chunked, only, upgraded = answers
    assert (refused["status"], refused["body"]) == (401, "members only\n")
    assert (early["status"], early["headers"]["sec-websocket-version"]) == (426, "13")
    assert closed["status"] == 403
    assert (found["status"], header(json.loads(found["body"]), "upgrade")) == (200, "example/1")
    assert json.loads(posted["body"])["length"] == len("hello")
    assert json.loads(chunked["body"])["length"] == len("hello world")
    assert (only["status"], only["headers"]["upgrade"]) == (426, "websocket")
    assert (upgraded["event"], upgraded["status"], upgraded["reason"]) == ("upgrade", 101, "Switching Protocols")
    assert upgraded["headers"]["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert upgraded["headers"]["x-guard"] == "passed"
