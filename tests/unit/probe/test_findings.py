"""What the answers of a server mean."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from asgi_upgrade.probe.exchange import Target
from asgi_upgrade.probe.findings import Finding, Level, probe
from asgi_upgrade.probe.offers import ACCEPT, requests
from tests.unit.probe.scripted import frame, response, serving, switching
from tests.unit.waiting import PATIENCE

NAMES = ["plain", "websocket", "foreign origin", "wrong version", "h2c with a body", "unknown protocol", "HTTP/1.0"]
PLAIN, WEBSOCKET, FOREIGN, VERSION, H2C, UNKNOWN, HTTP10 = NAMES
GOOD, NOTE, BAD = Level.GOOD, Level.NOTE, Level.BAD
PAGE = response(200)
OPENED = switching("websocket", f"Sec-WebSocket-Accept: {ACCEPT}\r\n")
TO_HTTP2 = switching("h2c") + frame(4)
VERSIONS = "Sec-WebSocket-Version: 13\r\n"
# A server as it should be.
RIGHT = {WEBSOCKET: OPENED, FOREIGN: response(403), VERSION: response(426, VERSIONS)}


def ask(answers: dict[str, bytes], **options: Any) -> tuple[list[Finding], list[bytes]]:
    """What is found of a server that gives these answers, and a page otherwise; and what it was asked."""

    def answer(request: bytes) -> bytes:
        [name] = [name for name, each in requests(target).items() if each == request.replace(b"Cookie: a\r\n", b"")]
        return answers.get(name, PAGE)

    with serving(answer) as server:
        target = Target("127.0.0.1", server.port, "/", False, "a")
        found = asyncio.run(probe(target, seconds=PATIENCE, **options))
    return found, server.requests


def test_each_kind_is_asked_once_and_found_once() -> None:
    found, seen = ask(RIGHT)
    assert [each.offer for each in found] == NAMES
    assert {each.level for each in found} == {GOOD}
    assert seen == list(requests(Target("127.0.0.1", 0, "/", False, "a")).values())


def test_fields_are_added_to_each_request() -> None:
    _, seen = ask(RIGHT, headers=[("Cookie", "a")])
    assert len(seen) == len(NAMES) + 1  # and one with a body that offers nothing
    assert all(b"\r\nCookie: a\r\n" in each for each in seen)


REFUSED = "refuses this client; add what it lacks with --header"
NOTHING = "is answered as without the offer: there is no WebSocket at this path"
OPEN_TO_ALL = (
    "opens a WebSocket for a page of https://foreign.example: every site that a user visits can connect with the user's"
    " cookies"
)
SHOWS_NOTHING = "is not let in; as the same client without an Origin is not either, this shows nothing"
SAYS_VERSION = "refuses version 12, and says which it speaks (RFC 6455 section 4.4)"
SAYS_NO_VERSION = "refuses version 12, and does not say which it speaks (RFC 6455 section 4.4)"
NO_VERSION = "is not let in; nothing is said of versions"
NOT_OVER_HTTP2 = "switches to HTTP/2, and does not answer the request there (RFC 7540 section 3.2)"
CLOSED = "the connection was closed without an answer; if the server speaks TLS, ask https://"
JAVA = "; clients such as Java's send the offer by themselves"


@pytest.mark.parametrize(
    ("answers", "offer", "level", "status", "words"),
    [
        ({}, PLAIN, GOOD, 200, "is answered as a page"),
        ({PLAIN: response(500)}, PLAIN, GOOD, 500, "is answered as a page"),
        ({PLAIN: response(426)}, PLAIN, GOOD, 426, "wants an upgrade here, and says so"),
        ({PLAIN: OPENED}, PLAIN, BAD, 101, "switches although nothing was offered"),
        ({PLAIN: b""}, PLAIN, BAD, None, CLOSED),
        (
            {WEBSOCKET: OPENED},
            WEBSOCKET,
            GOOD,
            101,
            "opens a WebSocket for a client without an Origin, as programs are",
        ),
        (
            {WEBSOCKET: switching("websocket", "Sec-WebSocket-Accept: x\r\n")},
            WEBSOCKET,
            BAD,
            101,
            "switches with a wrong Sec-WebSocket-Accept, which clients take for a failure",
        ),
        ({WEBSOCKET: response(401)}, WEBSOCKET, GOOD, 401, REFUSED),
        ({WEBSOCKET: response(403)}, WEBSOCKET, GOOD, 403, REFUSED),
        ({WEBSOCKET: response(407)}, WEBSOCKET, GOOD, 407, REFUSED),
        ({}, WEBSOCKET, NOTE, 200, NOTHING),
        ({PLAIN: response(404), WEBSOCKET: response(404)}, WEBSOCKET, NOTE, 404, NOTHING),
        ({WEBSOCKET: response(404)}, WEBSOCKET, NOTE, 404, "is answered, and no WebSocket is opened"),
        ({WEBSOCKET: b""}, WEBSOCKET, BAD, None, CLOSED),
        ({WEBSOCKET: OPENED, FOREIGN: OPENED}, FOREIGN, BAD, 101, OPEN_TO_ALL),
        ({FOREIGN: OPENED}, FOREIGN, BAD, 101, OPEN_TO_ALL),
        ({WEBSOCKET: OPENED, FOREIGN: response(403)}, FOREIGN, GOOD, 403, "refuses pages of other sites"),
        ({WEBSOCKET: response(401), FOREIGN: response(401)}, FOREIGN, NOTE, 401, SHOWS_NOTHING),
        ({VERSION: OPENED}, VERSION, BAD, 101, "opens a WebSocket of a version that does not exist"),
        ({VERSION: response(426, VERSIONS)}, VERSION, GOOD, 426, SAYS_VERSION),
        ({VERSION: response(400, VERSIONS)}, VERSION, GOOD, 400, SAYS_VERSION),
        ({VERSION: response(400)}, VERSION, NOTE, 400, SAYS_NO_VERSION),
        ({VERSION: response(426)}, VERSION, NOTE, 426, SAYS_NO_VERSION),
        ({VERSION: response(403)}, VERSION, NOTE, 403, NO_VERSION),
        ({}, VERSION, NOTE, 200, NO_VERSION),
        ({H2C: TO_HTTP2 + frame(1, 1)}, H2C, GOOD, 101, "switches to HTTP/2, and answers the request there"),
        ({H2C: TO_HTTP2}, H2C, BAD, 101, NOT_OVER_HTTP2),
        ({H2C: OPENED}, H2C, BAD, 101, NOT_OVER_HTTP2),
        ({}, H2C, GOOD, 200, "ignores the offer, and serves the request with its body"),
        (
            {"body": response(405), H2C: response(405)},
            H2C,
            GOOD,
            405,
            "ignores the offer, and serves the request with its body",
        ),
        (
            {H2C: response(400)},
            H2C,
            BAD,
            400,
            f"does not serve the request as without the offer, which is 200{JAVA}",
        ),
        ({"body": b""}, H2C, BAD, 200, f"does not serve the request as without the offer, which is {CLOSED}{JAVA}"),
        ({UNKNOWN: switching("example-unknown/1")}, UNKNOWN, BAD, 101, "switches to a protocol that it cannot know"),
        ({}, UNKNOWN, GOOD, 200, "ignores the offer (RFC 9110 section 7.8)"),
        (
            {UNKNOWN: response(400)},
            UNKNOWN,
            BAD,
            400,
            "does not serve the request as without the offer, which is 200 (RFC 9110 section 7.8)",
        ),
        (
            {HTTP10: OPENED},
            HTTP10,
            BAD,
            101,
            "opens a WebSocket over HTTP/1.0, where offers must be ignored (RFC 9110 section 7.8)",
        ),
        ({HTTP10: response(400)}, HTTP10, GOOD, 400, "does not switch over HTTP/1.0"),
    ],
)
def test_a_finding(answers: dict[str, bytes], offer: str, level: Level, status: int | None, words: str) -> None:
    found, _ = ask(answers)
    assert found[NAMES.index(offer)] == Finding(offer, level, status, words)


@pytest.mark.parametrize(("options", "seconds"), [({}, 5), ({"seconds": 0.5}, 0.5), ({"seconds": 900.0}, 900)])
def test_each_answer_is_waited_for_as_long_as_asked(options: dict[str, Any], seconds: float) -> None:
    """Nobody waits so long here: the loop's clock stands until the server has got a request."""

    async def go_by() -> list[Finding]:
        loop = asyncio.get_running_loop()
        now, deadline = loop.time(), time.monotonic() + PATIENCE
        loop.time = lambda: now  # type: ignore[method-assign]
        asking = asyncio.ensure_future(probe(Target("127.0.0.1", server.port, "/", False, "a"), **options))
        for number in range(len(NAMES) + 1):
            while len(server.requests) <= number:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)
            now += seconds + 0.1
        return await asking

    with serving(b"", stays=True) as server:
        found = asyncio.run(go_by())
    assert found == [Finding(name, BAD, None, f"no answer within {seconds:g} s") for name in NAMES]


def test_a_server_that_stops_listening_is_a_finding() -> None:
    with serving(PAGE, once=True) as server:
        found = asyncio.run(probe(Target("127.0.0.1", server.port, "/", False, "a"), seconds=PATIENCE))
    assert found[0] == Finding(PLAIN, GOOD, 200, "is answered as a page")
    assert set(found[1:]) == {Finding(name, BAD, None, "nothing accepts connections there") for name in NAMES[1:]}


def test_a_server_that_cannot_be_reached_is_no_finding() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
        target = Target("127.0.0.1", deaf.getsockname()[1], "/", False, "example.com")
        with pytest.raises(ConnectionError) as caught:
            asyncio.run(probe(target))
    assert str(caught.value) == "example.com cannot be asked: nothing accepts connections there"
