"""Connections of hypercorn's, extended: requests that make offers, and who owns the connection when."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import hypercorn.protocol
import pytest
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from asgi_upgrade.servers.hypercorn.protocol import H11UpgradeProtocol, extended
from tests.unit.connected import run
from tests.unit.servers.calls import Call, Echo, Lingering, Telling, every_request, leave_a_body_unread, switching
from tests.unit.servers.requests import OFFER, describe, read, request, respond
from tests.unit.servers.requests import REQUESTS as OFFERS
from tests.unit.servers.requests import check as check_answer
from tests.unit.servers.uvicorn_connection import Client
from tests.unit.waiting import arrived, turns, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message


class Served:
    """One connection, and what there is on the server's side of it."""

    def __init__(self, client: Client, context: WorkerContext, config: Config) -> None:
        self.client = client
        self.context = context
        self.config = config
        self.served: list[asyncio.Task[Any]] = []

    @property
    def ended(self) -> bool:
        return bool(self.served) and all(each.done() for each in self.served)


@asynccontextmanager
async def serve(app: ASGIApp, *, extends: bool = True, **settings: Any) -> AsyncIterator[Served]:
    """Connect a client to `app`; in the end nothing may be left of the connection."""
    loop = asyncio.get_running_loop()
    config = Config()
    for name, value in settings.items():
        setattr(config, name, value)
    if extends:
        extended.add(config)
    context = WorkerContext(None)

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.served.append(task)
        await TCPServer(ASGIWrapper(app), loop, config, context, {"started": True}, reader, writer)  # type: ignore[arg-type]

    server = await asyncio.start_server(call, "127.0.0.1", 0)
    client = Client(socket.create_connection(server.sockets[0].getsockname()))
    served = Served(client, context, config)
    try:
        yield served
    finally:
        client.socket.close()
        await context.terminated.set()  # or it would wait for its keep-alive timeout
        await until(lambda: served.ended)
        server.close()
        await server.wait_closed()


@pytest.fixture(autouse=True)
def _replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `attach` does, until the test has ended."""
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", H11UpgradeProtocol)


@pytest.mark.parametrize("size", [None, 7])
def test_requests_one_behind_another_are_answered_in_order(size: int | None) -> None:
    async def test() -> None:
        order = [*OFFERS, *reversed(OFFERS)]
        async with serve(describe) as served:
            sending = asyncio.ensure_future(served.client.send(b"".join(OFFERS[each][0] for each in order), size))
            for name in order:
                check_answer(await served.client.answer(), name)
            await sending

    run("asyncio", test)


@pytest.mark.parametrize(
    ("data", "extends", "offer"),
    [
        (b"GET /old HTTP/1.0\r\nHost: example\r\n" + OFFER + b"\r\n", True, False),
        (request(b"GET /a", OFFER), False, False),
        (request(b"get /a", OFFER), True, True),
    ],
)
def test_who_sees_an_offer(data: bytes, *, extends: bool, offer: bool) -> None:
    async def test() -> None:
        async with serve(describe, extends=extends) as served:
            await served.client.send(data)
            facts = json.loads((await served.client.answer()).body)
            assert (facts["offer"], facts["method"]) == (offer, "GET")

    run("asyncio", test)


@pytest.mark.parametrize("raw", [True, False])
def test_the_names_of_fields_are_as_hypercorn_was_told(*, raw: bool) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await respond(call.send, b"")

        call = Call(do)
        async with serve(call.app, h11_pass_raw_headers=raw, websocket_max_message_size=1000) as served:
            await served.client.send(request(b"GET /a", OFFER))
            assert (await served.client.answer()).status == 200
            assert (b"Upgrade" if raw else b"upgrade") in dict(call.scope["headers"])
            assert call.scope["state"] == {"started": True}
            assert call.scope["extensions"]["http.upgrade"]["websocket"] == {"max_message_size": 1000}

    run("asyncio", test)


@every_request
@pytest.mark.parametrize("size", [None, 1])
def test_the_101_and_the_bytes_behind_it(data: bytes, size: int | None, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        call = Call(switching(stays=True))
        logger = logging.getLogger("hypercorn.test")
        async with serve(call.app, include_date_header=False, accesslog=logger) as served:
            client = served.client
            await client.send(data + b"early", size)
            answer = await client.answer()
            assert (answer.status, [(name.lower(), value) for name, value in answer.fields]) == (
                101,
                [
                    (b"server", b"hypercorn-h11"),
                    (b"connection", b"Upgrade"),
                    (b"upgrade", b"example/1"),
                    (b"x-added", b"yes"),
                ],
            )
            assert await client.exactly(5) == b"early"
            await client.send(b"late")
            assert await client.exactly(4) == b"late"
            assert not served.ended
            client.end()
            await until(lambda: "end" in call.protocol.calls)
            call.protocol.transport.write(b"the end")
            call.protocol.transport.close()
            assert await client.end_of_stream() == b"the end"
        assert call.protocol.received == b"earlylate"
        assert call.protocol.calls == ["made", "end", "lost"]

    with caplog.at_level(logging.INFO, "hypercorn.test"):
        run("asyncio", test)
    [line] = [each.getMessage() for each in caplog.records if each.name == "hypercorn.test"]
    assert f'"{data.split()[0].decode()} ' in line
    assert " 101 " in line


@pytest.mark.parametrize("kind", [Echo, Lingering])
@pytest.mark.parametrize("fails", [True, False])
def test_the_connection_ends_with_the_application_or_with_its_protocol(kind: type[Echo], *, fails: bool) -> None:
    async def test() -> None:
        waiting: list[asyncio.Task[Message]] = []

        async def do(call: Call) -> None:
            await read(call.receive)
            waiting.append(asyncio.ensure_future(call.receive()))
            await turns()
            assert await call.switch(kind())
            waiting.append(asyncio.ensure_future(call.receive()))
            await turns()
            assert not any(each.done() for each in waiting[1:])
            if fails:
                raise ValueError("on purpose")

        call = Call(do)
        async with serve(call.app) as served:
            await served.client.send(request(b"GET /a", OFFER))
            assert (await served.client.answer()).status == 101
            if kind is Lingering:
                await until(lambda: "closing" in call.protocol.calls)
                await served.client.send(b"still")
                assert await served.client.exactly(5) == b"still"
                assert not served.ended
                call.protocol.transport.close()
            assert await served.client.end_of_stream() == b""
            assert await waiting[1] == {"type": "http.disconnect"}
            waiting[0].cancel()

    run("asyncio", test)


@every_request
@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("asks", [True, False])
def test_a_client_that_has_ended_its_direction_may_get_the_other(data: bytes, *, stays: bool, asks: bool) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def do(call: Call) -> None:
            await read(call.receive)
            if asks:
                assert await call.receive() == {"type": "http.disconnect"}
                assert await call.receive() == {"type": "http.disconnect"}
            await go_on.wait()
            assert await call.switch(Echo(stays=stays))
            waiting = asyncio.ensure_future(call.receive())
            await turns()
            assert not waiting.done()
            waiting.cancel()
            if stays:
                call.protocol.transport.write(b"the end")
            else:
                await call.protocol.lost

        call = Call(do)
        async with serve(call.app) as served:
            await served.client.send(data + b"early")
            await call.began.wait()
            served.client.end()
            await arrived(served.client.socket)
            go_on.set()
            assert (await served.client.answer()).status == 101
            assert await served.client.end_of_stream() == (b"earlythe end" if stays else b"early")

    run("asyncio", test)


@every_request
def test_a_client_that_has_gone_is_not_switched(data: bytes) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await read(call.receive)
            assert await call.receive() == {"type": "http.disconnect"}
            call.result = await call.switch(Echo())

        call = Call(do)
        async with serve(call.app) as served:
            await served.client.send(data)
            await call.began.wait()
            await turns()
            served.client.reset()
            await until(lambda: call.switched is not None and call.switched.done())
        assert call.switched is not None
        assert call.switched.result() is False
        assert call.protocol.calls == []

    run("asyncio", test)


@pytest.mark.parametrize("leaves", [True, False])
def test_a_body_that_nobody_reads_does_not_reach_the_protocol(*, leaves: bool) -> None:
    run("asyncio", lambda: leave_a_body_unread(serve, leaves=leaves))


@every_request
@pytest.mark.parametrize("kind", [Echo, Telling])
@pytest.mark.parametrize("when", ["before", "afterwards"])
def test_a_protocol_is_told_that_hypercorn_stops(data: bytes, kind: type[Echo], when: str) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await read(call.receive)
            if when == "before":
                stops = asyncio.Event()
                call.scope["extensions"]["http.upgrade"]["on_shutdown"](stops.set)
                await stops.wait()
            await switching(kind)(call)

        call = Call(do)
        async with serve(call.app) as served:
            await served.client.send(data)
            if when == "before":
                await call.began.wait()
                await turns()
            else:
                assert (await served.client.answer()).status == 101
            await served.context.terminated.set()
            if when == "before":
                assert (await served.client.answer()).status == 101
            assert await served.client.end_of_stream() == (b"goodbye" if kind is Telling else b"")

    run("asyncio", test)
