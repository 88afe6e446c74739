"""A connection of uvicorn's that is given away: what each side sees, before, in between and afterwards."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.calls import HANDSHAKE
from tests.unit.connected import run
from tests.unit.servers.calls import (
    REQUESTS,
    Call,
    Echo,
    Lingering,
    Telling,
    every_request,
    leave_a_body_unread,
    switching,
)
from tests.unit.servers.requests import read, request, respond
from tests.unit.servers.uvicorn_connection import every_parser, serve
from tests.unit.waiting import arrived, still, turns, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Message

    Do = Callable[["Call"], Awaitable[Any]]


@every_parser
@every_request
@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("logs", [True, False])
def test_the_101_and_the_bytes_behind_it(
    parser: str, data: bytes, size: int | None, caplog: pytest.LogCaptureFixture, *, logs: bool
) -> None:
    async def test() -> None:
        call = Call(switching())
        headers = [("x-always", "1")]
        async with serve(parser, call.app, access_log=logs, server_header=False, headers=headers) as served:
            client = served.client
            await client.send(data + b"early", size)
            answer = await client.answer()
            assert answer.status == 101
            assert answer.fields == [
                (b"x-always", b"1"),
                (b"Connection", b"Upgrade"),
                (b"Upgrade", b"example/1"),
                (b"x-added", b"yes"),
            ]
            assert await client.exactly(5) == b"early"
            await client.send(b"late")
            assert await client.exactly(4) == b"late"
            # What uvicorn counts, and what it waits for when it stops.
            assert served.state.total_requests == 1
            assert len(served.state.connections) == 1
            client.end()
            assert await client.end_of_stream() == b""
            await until(lambda: not served.state.connections)
        assert call.protocol.received == b"earlylate"
        assert call.protocol.calls == ["made", "end", "lost"]

    with caplog.at_level(logging.INFO, "uvicorn.access"):
        run("asyncio", test)
    lines = [each.partition(" - ")[2] for each in caplog.messages]
    line = f'"{data.split()[0].decode()} /a?b=c HTTP/1.1" 101'
    assert lines == ([line] if logs else [])


@every_parser
def test_who_waits_in_receive_wakes_though_the_application_returns_right_behind_the_switch(parser: str) -> None:
    async def test() -> None:
        waiting: list[asyncio.Task[Message]] = []

        async def do(call: Call) -> None:
            await read(call.receive)
            waiting.append(asyncio.ensure_future(call.receive()))
            await turns()
            await call.switch(Echo())

        async with serve(parser, Call(do).app) as served:
            await served.client.send(REQUESTS["no body"])
            assert (await served.client.answer()).status == 101
            assert await served.client.end_of_stream() == b""
            assert await waiting[0] == {"type": "http.disconnect"}

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("kind", [Echo, Lingering])
@pytest.mark.parametrize("fails", [True, False])
def test_the_connection_ends_with_the_application_or_with_its_protocol(
    parser: str, kind: type[Echo], caplog: pytest.LogCaptureFixture, *, fails: bool
) -> None:
    async def test() -> None:
        waiting: list[asyncio.Task[Message]] = []

        async def do(call: Call) -> None:
            await read(call.receive)
            waiting.append(asyncio.ensure_future(call.receive()))
            await turns()
            assert await call.switch(kind())
            waiting.append(asyncio.ensure_future(call.receive()))
            await turns()
            assert not any(each.done() for each in waiting)
            if fails:
                raise ValueError("on purpose")

        call = Call(do)
        async with serve(parser, call.app) as served:
            await served.client.send(REQUESTS["no body"])
            assert (await served.client.answer()).status == 101
            assert [await each for each in waiting] == [{"type": "http.disconnect"}] * 2
            await until(lambda: not served.state.tasks)
            if kind is Lingering:
                await served.client.send(b"still")
                assert await served.client.exactly(5) == b"still"
                assert len(served.state.connections) == 1
                call.protocol.transport.close()
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)
    assert ("on purpose" in caplog.text) is fails


@every_parser
@every_request
@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("asks", [True, False])
def test_a_client_that_has_ended_its_direction_may_get_the_other(
    parser: str, data: bytes, *, stays: bool, asks: bool
) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def do(call: Call) -> None:
            await read(call.receive)
            if asks:
                assert await call.receive() == {"type": "http.disconnect"}
                assert await call.receive() == {"type": "http.disconnect"}
            await go_on.wait()
            assert await call.switch(Echo(stays=stays))
            await turns()
            if stays:
                call.protocol.transport.write(b"the end")
            else:
                await call.protocol.lost

        call = Call(do)
        async with serve(parser, call.app) as served:
            await served.client.send(data)
            await call.began.wait()
            await turns()
            await served.client.send(b"early")
            await arrived(served.client.socket)
            served.client.end()
            await arrived(served.client.socket)
            go_on.set()
            assert (await served.client.answer()).status == 101
            assert await served.client.end_of_stream() == (b"earlythe end" if stays else b"early")
        assert call.protocol.calls == ["made", "end", "lost"]

    run("asyncio", test)


@every_parser
@every_request
@pytest.mark.parametrize("answers", [True, False])
def test_a_client_that_has_ended_its_direction_gets_its_response(
    parser: str, data: bytes, caplog: pytest.LogCaptureFixture, *, answers: bool
) -> None:
    """If there is one: the application may take it for gone."""

    async def test() -> None:
        async def do(call: Call) -> None:
            body = await read(call.receive)
            assert await call.receive() == {"type": "http.disconnect"}
            if answers:
                await respond(call.send, b"%d" % len(body))

        async with serve(parser, Call(do).app) as served:
            await served.client.send(data)
            served.client.end()
            assert not answers or (await served.client.answer()).status == 200
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []


@every_parser
@every_request
@pytest.mark.parametrize("asks", [True, False])
def test_a_client_that_has_gone_is_not_switched(parser: str, data: bytes, *, asks: bool) -> None:
    async def test() -> None:
        gone = asyncio.Event()

        async def do(call: Call) -> None:
            await read(call.receive)
            if asks:
                assert await call.receive() == {"type": "http.disconnect"}
            await gone.wait()
            call.result = await call.switch(Echo())

        call = Call(do)
        async with serve(parser, call.app) as served:
            await served.client.send(data)
            await call.began.wait()
            served.client.reset()
            await until(lambda: not served.state.connections)
            gone.set()
            await until(lambda: not served.state.tasks)
        assert call.switched is not None
        assert call.switched.result() is False
        assert call.protocol.calls == []

    run("asyncio", test)


@every_parser
@every_request
def test_a_connection_that_is_being_closed_is_not_switched(parser: str, data: bytes) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await read(call.receive)
            served.protocol.transport.abort()
            assert not await call.switch(Echo())

        call = Call(do)
        async with serve(parser, call.app) as served:
            await served.client.send(data)
            await until(lambda: call.protocol is not None)
            await until(lambda: served.ended)
        assert call.switched is not None
        assert call.switched.result() is False
        assert call.protocol.calls == []

    run("asyncio", test)


@every_parser
def test_an_application_may_answer_in_websocket_messages(parser: str) -> None:
    async def do(call: Call) -> None:
        await call.send({"type": "websocket.accept"})
        await call.send({"type": "websocket.close", "code": 1000})

    async def test() -> None:
        async with serve(parser, Call(do).app) as served:
            fields = b"".join(b"%b: %b\r\n" % field for field in HANDSHAKE[1:])
            await served.client.send(request(b"GET /", fields))
            assert (await served.client.answer()).status == 101
            served.client.end()
            assert await served.client.end_of_stream() == b"\x88\x02\x03\xe8"

    run("asyncio", test)


@every_parser
@pytest.mark.parametrize("leaves", [True, False])
def test_a_body_that_nobody_reads_does_not_reach_the_protocol(parser: str, *, leaves: bool) -> None:
    run("asyncio", lambda: leave_a_body_unread(partial(serve, parser), leaves=leaves))


@every_parser
@every_request
@pytest.mark.parametrize("leaves", [True, False])
def test_a_switch_waits_until_the_response_before_has_been_taken(parser: str, data: bytes, *, leaves: bool) -> None:
    async def test() -> None:
        call = Call(switching())
        size = 1024 * 1024
        async with serve(parser, call.app, socket_buffer=16384) as served:
            await served.client.send(request(b"GET /big?%d" % size) + data)
            await call.began.wait()
            await turns()
            assert call.switched is not None
            assert not call.switched.done()
            if leaves:
                served.client.reset()
                await until(lambda: not served.state.tasks)
                assert call.switched.result() is False
            else:
                assert (await served.client.answer()).body == bytes(size)
                assert (await served.client.answer()).status == 101
                assert served.state.total_requests == 2
                served.client.end()
                await served.client.end_of_stream()

    run("asyncio", test)


@every_parser
@every_request
def test_more_than_is_held_reaches_the_protocol_later(parser: str, data: bytes) -> None:
    early = bytes(range(256)) * 4096

    async def test() -> None:
        go_on = asyncio.Event()

        async def do(call: Call) -> None:
            await read(call.receive)
            await go_on.wait()
            await switching()(call)

        call = Call(do)
        async with serve(parser, call.app, socket_buffer=16384) as served:
            client = served.client
            filling = asyncio.ensure_future(client.fill(data + early))
            assert await still(lambda: client.filled) < len(early) // 2
            go_on.set()
            assert (await client.answer()).status == 101
            assert await client.exactly(len(early)) == early
            await filling
            client.end()
            await client.end_of_stream()

    run("asyncio", test)


@every_parser
@every_request
@pytest.mark.parametrize("kind", [Echo, Telling])
@pytest.mark.parametrize("when", ["before", "afterwards"])
def test_a_protocol_is_told_that_uvicorn_stops(parser: str, data: bytes, kind: type[Echo], when: str) -> None:
    async def test() -> None:
        stops = asyncio.Event()

        async def do(call: Call) -> None:
            await read(call.receive)
            if when == "before":
                told: list[str] = []
                on_shutdown = call.scope["extensions"]["http.upgrade"]["on_shutdown"]
                on_shutdown(lambda: told.append("at the stop"))
                assert told == []
                await stops.wait()
                assert told == ["at the stop"]
                on_shutdown(lambda: told.append("at once"))
                assert told == ["at the stop", "at once"]
            await switching(kind)(call)

        call = Call(do)
        async with serve(parser, call.app) as served:
            await served.client.send(data)
            if when == "before":
                await call.began.wait()
                await turns()
            else:
                assert (await served.client.answer()).status == 101
            [connection] = served.state.connections
            connection.shutdown()
            stops.set()
            if when == "before":
                assert (await served.client.answer()).status == 101
            assert await served.client.end_of_stream() == (b"goodbye" if kind is Telling else b"")

    run("asyncio", test)


@every_parser
@every_request
def test_an_idle_connection_ends_when_uvicorn_stops(parser: str, data: bytes) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await respond(call.send, await read(call.receive))

        async with serve(parser, Call(do).app) as served:
            await served.client.send(data + request(b"GET /plain"))
            for _ in range(2):
                assert (await served.client.answer()).status == 200
            [connection] = served.state.connections
            connection.shutdown()
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)


@every_parser
@every_request
def test_uvicorns_limits_hold_for_websockets(parser: str, data: bytes) -> None:
    async def test() -> None:
        async def do(call: Call) -> Any:
            entry = call.scope["extensions"]["http.upgrade"]
            await respond(call.send, await read(call.receive))
            return entry.get("websocket"), entry["lingers"], call.scope["state"]

        call = Call(do)
        async with serve(parser, call.app, ws_max_size=1000) as served:
            await served.client.send(data)
            await served.client.answer()
            await until(lambda: not served.state.tasks)
            assert call.result == ({"max_message_size": 1000}, True, {"started": True})

    run("asyncio", test)
