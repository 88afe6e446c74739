"""Connections of hypercorn's, extended: requests that make offers, and who owns the connection when."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import hypercorn.protocol
import pytest
from hypercorn.app_wrappers import WSGIWrapper

from asgi_upgrade.servers.hypercorn.protocol import H11UpgradeProtocol
from tests.unit import wire
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
from tests.unit.servers.hypercorn_connection import HANDSHAKE, serve
from tests.unit.servers.requests import BODY, OFFER, describe, read, request, respond
from tests.unit.servers.requests import REQUESTS as OFFERS
from tests.unit.servers.requests import check as check_answer
from tests.unit.waiting import arrived, turns, until

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


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
            entry = call.scope["extensions"]["http.upgrade"]
            assert (entry["websocket"], entry["lingers"]) == ({"max_message_size": 1000}, True)

    run("asyncio", test)


def test_a_connect_makes_no_offer() -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await respond(call.send, b"", 405)

        call = Call(do)
        async with serve(call.app) as served:
            await served.client.send(request(b"CONNECT example:443", OFFER))
            assert (await served.client.answer()).status == 405
            assert "http.upgrade" not in call.scope.get("extensions", {})

    run("asyncio", test)


@pytest.mark.parametrize(("ssl", "scheme"), [(False, "http"), (True, "https")])
def test_the_ends_of_the_connection_are_known(*, ssl: bool, scheme: str) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await respond(call.send, b"")

        call = Call(do)
        async with serve(call.app) as served:
            await until(lambda: served.server is not None and hasattr(served.server, "protocol"))
            served.server.protocol.protocol.ssl = ssl  # as if it had begun with TLS
            await served.client.send(request(b"GET /a", OFFER))
            assert (await served.client.answer()).status == 200
            assert call.scope["scheme"] == scheme
            assert tuple(call.scope["client"]) == served.client.socket.getsockname()
            assert tuple(call.scope["server"]) == served.client.socket.getpeername()

    run("asyncio", test)


def test_requests_with_offers_count_for_hypercorns_limits() -> None:
    async def test() -> None:
        async with serve(describe, keep_alive_max_requests=3) as served:
            served.context.max_requests = 2
            closes = []
            for _ in range(3):
                assert not served.context.terminate.is_set()
                await served.client.send(request(b"GET /a", OFFER))
                closes.append((b"connection", b"close") in (await served.client.answer()).fields)
            assert served.context.terminate.is_set()
            assert closes == [False, False, True]

    run("asyncio", test)


@every_request
@pytest.mark.parametrize("size", [None, 1])
def test_the_101_and_the_bytes_behind_it(data: bytes, size: int | None, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        call = Call(switching(stays=True))
        logger = logging.getLogger("hypercorn.test")
        settings: Any = {"accesslog": logger, "access_log_format": '"%(r)s" %(s)s %({upgrade}o)s %(T)s'}
        async with serve(call.app, include_date_header=False, **settings) as served:
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
    assert line.startswith(f'"{data.split()[0].decode()} ')
    status, protocol, seconds = line.rpartition('" ')[2].split()
    assert (status, protocol) == ("101", "example/1")
    assert 0 <= int(seconds) < 3600


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

        def errors() -> list[str]:
            texts = [f"{each.getMessage()}: {each.exc_info and each.exc_info[1]}" for each in served.errors]
            served.errors.clear()
            return texts

        call = Call(do)
        async with serve(call.app) as served:
            await served.client.send(request(b"GET /a", OFFER))
            assert (await served.client.answer()).status == 101
            if kind is Lingering:
                await until(lambda: "closing" in call.protocol.calls)
                await served.client.send(b"still")
                assert await served.client.exactly(5) == b"still"
                assert not served.ended
                # It is said at once, although the connection is still open.
                assert errors() == (["Error in ASGI Framework: on purpose"] if fails else [])
                call.protocol.transport.close()
            assert await served.client.end_of_stream() == b""
            await until(lambda: served.ended)
            assert errors() == (["Error in ASGI Framework: on purpose"] if fails and kind is Echo else [])
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
            await served.client.send(data + b"ea")
            await call.began.wait()
            await served.client.send(b"rly")
            served.client.end()
            await arrived(served.client.socket)
            go_on.set()
            assert (await served.client.answer()).status == 101
            assert await served.client.end_of_stream() == (b"earlythe end" if stays else b"early")

    run("asyncio", test)


@every_request
def test_a_client_that_ends_its_direction_at_once_is_noticed(data: bytes) -> None:
    async def test() -> None:
        async def do(call: Call) -> None:
            await read(call.receive)
            assert await call.receive() == {"type": "http.disconnect"}
            await respond(call.send, b"goodbye")

        async with serve(Call(do).app) as served:
            await served.client.send(data)
            served.client.end()
            assert (await served.client.answer()).body == b"goodbye"

    run("asyncio", test)


@every_request
def test_many_bytes_may_come_early(data: bytes) -> None:
    early = bytes(range(256)) * 2000

    async def test() -> None:
        go_on = asyncio.Event()

        async def do(call: Call) -> None:
            await read(call.receive)
            await go_on.wait()
            await switching()(call)

        call = Call(do)
        async with serve(call.app) as served:
            sending = asyncio.ensure_future(served.client.send(data + early))
            await call.began.wait()
            await turns(50)  # until hypercorn reads no more
            go_on.set()
            assert (await served.client.answer()).status == 101
            assert await served.client.exactly(len(early)) == early
            await sending

    run("asyncio", test)


@every_request
@pytest.mark.parametrize("asks", [True, False])
def test_a_client_that_leaves_before_the_101_is_not_switched(data: bytes, *, asks: bool) -> None:
    async def test() -> None:
        go_on = asyncio.Event()

        async def do(call: Call) -> None:
            connect = call.scope["extensions"]["http.upgrade"]["connect"]
            switched = connect(protocol := Echo(), [(b"upgrade", b"example/1")])
            await go_on.wait()
            if asks:
                await read(call.receive)
            await call.send({"type": "http.response.start", "status": 101, "headers": []})
            assert await switched is False
            assert protocol.calls == []

        async with serve(Call(do).app) as served:
            await served.client.send(data)
            await turns()
            served.client.reset()
            await turns()
            go_on.set()
            await until(lambda: served.ended)

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


def test_a_protocol_whose_connection_has_ended_is_not_told_that_hypercorn_stops() -> None:
    async def test() -> None:
        call = Call(switching(Telling))
        async with serve(call.app) as served:
            await served.client.send(REQUESTS["no body"])
            assert (await served.client.answer()).status == 101
            served.client.end()
            await until(lambda: served.ended)
            await served.context.terminated.set()
            await turns()
            assert call.protocol.calls == ["made", "end", "lost"]

    run("asyncio", test)


def test_an_application_that_no_middleware_of_ours_guards_may_answer_in_websocket_messages() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close", "code": 1000})

    async def test() -> None:
        async with serve(app) as served:
            await served.client.send(HANDSHAKE)
            first = b"HTTP/1.1 101 Switching Protocols\r\n"
            assert await served.client.exactly(len(first)) == first
            served.client.unread = first + served.client.unread
            assert b"Sec-WebSocket-Accept" in dict((await served.client.answer()).fields)
            assert await served.client.exactly(7 + 4) == b"\x81\x05hello\x88\x02\x03\xe8"
            await served.client.send(wire.close(1000))
            assert await served.client.end_of_stream() == b""

    run("asyncio", test)


def test_an_offer_does_not_concern_a_wsgi_application() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read() or b"nothing"
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    async def test() -> None:
        async with serve(WSGIWrapper(app, 1000)) as served:
            for data, body in ((REQUESTS["no body"], b"nothing"), (REQUESTS["body"], BODY)):
                await served.client.send(data)
                assert (await served.client.answer()).body == body

    run("asyncio", test)
