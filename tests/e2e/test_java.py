"""Java's HttpClient as it comes: it offers h2c with each request, and has a WebSocket of its own. And Netty."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.bodies import assert_whole, body, header

if TYPE_CHECKING:
    from tests.e2e.support.java import Java
    from tests.server.support.process import Server

SIZES = (0, 1, 5000, 1024 * 1024)
TEXT = "All work and no play makes Jack a dull boy. " * 100


def test_200_requests_share_a_connection_though_each_makes_an_offer(java: Java, server: Server) -> None:
    answers = list(java.answers("Get", server.url("http", "/request"), "200"))
    assert len(answers) == 200
    assert {(answer.status, answer.version) for answer in answers} == {(200, "HTTP_1_1")}
    assert {header(answer.body, "upgrade") for answer in answers} == {"h2c"}
    assert len({answer.body["client"] for answer in answers}) == 1


def test_bodies_arrive_whole_though_each_request_makes_an_offer(java: Java, server: Server) -> None:
    tasks = [(size, kind) for size in SIZES for kind in ("known", "unknown", "expecting")]
    arguments = [str(argument) for task in tasks for argument in task]
    answers = list(java.answers("Post", server.url("http", "/request"), *arguments))
    assert len(answers) == len(tasks)
    for (size, kind), answer in zip(tasks, answers, strict=True):
        assert (answer.status, answer.version) == (200, "HTTP_1_1")
        assert header(answer.body, "upgrade") == "h2c"
        assert header(answer.body, "content-length") == (None if kind == "unknown" else str(size))
        assert header(answer.body, "expect") == ("100-Continue" if kind == "expecting" else None)
        assert_whole(answer.body, body(size))
    assert len({answer.body["client"] for answer in answers}) == 1


def test_websocket_echoes_text_fragments_bytes_and_pings(java: Java, server: Server) -> None:
    assert java.run(
        "Chat", server.url("ws", "/echo"), "unknown.v1,configured.v1",
        "text grüße", "fragments one two three", "binary 100000", "ping", "close 4001 enough",
    ) == [
        "open [configured.v1]",
        "text grüße",
        "text onetwothree",
        "binary 100000 100000",
        "pong ping",
        "close 4001 ",
    ]  # fmt: skip
    server.log.search("closed 4001 enough")


def test_websocket_is_told_why_the_application_closes(java: Java, one_server: Server) -> None:
    url = one_server.url("ws", "/close/4002?reason=that+is+all")
    assert java.run("Chat", url, "", "wait") == ["open []", "close 4002 that is all"]


def test_websocket_handshake_may_say_that_it_has_no_body(java: Java, one_server: Server) -> None:
    [opened, text] = java.run("Chat", one_server.url("ws", "/handshake"), "", "wait")
    assert opened == "open []"
    described = json.loads(text.removeprefix("text "))
    assert described["scheme"] == "ws"
    assert header(described, "content-length") in {"0", None}  # Java 17 says so, later versions need not


def test_websocket_sees_why_it_is_refused(java: Java, server: Server) -> None:
    urls = [server.url("ws", path) for path in ("/members", "/closed", "/nothing", "/echo")]
    assert java.run("Refused", *urls) == [
        "401 members only",
        "403 The application refused the WebSocket.",
        '404 {"detail":"Not Found"}',  # as a page
        "opened",
    ]


@pytest.mark.parametrize(
    "offer",
    [
        # Server's window, whether the client's may be chosen and its context dropped, whether the server drops its own.
        # Netty offers the last with a window, whatever it was asked for, and never without one.
        ("15", "false", "false", "false"),
        ("15", "true", "false", "false"),
        ("15", "true", "true", "false"),
        ("13", "true", "true", "true"),
        ("11", "false", "false", "true"),
    ],
    ids=" ".join,
)
def test_netty_takes_the_answer_to_each_of_its_offers(netty: Java, one_server: Server, offer: tuple[str, ...]) -> None:
    """Debian's Netty 4.1.48 fails the connection over a parameter that it has not named, or that is not as it was."""
    assert netty.run("Deflating", one_server.url("ws", "/echo"), TEXT, *offer) == ["open", "echoed", "echoed"]
