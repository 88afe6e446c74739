"""curl, which offers h2c with `--http2`, and opens a WebSocket by hand as people do to try one."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.bodies import assert_whole, body, header
from tests.e2e.support.tools import run
from tests.server.support.websocket import ACCEPT, KEY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.support.process import Server

BODY = body(300_000)
WEBSOCKET = ("-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13")
TIMED_OUT = 28


def curl(*arguments: str, **options: Any) -> str:
    return run("curl", "--silent", "--show-error", "--max-time", "10", *arguments, **options)


def described(output: str) -> list[Any]:
    """What the application said of each request, one line each."""
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curl") / "body"
    path.write_bytes(BODY)
    return path


def test_pages_come_on_one_connection_though_each_request_makes_an_offer(server: Server) -> None:
    url = server.url("http", "/request")
    answers = described(curl("--http2", "--write-out", "\n", url, url, url))
    assert len(answers) == 3
    assert header(answers[0], "upgrade") == "h2c"
    assert len({answer["client"] for answer in answers}) == 1


def test_bodies_of_known_length_arrive_whole(server: Server, file: Path) -> None:
    url = server.url("http", "/request")
    answers = described(curl("--http2", "--data-binary", f"@{file}", "--write-out", "\n", url, url))
    assert len(answers) == 2
    for answer in answers:
        assert header(answer, "upgrade") == "h2c"
        assert header(answer, "content-length") == str(len(BODY))
        assert_whole(answer, BODY)
    assert len({answer["client"] for answer in answers}) == 1


@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"])
def test_bodies_of_unknown_length_arrive_whole(server: Server, file: Path, expect: str) -> None:
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", expect)
    [answer] = described(curl("--http2", *chunked, "--upload-file", str(file), server.url("http", "/request")))
    assert header(answer, "upgrade") == "h2c"
    assert header(answer, "transfer-encoding") == "chunked"
    assert_whole(answer, BODY)


def test_a_handshake_by_hand_is_answered_and_the_first_message_arrives(server: Server) -> None:
    key = ("-H", f"Sec-WebSocket-Key: {KEY}")
    options = ("--include", "--no-buffer", "--max-time", "1")
    head, _, frame = curl(
        *options, *WEBSOCKET, *key, server.url("http", "/handshake"), status=TIMED_OUT
    ).partition("\r\n\r\n")  # fmt: skip
    status, *lines = head.split("\r\n")
    assert status == "HTTP/1.1 101 Switching Protocols"
    assert f"Sec-WebSocket-Accept: {ACCEPT}" in lines
    assert "Upgrade: websocket" in lines
    assert "x-guard: passed" in lines
    assert '"scheme":"ws"' in frame.replace(" ", "")


@pytest.mark.parametrize(
    ("path", "key", "status", "reason"),
    [
        ("/members", KEY, 401, "members only"),
        ("/closed", KEY, 403, "The application refused the WebSocket."),
        ("/echo", base64.b64encode(bytes(15)).decode(), 400, "Sec-WebSocket-Key"),
    ],
)
def test_a_refusal_says_why(server: Server, path: str, key: str, status: int, reason: str) -> None:
    arguments = ("--write-out", "%{http_code}", *WEBSOCKET, "-H", f"Sec-WebSocket-Key: {key}")
    answer = curl(*arguments, server.url("http", path))
    text, _, code = answer.rpartition("\n")
    assert code == str(status)
    assert reason in text
    assert len(text.splitlines()) == 1


def test_the_documented_command_shows_the_demos_guard(chat: Server) -> None:
    key = ("-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    answer = curl("-i", *WEBSOCKET, *key, chat.url("http", "/rooms/lobby"))
    assert answer.startswith("HTTP/1.1 401 Unauthorized\r\n")
    assert answer.endswith("log in first\n")
