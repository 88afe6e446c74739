"""``asgi-upgrade probe``: what it prints, and its exit codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asgi_upgrade.cli import main
from asgi_upgrade.cli import probe as command
from asgi_upgrade.cli.tree import Tree
from asgi_upgrade.probe.offers import ACCEPT
from tests.unit.probe.scripted import response, serving, switching

OPEN_TO_ALL = (
    "opens a WebSocket for a page of https://foreign.example: every site that a user visits can connect with the user's"
    " cookies"
)
OPENED = switching("websocket", f"Sec-WebSocket-Accept: {ACCEPT}\r\n")


def answer(request: bytes) -> bytes:
    """What a server does that lets every page in."""
    head = request.partition(b"\r\n\r\n")[0]
    if b"HTTP/1.0" in head or b"Upgrade: websocket" not in head:
        return response(200)
    return response(426) if b"Version: 12" in head else OPENED


def probe(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["probe", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(answer) as server:
        url = f"ws://127.0.0.1:{server.port}/chat"
        code, printed, complaints = probe(capsys, url)
    assert (code, complaints) == (1, "")
    assert printed.splitlines() == [
        url,
        "├── plain: 200, is answered as a page",
        "├── websocket: 101, opens a WebSocket for a client without an Origin, as programs are",
        f"├── foreign origin: 101, {OPEN_TO_ALL}",
        "├── wrong version: 426, refuses version 12, and does not say which it speaks (RFC 6455 section 4.4)",
        "├── h2c with a body: 200, ignores the offer, and serves the request with its body",
        "├── unknown protocol: 200, ignores the offer (RFC 9110 section 7.8)",
        "└── HTTP/1.0: 200, does not switch over HTTP/1.0",
    ]
    assert server.requests[0].startswith(b"GET /chat HTTP/1.1\r\n")


def test_an_offer_without_an_answer_has_no_status(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda request: b"" if b"unknown" in request else answer(request)) as server:
        code, printed, _ = probe(capsys, f"http://127.0.0.1:{server.port}")
    assert code == 1
    assert "├── unknown protocol: the connection was closed without an answer; if the server speaks TLS" in printed


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(response(200)) as server:
        url = f"http://127.0.0.1:{server.port}"
        code, printed, complaints = probe(capsys, url, "--json")
    assert (code, complaints) == (0, "")
    report = json.loads(printed)
    assert set(report) == {"url", "findings"}
    assert report["url"] == url
    assert report["findings"][0] == {
        "offer": "plain",
        "level": "good",
        "status": 200,
        "words": "is answered as a page",
    }
    assert len(report["findings"]) == 7
    assert printed == json.dumps(report, indent=2) + "\n"


def test_a_terminal_gets_a_colour_for_each_level(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Tree] = []
    monkeypatch.setattr(command, "show", shown.append)
    with serving(answer) as server:
        main(["probe", f"http://127.0.0.1:{server.port}"])
    [tree] = shown
    assert tree.style == "bold"
    assert [each.style for each in tree.branches][1:4] == ["green", "bold red", "yellow"]


def test_fields_are_sent_as_they_are_given(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(response(200)) as server:
        url = f"http://127.0.0.1:{server.port}"
        probe(capsys, url, "-H", "Cookie: a=b; c=d", "--header", "X-One:\t1:2", "-H", "X-None:")
    assert all(b"\r\nCookie: a=b; c=d\r\nX-One: 1:2\r\nX-None: \r\n" in each for each in server.requests)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://a"], "'ftp://a' is no URL of a server: http, https, ws or wss, and a host"),
        (["http://a", "-H", "Cookie"], "'Cookie' is no header field of the form 'Name: value'"),
        (["http://a", "-H", "A: b\r\nC: d"], r"'A: b\r\nC: d' is no header field of the form 'Name: value'"),
        (["http://a", "-H", "A b: c"], "'A b: c' is no header field of the form 'Name: value'"),
        (["http://a", "--timeout", "0"], "--timeout must be between 0 and 600 seconds, not 0"),
        (["http://a", "--timeout", "-1"], "--timeout must be between 0 and 600 seconds, not -1"),
        (["http://a", "--timeout", "600.5"], "--timeout must be between 0 and 600 seconds, not 600.5"),
        (["http://a", "--timeout", "nan"], "--timeout must be between 0 and 600 seconds, not nan"),
    ],
)
def test_what_cannot_be_asked(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(capsys, *arguments) == (2, "", f"asgi-upgrade probe: {words}\n")


def test_what_each_option_is_passed_on_as(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ten minutes here: the options are looked at where they arrive."""
    seen: list[Any] = []

    async def take(*arguments: Any, **options: Any) -> list[Any]:
        seen.append((*arguments, options))
        return []

    monkeypatch.setattr(command, "probe", take)
    assert main(["probe", "https://a"]) == 0
    assert main(["probe", "https://a", "--timeout", "600", "--insecure", "-H", "A: \xe4"]) == 0
    assert main(["probe", "https://a", "--timeout", "0.001"]) == 0
    first, second, third = seen
    assert third[1]["seconds"] == 0.001
    assert (first[0].verify, first[1]) == (True, {"headers": [], "seconds": 5.0})
    assert (second[0].verify, second[1]) == (False, {"headers": [("A", "\xe4")], "seconds": 600.0})


def test_the_help_names_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["probe", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert text.startswith("usage: asgi-upgrade probe [-h] [-H HEADER] [--timeout TIMEOUT] [--insecure] [--json] url")
    for words in (
        "Tell what a running server does with offers to upgrade.",
        "url http, https, ws or wss: a path that speaks WebSocket",
        "a field for each request, such as 'Cookie: session=...'",
        "seconds that each request may take (5)",
        "do not check the server's certificate",
        "--json write JSON",
    ):
        assert f" {words} " in f"{text} "
