"""HTTP/2 by upgrade, with the clients that offer it: Java's HttpClient, curl, nghttp and h2load."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.support.bodies import assert_whole, body, header
from tests.e2e.support.guarded import PARSERS, guarded
from tests.e2e.support.prior_knowledge import prior_knowledge
from tests.e2e.support.tools import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.support.java import Java
    from tests.server.support.process import Server

SIZES = (0, 1, 5000, 1024 * 1024)
BODY = body(2_000_000)
JAVA_HTTP_2 = "HTTP_2"


@pytest.fixture(scope="module", params=PARSERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """`apps/guarded.py` with h2c under each of uvicorn's parsers."""
    with guarded(http=request.param, environment={"H2C": "1"}) as server:
        yield server


@pytest.fixture(scope="module")
def one_server() -> Iterator[Server]:
    """The same once, where the parser has no part in it."""
    with guarded(http=PARSERS[0], environment={"H2C": "1"}) as server:
        yield server


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("h2c") / "body"
    path.write_bytes(BODY)
    return path


def curl(*arguments: str, **options: Any) -> list[str]:
    """What the application said of each request; its version behind it."""
    form = "\\n%{http_version}\\n"
    common = ("--silent", "--show-error", "--max-time", "10", "--http2", "--write-out", form)
    return run("curl", *common, *arguments, **options).splitlines()


# Java


def test_java_sends_100_requests_at_once_over_one_upgraded_connection(java: Java, server: Server) -> None:
    answers = list(java.answers("Concurrent", server.url("http", "/request"), "100"))
    assert len(answers) == 101
    assert {(answer.status, answer.version) for answer in answers} == {(200, JAVA_HTTP_2)}
    assert {answer.body["http_version"] for answer in answers} == {"2"}
    assert len({answer.body["client"] for answer in answers}) == 1
    assert [answer.body["length"] for answer in answers[1:]] == [
        number * 1000 if number % 2 else 0 for number in range(100)
    ]


@pytest.mark.parametrize("first", ["known", "unknown", "expecting"])
def test_java_upgrades_with_a_body_and_sends_more(java: Java, one_server: Server, first: str) -> None:
    tasks = [(1024 * 1024, first)] + [(size, kind) for size in SIZES for kind in ("known", "unknown", "expecting")]
    arguments = [str(argument) for task in tasks for argument in task]
    answers = list(java.answers("Post", one_server.url("http", "/request"), *arguments))
    for (size, _), answer in zip(tasks, answers, strict=True):
        assert (answer.status, answer.version) == (200, JAVA_HTTP_2)
        assert header(answer.body, "upgrade") is None
        assert_whole(answer.body, body(size))
    assert len({answer.body["client"] for answer in answers}) == 1


def test_javas_websocket_is_none_of_it(java: Java, server: Server) -> None:
    lines = java.run("Chat", server.url("ws", "/echo"), "", "text hello", "close 1000 bye")
    assert lines == ["open []", "text hello", "close 1000 "]


# curl


def test_curl_gets_pages(server: Server) -> None:
    url = server.url("http", "/request")
    lines = curl(url, url, url)
    assert lines[1::2] == ["2", "2", "2"]
    answers = [json.loads(line) for line in lines[::2]]
    assert {answer["http_version"] for answer in answers} == {"2"}
    assert len({answer["client"] for answer in answers}) == 1


@pytest.mark.parametrize(
    "how", [("--data-binary", "@"), ("-H", "Expect:", "--data-binary", "@"), ("--upload-file", "")]
)
def test_curl_sends_bodies(server: Server, file: Path, how: tuple[str, ...]) -> None:
    *options, prefix = how
    lines = curl(*options, f"{prefix}{file}", server.url("http", "/request"))
    assert lines[1] == "2"
    assert_whole(json.loads(lines[0]), BODY)


def test_curl_sends_bodies_of_unknown_length(server: Server, file: Path) -> None:
    chunked = ("-H", "Transfer-Encoding: chunked", "--upload-file", str(file))
    lines = curl(*chunked, server.url("http", "/request"))
    assert lines[1] == "2"
    assert_whole(json.loads(lines[0]), BODY)


def test_curl_takes_a_long_response(server: Server) -> None:
    """Some versions of curl fail if more than 32 kB follow the 101 at once."""
    lines = curl(server.url("http", "/long"))
    assert lines == ["x" * 90_000, "2"]


def test_curl_sees_why_it_is_refused(server: Server) -> None:
    lines = curl("--write-out", "%{http_code} %{http_version}", server.url("http", "/members"))
    assert lines == ["members only", "401 2"]


# nghttp


def test_nghttp_upgrades(server: Server) -> None:
    output = run("nghttp", "--upgrade", "--verbose", "--timeout=10", server.url("http", "/request"))
    assert "HTTP Upgrade success" in output
    assert '"http_version":"2"' in output
    assert "recv RST_STREAM" not in output


def test_nghttp_upgrades_with_options_if_there_is_a_body(server: Server, file: Path) -> None:
    output = run(
        "nghttp", "--upgrade", "--verbose", "--timeout=10", f"--data={file}", server.url("http", "/request")
    )  # fmt: skip
    assert "OPTIONS * HTTP/1.1" in output
    assert "HTTP Upgrade success" in output
    answer = re.search(r'{"method":"POST".*?}', output)
    assert answer is not None, output
    assert_whole(json.loads(answer[0]), BODY)


# h2load


def test_h2load_puts_it_under_load(server: Server) -> None:
    """It knows no upgrade, so a proxy does that for it."""
    with prior_knowledge(server) as port:
        url = f"http://127.0.0.1:{port}/request"
        output = run("h2load", "--requests=1000", "--clients=4", "--max-concurrent-streams=25", url)
    assert "1000 succeeded, 0 failed" in output, output
