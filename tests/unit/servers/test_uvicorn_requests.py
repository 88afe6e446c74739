"""Requests on a connection of uvicorn's that make offers, have bodies, come one behind another, and in any pieces."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.connected import run
from tests.unit.servers.uvicorn_connection import Answer, every_parser, serve
from tests.unit.waiting import still, turns

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

OFFER = b"Connection: keep-alive, Upgrade\r\nUpgrade: example/1\r\n"


async def read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def respond(send: Send, data: bytes, status: int = 200, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(data)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": data})


async def describe(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what has arrived."""
    body = await read(receive)
    facts = {
        "method": scope["method"],
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "version": scope["http_version"],
        "hosts": [value.decode() for name, value in scope["headers"] if name == b"host"],
        "marks": [value.decode() for name, value in scope["headers"] if name == b"x-mark"],
        "offer": "http.upgrade" in scope.get("extensions", {}),
        "body": body.decode(),
    }
    await respond(send, json.dumps(facts).encode())


def request(line: bytes, *more: bytes, body: bytes = b"") -> bytes:
    return line + b" HTTP/1.1\r\nHost: example\r\n" + b"".join(more) + b"\r\n" + body


def chunked(*chunks: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + last


def sized(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length: %d\r\n" % len(body), body


LENGTH, BODY = sized(b"two\r\n\r\nlines")
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = chunked(b"a\r\n\r\nb", b"\n0\r\n\r\n", b"c" * 40, b"0")
ALL = "a\r\n\r\nb\n0\r\n\r\n" + "c" * 40 + "0"
# Bytes of a request, what the application sees of it, whether it sees an offer.
REQUESTS: dict[str, tuple[bytes, dict[str, Any], bool]] = {
    "plain": (request(b"GET /plain?a=b", b"X-Mark: 1\r\n"), {"path": "/plain", "query": "a=b", "marks": ["1"]}, False),
    "offer": (request(b"GET /%6fffer?c", OFFER), {"path": "/offer", "raw_path": "/%6fffer", "query": "c"}, True),
    "offer, body": (
        request(b"POST /o?d=e", OFFER, LENGTH, b"X-Mark: 1\r\nX-Mark: 2\r\n", body=BODY),
        {"method": "POST", "path": "/o", "query": "d=e", "body": BODY.decode(), "marks": ["1", "2"]},
        True,
    ),
    "offer, chunks": (
        request(b"PUT /o", OFFER, CHUNKED, body=CHUNKS),
        {"method": "PUT", "path": "/o", "body": ALL},
        True,
    ),
    "offer, no body": (request(b"POST /o", OFFER, b"Content-Length: 0\r\n"), {"method": "POST", "path": "/o"}, True),
    "body": (
        request(b"POST /p", LENGTH, body=BODY),
        {"method": "POST", "path": "/p", "body": BODY.decode()},
        False,
    ),
    "chunks": (
        request(b"POST /p", CHUNKED, body=CHUNKS),
        {"method": "POST", "path": "/p", "body": ALL},
        False,
    ),
    "trailers": (
        request(b"POST /p", CHUNKED, body=chunked(b"x", last=b"0\r\nX-Trailer: 9\r\n\r\n")),
        {"method": "POST", "path": "/p", "body": "x"},
        False,
    ),
    "no chunks": (request(b"POST /p", CHUNKED, body=b"0\r\n\r\n"), {"method": "POST", "path": "/p"}, False),
    "half an offer": (request(b"GET /h", b"Upgrade: example/1\r\n"), {"path": "/h"}, False),
    "the other half": (request(b"GET /h", b"Connection: upgrade\r\n"), {"path": "/h"}, False),
}
# RFC 9112 §3.2.2: the authority of the target counts, whatever Host says. §3.2.4: `*` names the server.
TARGETS: dict[str, tuple[bytes, dict[str, Any], bool]] = {
    "absolute": (
        request(b"GET http://other:81/a%20b?q=1", b"X-Mark: 1\r\n"),
        {"path": "/a b", "raw_path": "/a%20b", "query": "q=1", "hosts": ["other:81"], "marks": ["1"]},
        False,
    ),
    "absolute, offer": (request(b"GET HTTP://other/a", OFFER), {"path": "/a", "hosts": ["other"]}, True),
    "absolute, offer, body": (
        request(b"POST http://other/a?b=c", OFFER, LENGTH, body=BODY),
        {"method": "POST", "path": "/a", "query": "b=c", "hosts": ["other"], "body": BODY.decode()},
        True,
    ),
    "absolute, no path": (request(b"GET http://other"), {"path": "/", "hosts": ["other"]}, False),
    "absolute, the server": (
        request(b"OPTIONS http://other", OFFER),
        {"method": "OPTIONS", "path": "*", "hosts": ["other"]},
        True,
    ),
    "a colon in a path": (request(b"GET /a:b//c"), {"path": "/a:b//c"}, False),
    "the server": (request(b"OPTIONS *", OFFER), {"method": "OPTIONS", "path": "*"}, True),
    "the server, body": (
        request(b"OPTIONS *", OFFER, LENGTH, body=BODY),
        {"method": "OPTIONS", "path": "*", "body": BODY.decode()},
        True,
    ),
}


def expected(facts: dict[str, Any], *, offer: bool, root_path: str = "") -> dict[str, Any]:
    known = {
        "method": "GET",
        "query": "",
        "version": "1.1",
        "hosts": ["example"],
        "marks": [],
        "offer": offer,
        "body": "",
        "raw_path": facts["path"].replace(" ", "%20"),
        **facts,
    }
    return {**known, "path": root_path + known["path"], "raw_path": root_path + known["raw_path"]}


def check(answer: Answer, name: str, root_path: str = "") -> None:
    _, facts, offer = {**REQUESTS, **TARGETS}[name]
    assert answer.status == 200, (name, answer)
    assert json.loads(answer.body) == expected(facts, offer=offer, root_path=root_path), name


@every_parser
@pytest.mark.parametrize("size", [None, 1, 7])
def test_requests_one_behind_another_are_answered_in_order(parser: str, size: int | None) -> None:
    """Each kind behind each other kind, with and without a wait for the answer before."""

    async def test() -> None:
        names = list(REQUESTS)
        order = [each for shift in (1, 3, 4) for each in (names * shift)[::shift]]
        async with serve(parser, describe) as served:
            sending = asyncio.ensure_future(served.client.send(b"".join(REQUESTS[each][0] for each in order), size))
            for name in order:
                check(await served.client.answer(), name)
            await sending
            for name in names[:3]:
                await served.client.send(REQUESTS[name][0], size)
                check(await served.client.answer(), name)
            assert len(served.state.connections) == 1
            assert served.state.total_requests == len(order) + 3

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("root_path", ["", "/root"])
@pytest.mark.parametrize("name", [*REQUESTS, *TARGETS])
def test_what_the_application_sees(parser: str, root_path: str, name: str) -> None:
    if parser == "httptools" and name in {"absolute, no path", "absolute, the server"}:
        pytest.skip("uvicorn says that its path is empty")

    async def test() -> None:
        async with serve(parser, describe, root_path=root_path) as served:
            data = {**REQUESTS, **TARGETS}[name][0]
            await served.client.send(data + REQUESTS["plain"][0])
            check(await served.client.answer(), name, root_path)
            check(await served.client.answer(), "plain", root_path)
            await turns()
            assert [type(each) for each in served.state.connections] == [type(served.protocol)]  # the configured one

    run("asyncio", test)


@every_parser
def test_what_cannot_be_upgraded_has_no_extension(parser: str) -> None:
    """RFC 9110 §7.8: not in HTTP/1.0. §9.3.6: CONNECT is no upgrade."""

    async def test() -> None:
        async with serve(parser, describe) as served:
            await served.client.send(b"GET /old HTTP/1.0\r\n" + OFFER + b"\r\n")
            facts = json.loads((await served.client.answer()).body)
            assert (facts["version"], facts["path"], facts["offer"]) == ("1.0", "/old", False)

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("before", ["", "plain", "offer", "offer, body"])
@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/9.9 \x00\r\n\r\n", request(b"POST /", b"Content-Length: x\r\n", OFFER)]
)
def test_nonsense_is_refused_behind_what_was_asked_before(parser: str, before: str, nonsense: bytes) -> None:
    async def test() -> None:
        async with serve(parser, describe) as served:
            if before:
                await served.client.send(REQUESTS[before][0])
                check(await served.client.answer(), before)
            await served.client.send(nonsense)
            assert (await served.client.answer()).status == 400
            await served.client.end_of_stream()

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("name", ["plain", "offer", "offer, body", "offer, chunks", "body"])
def test_a_connection_on_which_nothing_is_asked_ends(parser: str, name: str) -> None:
    """Not while a request is being answered, whatever uvicorn's keep-alive timeout is."""
    seconds = 0.01

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read(receive)
        await asyncio.sleep(5 * seconds)
        await respond(send, scope["path"].encode() + body)

    async def test() -> None:
        async with serve(parser, slow, timeout_keep_alive=seconds) as served:
            data, facts, _ = REQUESTS[name]
            wanted = (facts["path"] + facts.get("body", "")).encode()
            await served.client.send(data + data + REQUESTS["plain"][0])
            assert (await served.client.answer()).body == wanted
            assert (await served.client.answer()).body == wanted
            assert (await served.client.answer()).body == b"/plain"
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("name", ["offer", "offer, body", "offer, chunks"])
def test_what_comes_behind_an_offer_is_held(parser: str, name: str) -> None:
    """Little of it, also where the application asks again and again whether the client has gone."""
    length = 1024 * 1024
    behind = request(b"POST /p", b"Content-Length: %d\r\n" % length, body=bytes(length))

    async def test() -> None:
        sent = 0
        go_on = asyncio.Event()

        async def polling(scope: Scope, receive: Receive, send: Send) -> None:
            body = await read(receive)
            while scope["path"] != "/p" and not go_on.is_set():
                waiting = asyncio.ensure_future(receive())
                await turns(2)
                waiting.cancel()
                await asyncio.wait([waiting])
            await respond(send, b"%d" % len(body))

        async with serve(parser, polling, socket_buffer=16384) as served:

            async def fill() -> None:
                nonlocal sent
                while sent < len(behind):
                    try:
                        sent += served.client.socket.send(behind[sent : sent + 65536])
                    except BlockingIOError:
                        await asyncio.sleep(0.001)

            await served.client.send(REQUESTS[name][0])
            filling = asyncio.ensure_future(fill())
            assert 64 * 1024 <= await still(lambda: sent) < length // 2
            go_on.set()
            assert (await served.client.answer()).body == b"%d" % len(REQUESTS[name][1].get("body", ""))
            assert (await served.client.answer()).body == b"%d" % length
            await filling

    run("asyncio", test)
