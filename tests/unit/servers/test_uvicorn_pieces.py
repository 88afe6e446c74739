"""Where a request ends, on a connection of uvicorn's: what is behind an offer belongs to another protocol."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from typing import Any

import pytest

from asgi_upgrade.servers.uvicorn.body import BodyEnd
from tests.unit.connected import run
from tests.unit.servers.calls import Call, switching
from tests.unit.servers.requests import (
    ALL,
    BODY,
    CHUNKED,
    CHUNKS,
    OFFER,
    REQUESTS,
    check,
    chunked,
    describe,
    read,
    request,
    respond,
    sized,
)
from tests.unit.servers.uvicorn_connection import PARSERS, every_parser, serve
from tests.unit.waiting import arrived

EMPTY_LINES = b"\r\n" * 40 + b"\n0\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n" * 40
LENGTH, LINES = sized(EMPTY_LINES)
LAST = request(b"GET /last", OFFER)


async def answer_or_switch(call: Call) -> None:
    """Echo what follows the last request, and the bodies of those before it."""
    if call.scope["path"] == "/last":
        await switching()(call)
    else:
        await respond(call.send, await read(call.receive))


@every_parser
@pytest.mark.parametrize("missing", range(1, 5))
@pytest.mark.parametrize("before", [b"", REQUESTS["plain"][0], REQUESTS["offer, body"][0] + REQUESTS["plain"][0]])
def test_the_empty_line_may_arrive_in_two_pieces(parser: str, missing: int, before: bytes) -> None:
    async def test() -> None:
        async with serve(parser, Call(answer_or_switch).app) as served:
            client = served.client
            await client.send(before)
            for _ in range(before.count(b"HTTP/1.1")):
                assert (await client.answer()).status == 200
            await client.send(LAST[: len(LAST) - missing])
            await arrived(client.socket)
            await client.send(LAST[len(LAST) - missing :] + b"early\r\n\r\n")
            assert (await client.answer()).status == 101
            assert await client.exactly(9) == b"early\r\n\r\n"

    run("asyncio", test)


every_strict_parser = pytest.mark.parametrize("parser", [each for each in PARSERS if each != "h11"])
whether_offered = pytest.mark.parametrize("offer", [b"", OFFER], ids=["plain", "offer"])
only_zttp = pytest.mark.parametrize("parser", [each for each in PARSERS if each == "zttp"])
BODIES = {
    "length": (request(b"POST /p", LENGTH, body=LINES), LINES),
    "chunks": (request(b"POST /p", CHUNKED, body=CHUNKS), ALL.encode()),
    "extensions": (
        request(b"POST /p", CHUNKED, body=b"00b;a=0\r\n\r\n\r\n0\r\n\r\n\r\n\r\n0;a\r\n\r\n"),
        b"\r\n\r\n0\r\n\r\n\r\n",
    ),
    "trailers": (request(b"POST /p", CHUNKED, body=chunked(LINES, last=b"0\r\nX-Trailer: 9\r\n\r\n")), LINES),
    "offer, length": (request(b"POST /p", OFFER, LENGTH, body=LINES) + request(b"GET /p"), LINES),
    "offer, chunks": (request(b"POST /p", OFFER, CHUNKED, body=CHUNKS) + request(b"GET /p"), ALL.encode()),
}


@every_parser
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("first", [0, 400, -3])
def test_what_follows_an_offer_behind_a_body_reaches_the_protocol(parser: str, name: str, first: int) -> None:
    """However the body was cut: not a byte of what follows the offer has been taken for HTTP."""
    data, body = BODIES[name]

    async def test() -> None:
        async with serve(parser, Call(answer_or_switch).app) as served:
            client = served.client
            await client.send(data[:first])
            await arrived(client.socket)
            early = b"early\r\n\r\n" * 300
            await client.send(data[first:] + LAST + early)
            assert (await client.answer()).body == body
            if name.startswith("offer"):
                assert (await client.answer()).body == b""
            assert (await client.answer()).status == 101
            assert await client.exactly(len(early)) == early

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("size", [1, 3])
def test_a_body_may_come_in_pieces_that_end_anywhere(parser: str, name: str, size: int) -> None:
    data, body = BODIES[name]

    async def test() -> None:
        async with serve(parser, Call(answer_or_switch).app) as served:
            client = served.client
            await client.send(data, size)
            assert (await client.answer()).body == body
            if name.startswith("offer"):
                assert (await client.answer()).body == b""
            await client.send(LAST + b"early")
            assert (await client.answer()).status == 101
            assert await client.exactly(5) == b"early"

    run("asyncio", test)


@only_zttp
def test_a_chunk_is_fed_whole_whatever_is_in_it(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[bytes] = []
    base = importlib.import_module("uvicorn.protocols.http.zttp_impl").ZttpProtocol
    data_received = base.data_received

    def feed(self: Any, data: bytes) -> None:
        fed.append(data)
        data_received(self, data)

    monkeypatch.setattr(base, "data_received", feed)
    body = b"\r\n\r\n0\r\n\r\n" * 100
    chunks = chunked(*[body] * 20, last=b"0\r\nX-Trailer: 9\r\n\r\n")

    async def test() -> None:
        async with serve(parser, Call(answer_or_switch).app) as served:
            head = request(b"POST /p", CHUNKED)
            await served.client.send(head + chunks + REQUESTS["plain"][0])
            assert (await served.client.answer()).body == body * 20
            assert (await served.client.answer()).status == 200
            assert fed == [head, chunks, REQUESTS["plain"][0]]

    run("asyncio", test)


NO_LENGTHS = [b"", b"-1", b"+1", b" 1", b"1 ", b"0x1", b"1_1", b"g", b";", b"-0", b"1" * 17, b"1" * 17000]


@every_strict_parser
@whether_offered
@pytest.mark.parametrize("line", NO_LENGTHS, ids=lambda line: line[:3].decode())
@pytest.mark.parametrize("cut", [False, True])
def test_what_is_no_length_of_a_chunk_is_refused(parser: str, offer: bytes, line: bytes, cut: bool) -> None:
    data = request(b"POST /p", offer, CHUNKED, body=chunked(b"1", last=line))
    rest = b"\r\n1\r\n0\r\n\r\n" + LAST

    async def test() -> None:
        async with serve(parser, Call(answer_or_switch).app) as served:
            await served.client.send(data if cut else data + rest)
            if cut:
                await arrived(served.client.socket)
                if not served.ended:
                    await served.client.send(rest)
            assert (await served.client.answer()).status == 400
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)


@pytest.mark.parametrize("lines", [b"1;%b\r\n1\r\n0\r\n\r\n", b"0\r\nX-Trailer: %b\r\n\r\n"])
def test_the_body_of_an_offer_may_have_lines_as_long_as_any_other(lines: bytes) -> None:
    async def test() -> None:
        async with serve("httptools", Call(answer_or_switch).app) as served:
            client = served.client
            for offer in (b"", OFFER):
                data = request(b"POST /p", offer, CHUNKED, body=chunked(b"1", last=lines % (b"a" * 200_000)))
                await client.send(data[:-20])
                await arrived(client.socket)
                await client.send(data[-20:])
                assert (await client.answer()).body in {b"1", b"11"}
            await client.send(LAST + b"early")
            assert (await client.answer()).status == 101
            assert await client.exactly(5) == b"early"

    run("asyncio", test)


@every_strict_parser
@pytest.mark.parametrize(
    "framing", [b"Transfer-Encoding: gzip\r\n", CHUNKED * 2, LENGTH + CHUNKED, LENGTH + LENGTH[:-2] + b"0\r\n"]
)
def test_an_offer_whose_body_has_no_certain_end_reaches_nobody(parser: str, framing: bytes) -> None:
    call = Call(answer_or_switch)

    async def test() -> None:
        async with serve(parser, call.app) as served:
            await served.client.send(request(b"POST /p", OFFER, framing, body=b"0\r\n\r\n" + LAST))
            assert (await served.client.answer()).status == 400
            assert b"HTTP/1.1" not in await served.client.end_of_stream()

    run("asyncio", test)
    assert not call.began.is_set()


@pytest.mark.parametrize("taken", [5, -1])
def test_two_who_see_different_ends_of_a_body_are_no_guess(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mistaken(BodyEnd):
        def take(self, data: bytes) -> int:
            self.reached = taken > 0
            return taken if self.reached else len(data)

    monkeypatch.setattr("asgi_upgrade.servers.uvicorn.httptools_protocol.BodyEnd", Mistaken)

    async def test() -> None:
        async with serve("httptools", Call(answer_or_switch).app) as served:
            await served.client.send(request(b"POST /p", OFFER, CHUNKED, body=CHUNKS))
            assert (await served.client.answer()).status == 400
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)


@every_parser
@whether_offered
@pytest.mark.parametrize("digits", [15, 16])
def test_a_chunk_may_be_longer_than_anything_that_comes(parser: str, offer: bytes, digits: int) -> None:
    body = b"0\r\n\r\n" + LAST

    async def app(call: Call) -> None:
        seen = b""
        while len(seen) < len(body):
            seen += (await call.receive())["body"]
        await respond(call.send, seen)

    async def test() -> None:
        async with serve(parser, Call(app).app) as served:
            await served.client.send(request(b"POST /p", offer, CHUNKED, body=b"F" * digits + b"\r\n") + body[:10])
            await arrived(served.client.socket)
            await served.client.send(body[10:], 1)
            assert (await served.client.answer()).body == body

    run("asyncio", test)


@every_strict_parser
@whether_offered
@pytest.mark.parametrize("blanks", [b"", b" \t" * 30], ids=["no blanks", "blanks"])
def test_a_length_may_have_more_digits_than_python_converts(
    parser: str, offer: bytes, blanks: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with serve(parser, describe) as served:
            length = b"Content-Length: %b%d%b\r\n" % (b"0" * 5000, len(BODY), blanks)
            await served.client.send(request(b"POST /p", offer, length, body=BODY))
            answer = await served.client.answer()
            assert answer.status == 200
            assert json.loads(answer.body)["body"] == BODY.decode()
            await served.client.send(REQUESTS["plain"][0])
            check(await served.client.answer(), "plain")

    run("asyncio", test)
    assert [each for each in caplog.records if each.levelno > logging.WARNING] == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
@every_parser
def test_an_application_may_switch_before_the_parser_goes_on(parser: str) -> None:
    async def test() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        async with serve(parser, Call(switching()).app) as served:
            await served.client.send(LAST + b"early")
            assert (await served.client.answer()).status == 101
            assert await served.client.exactly(5) == b"early"
            await served.client.send(b"late")
            assert await served.client.exactly(4) == b"late"

    run("asyncio", test)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
@only_zttp
def test_as_many_requests_as_arrive_at_once_are_answered_by_eager_tasks(parser: str) -> None:
    """uvicorn's own protocols call themselves for each."""

    async def test() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        async with serve(parser, Call(answer_or_switch).app) as served:
            await served.client.send(REQUESTS["plain"][0] * 600)
            for _ in range(600):
                assert (await served.client.answer()).status == 200

    run("asyncio", test)
