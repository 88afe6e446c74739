"""Requests on a connection of uvicorn's that make offers, have bodies, come one behind another, and in any pieces."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.connected import run
from tests.unit.servers.requests import (
    BODY,
    LENGTH,
    OFFER,
    REQUESTS,
    TARGETS,
    check,
    chunked,
    describe,
    read,
    request,
    respond,
)
from tests.unit.servers.uvicorn_connection import every_parser, serve
from tests.unit.waiting import PATIENCE, still, turns, until

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


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
@pytest.mark.parametrize("body", [(), (LENGTH, BODY)], ids=["no body", "body"])
def test_what_cannot_be_upgraded_has_no_extension(
    parser: str, body: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """RFC 9110 §7.8: not in HTTP/1.0. §9.3.6: CONNECT is no upgrade."""
    calls = 0

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal calls
        calls += 1
        await respond(send, b"%d" % ("http.upgrade" in scope.get("extensions", {})), 405)

    async def test() -> None:
        async with serve(parser, describe) as served:
            await served.client.send(b"GET /old HTTP/1.0\r\n" + OFFER + b"\r\n")
            facts = json.loads((await served.client.answer()).body)
            assert (facts["version"], facts["path"], facts["offer"]) == ("1.0", "/old", False)
        async with serve(parser, refuse) as served:
            await served.client.send(request(b"CONNECT /there", OFFER, *body[:1], body=b"".join(body[1:])))
            answer = await served.client.answer()
            assert (answer.status, answer.body) == (405, b"0")
            await turns()
            assert calls == 1
            if not body:  # that of a CONNECT has no meaning, and each parser takes it for something else
                await served.client.send(REQUESTS["plain"][0])
                answer = await served.client.answer()
                assert (answer.status, answer.body, calls) == (405, b"0", 2)
        if parser == "httptools":
            assert "Unsupported upgrade request." in caplog.messages  # uvicorn's word about it

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("before", ["", "plain", "offer", "offer, body"])
@pytest.mark.parametrize(
    "nonsense", [b"GET / HTTP/9.9 \x00\r\n\r\n", request(b"POST /", b"Content-Length: x\r\n", OFFER)]
)
def test_nonsense_is_refused_behind_what_was_asked_before(
    parser: str, before: str, nonsense: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with serve(parser, describe) as served:
            if before:
                await served.client.send(REQUESTS[before][0])
                check(await served.client.answer(), before)
            await served.client.send(nonsense)
            answer = await served.client.answer()
            assert answer.status == 400
            text = b"Invalid HTTP request received."
            assert answer.body + await served.client.end_of_stream() in (text, chunked(text))

    run("asyncio", test)
    assert caplog.messages[-1] == "Invalid HTTP request received."


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
@pytest.mark.parametrize("before", [(), ("plain",), ("offer",), ("body",), ("offer, body",), ("offer, body", "plain")])
@pytest.mark.parametrize("name", ["plain", "offer", "offer, body"])
@pytest.mark.parametrize("waits", [True, False])
def test_the_keep_alive_timeout_of_a_request_before_ends_no_other(
    parser: str, before: tuple[str, ...], name: str, *, waits: bool
) -> None:
    async def test() -> None:
        began, go_on = asyncio.Event(), asyncio.Event()
        last = REQUESTS[name][0].replace(b"X-Mark: 1\r\n", b"").replace(b"Host", b"X-Mark: last\r\nHost")
        loop = asyncio.get_running_loop()
        clock = loop.time

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            body = await read(receive)
            if (b"x-mark", b"last") in scope["headers"]:
                began.set()
                await go_on.wait()
            await respond(send, scope["path"].encode() + body)

        async with serve(parser, slow, timeout_keep_alive=PATIENCE * 2 / 3) as served:
            parts = [*(REQUESTS[each][0] for each in before), last]
            for part in parts if waits else [b"".join(parts)]:
                await served.client.send(part)
                if part is not last and waits:
                    await served.client.answer()
            for _ in () if waits else before:
                await served.client.answer()
            await began.wait()
            loop.time = lambda: clock() + PATIENCE * 5 / 6  # type: ignore[method-assign]
            await turns()
            go_on.set()
            assert (await served.client.answer()).status == 200
            loop.time = lambda: clock() + PATIENCE * 10 / 6  # type: ignore[method-assign]
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("behind", ["plain", "offer", "offer, body"])
def test_nothing_is_served_behind_a_response_that_closes(parser: str, behind: str) -> None:
    calls = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal calls
        calls += 1
        await respond(send, await read(receive), 200, (b"connection", b"close"))

    async def test() -> None:
        async with serve(parser, app) as served:
            await served.client.send(REQUESTS["offer"][0] + REQUESTS[behind][0])
            assert (await served.client.answer()).status == 200
            assert await served.client.end_of_stream() == b""
            await until(lambda: served.ended)
        assert calls == 1

    run("asyncio", test)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no eager tasks")
@every_parser
@pytest.mark.parametrize("name", ["offer", "offer, body"])
def test_an_application_may_answer_before_the_parser_goes_on(parser: str, name: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send, scope["path"].encode())

    async def test() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
        async with serve(parser, app) as served:
            await served.client.send(REQUESTS[name][0] + REQUESTS["plain"][0])
            assert (await served.client.answer()).body == REQUESTS[name][1]["path"].encode()
            assert (await served.client.answer()).body == b"/plain"

    run("asyncio", test)


@every_parser
def test_offers_and_other_requests_may_follow_each_other(parser: str) -> None:
    async def test() -> None:
        async with serve(parser, describe) as served:
            for name in ("offer", "offer, body", "offer", "plain", "offer, chunks", "chunks", "offer, body", "offer"):
                await served.client.send(REQUESTS[name][0])
                check(await served.client.answer(), name)

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("name", ["offer", "offer, body", "offer, chunks"])
@pytest.mark.parametrize("offer", [b"", OFFER], ids=["plain", "another"])
def test_what_comes_behind_an_offer_is_held(parser: str, name: str, offer: bytes) -> None:
    """Little of it, also where the application asks again and again whether the client has gone."""
    length = 1024 * 1024
    behind = request(b"POST /p", offer, b"Content-Length: %d\r\n" % length, body=bytes(length))

    async def test() -> None:
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
            client = served.client
            await client.send(REQUESTS[name][0])
            filling = asyncio.ensure_future(client.fill(behind))
            assert 64 * 1024 <= await still(lambda: client.filled) < length // 2
            go_on.set()
            assert (await client.answer()).body == b"%d" % len(REQUESTS[name][1].get("body", ""))
            assert (await client.answer()).body == b"%d" % length
            await filling

    run("asyncio", test)
