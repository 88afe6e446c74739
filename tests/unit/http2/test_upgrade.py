"""The request that offers h2c: when it becomes the first stream, and when it stays with HTTP/1.1."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import h2.connection
import h2.events
import pytest

from asgi_upgrade import H2CSettings
from asgi_upgrade.http2.server import ServerSide
from asgi_upgrade.http2.upgrade import H2C
from tests.unit.http2.clock import timeless
from tests.unit.http2.pair import FIRST, SETTINGS, Call, Wire, body, frames, start, stays

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

DISCONNECT = {"type": "http.disconnect"}


def part(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class Exchange:
    """A server's side of one request that offers h2c; the test is the application."""

    def __init__(self, *headers: tuple[bytes, bytes], client: Any = ("10.0.0.1", 5), **settings: Any) -> None:
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.calls: list[Call] = []
        self.wire = Wire()
        self.gone = False
        offer = (b"http2-settings", urlsafe_b64encode(b"").rstrip(b"="))
        given = [field for field in FIRST["headers"] if field[0] != b"http2-settings"]
        self.scope = {
            **FIRST,
            "client": client,
            "headers": [*given, offer, *headers],
            "extensions": {"http.upgrade": {"version": "1.2", "connect": self.connect}},
        }
        self.h2c = H2C(self._run, H2CSettings(**settings), ServerSide())
        self.serving = asyncio.ensure_future(self.h2c(self.scope, self.parts.get, self._send))

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> Any:
        call = Call(scope, receive, send)
        self.calls.append(call)
        return await call.end

    def connect(self, protocol: Any, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
        assert headers == [(b"upgrade", b"h2c")]
        self.wire.protocol = protocol
        self.switched = asyncio.get_running_loop().create_future()
        return self.switched

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message.get("status") == 101:
            for _ in range(4):
                await asyncio.sleep(0)  # as a server that has something to write yet
            if not self.gone:
                self.wire.protocol.connection_made(self.wire)
            self.switched.set_result(not self.gone)

    async def settle(self) -> None:
        # Some Pythons take more turns than others for each part of a body.
        for _ in range(200):
            await asyncio.sleep(0)

    async def called(self) -> Call:
        await self.settle()
        [call] = self.calls
        return call

    @property
    def statuses(self) -> list[int]:
        return [message["status"] for message in self.sent if "status" in message]

    async def end(self) -> None:
        """Let everything end."""
        for call in self.calls:
            if not call.end.done():
                call.end.cancel()
        if self.wire.protocol is not None and not self.wire.lost:
            self.wire.reset()
        await asyncio.wait([self.serving])


BODY = (b"content-length", b"10")


@timeless
async def test_a_request_without_a_body_is_switched_at_once() -> None:
    exchange = Exchange()
    call = await exchange.called()
    assert exchange.statuses == [101]
    assert call.scope["http_version"] == "2"
    assert frames(b"".join(exchange.wire.writes))[0][0] == SETTINGS
    assert await call.receive() == part(b"", more=False)
    assert not exchange.serving.done()
    call.done()
    await exchange.settle()
    assert not exchange.serving.done()  # as long as the connection lives
    exchange.wire.reset()
    await exchange.settle()
    assert exchange.serving.done()


@pytest.mark.parametrize("why", ["not admitted", "no offer", "no extension"])
@timeless
async def test_a_request_that_is_not_switched_is_passed_on_as_it_is(why: str) -> None:
    exchange = Exchange(networks=["192.0.2.0/24"]) if why == "not admitted" else Exchange(BODY)
    if why == "no offer":
        exchange.scope["headers"] = [(b"host", b"example.com")]
    if why == "no extension":
        exchange.scope["extensions"] = {}
    call = await exchange.called()
    assert call.scope is exchange.scope
    exchange.parts.put_nowait(part(b"0123456789", more=False))
    assert await call.receive() == part(b"0123456789", more=False)
    await call.respond()
    call.done()
    await exchange.serving
    assert exchange.statuses == [200]


@timeless
async def test_a_client_that_has_gone_is_not_served() -> None:
    exchange = Exchange()
    exchange.gone = True
    await exchange.serving
    assert not exchange.calls


@timeless
async def test_a_client_that_leaves_behind_its_body_keeps_nobody_waiting() -> None:
    exchange = Exchange(BODY)
    exchange.gone = True
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"0123456789", more=False))
    await call.respond()
    call.done()
    await exchange.serving


@pytest.mark.parametrize("with_body", [True, False])
@timeless
async def test_more_requests_follow_on_the_connection(*, with_body: bool) -> None:
    exchange = Exchange(*([BODY] if with_body else []), networks=["10.0.0.0/8"])
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"0123456789", more=False))
    assert await call.receive() == part(b"0123456789" if with_body else b"", more=False)
    await exchange.settle()
    assert exchange.statuses == [101]
    client = h2.connection.H2Connection()
    client.initiate_upgrade_connection()
    client.send_headers(3, [(":method", "GET"), (":scheme", "http"), (":path", "/second"), (":authority", "a")], True)
    exchange.wire.deliver(client.data_to_send())
    await exchange.settle()
    assert [each.scope["path"] for each in exchange.calls] == ["/first", "/second"]
    assert exchange.calls[1].scope["state"] == call.scope["state"]
    await exchange.calls[1].respond(204)
    call.done()  # without a response
    await exchange.settle()
    answered = {
        each.stream_id: dict(each.headers)[b":status"]
        for each in client.receive_data(exchange.wire.take())
        if isinstance(each, h2.events.ResponseReceived)
    }
    assert answered == {1: b"500", 3: b"204"}
    assert not exchange.serving.done()
    exchange.calls[1].done()
    await exchange.end()


@timeless
async def test_a_body_is_read_before_the_switch() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    receiving = asyncio.ensure_future(call.receive())
    assert await stays(receiving)
    exchange.parts.put_nowait(part(b"01234"))
    assert await receiving == part(b"01234")
    assert exchange.statuses == []
    exchange.parts.put_nowait(part(b"56789", more=False))
    assert await call.receive() == part(b"56789", more=False)
    receiving = asyncio.ensure_future(call.receive())
    await exchange.settle()
    assert exchange.statuses == [101]
    assert await stays(receiving)  # the body has been given
    responding = asyncio.ensure_future(call.respond(200, b""))
    assert await stays(responding)  # the client's preface is missing
    assert exchange.statuses == [101]
    await exchange.end()
    await responding
    assert await receiving == DISCONNECT


@timeless
async def test_a_client_that_leaves_within_its_body() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"01234"))
    assert await call.receive() == part(b"01234")
    exchange.parts.put_nowait(DISCONNECT)
    exchange.parts.put_nowait(DISCONNECT)
    assert await call.receive() == DISCONNECT
    call.done()
    await exchange.serving
    assert exchange.statuses == []


@timeless
async def test_a_response_that_comes_too_early_waits_for_the_rest_of_the_body() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"01234"))
    exchange.parts.put_nowait(part(b"56789", more=False))
    await call.send(start())
    await exchange.settle()
    assert exchange.statuses == [101]
    assert await call.receive() == part(b"0123456789", more=False)
    await exchange.end()


@timeless
async def test_a_response_does_not_wait_for_ever_for_a_body() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"01234"))
    began = asyncio.get_running_loop().time()
    await call.send(start(413))
    await call.send(body(b"too slow"))
    assert 0.9 < asyncio.get_running_loop().time() - began < 1.1
    assert exchange.statuses == [413]
    call.done()
    await exchange.serving
    assert exchange.sent[1] == body(b"too slow")


@timeless
async def test_more_than_is_kept_stays_with_http1() -> None:
    exchange = Exchange((b"content-length", b"200000"))
    call = await exchange.called()
    for _ in range(4):
        exchange.parts.put_nowait(part(bytes(50_000)))
    await call.send(start())
    await call.send(body(b"x", more=True))
    assert exchange.statuses == [200]
    assert len((await call.receive())["body"]) == 150_000  # the limit was passed by a part, for each of the messages
    call.done()
    await exchange.serving


@timeless
async def test_two_tasks_may_wait_for_the_body() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    receiving = [asyncio.ensure_future(call.receive()) for _ in range(2)]
    await exchange.settle()
    exchange.parts.put_nowait({"type": "http.request"})  # ASGI: what is left out is empty, and false
    assert await receiving[0] == part(b"", more=False)
    assert await stays(receiving[1])
    assert exchange.statuses == [101]
    await exchange.end()
    assert await receiving[1] == DISCONNECT


@pytest.mark.parametrize("last", [part(b"0123456789", more=False), DISCONNECT])
@timeless
async def test_a_response_that_begins_while_another_task_reads_the_last_part_reads_no_more(last: Message) -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    receiving = asyncio.ensure_future(call.receive())
    await exchange.settle()
    sending = asyncio.ensure_future(call.send(start()))
    await exchange.settle()
    assert not sending.done()
    exchange.parts.put_nowait(last)
    if last is DISCONNECT:
        exchange.parts.put_nowait(last)  # for the application
    await exchange.settle()
    assert sending.done()
    assert asyncio.get_running_loop().time() == 1000.0
    assert receiving.result() == last
    assert exchange.statuses == ([200] if last is DISCONNECT else [101])
    await exchange.end()


@pytest.mark.parametrize(("parts", "statuses"), [(4, [101]), (15, [101]), (18, [413])])
@timeless
async def test_the_body_is_discarded_behind_a_whole_response(parts: int, statuses: list[int]) -> None:
    """Up to 16 MiB; then the request stays with HTTP/1.1."""
    exchange = Exchange((b"transfer-encoding", b"chunked"))
    call = await exchange.called()
    for _ in range(parts):
        exchange.parts.put_nowait(part(bytes(1024 * 1024)))
    exchange.parts.put_nowait({"type": "http.request"})  # ASGI: what is left out is empty, and false
    await call.send(start(413))
    responding = asyncio.ensure_future(call.send({"type": "http.response.body", "body": b"too much"}))
    await exchange.settle()
    assert exchange.statuses == statuses
    assert exchange.parts.empty() is (statuses == [101])
    assert asyncio.get_running_loop().time() == 1000.0
    if statuses == [101]:
        assert await call.receive() == part(b"", more=False)  # nothing of it is kept
    call.done()
    await exchange.end()
    await responding


@timeless
async def test_a_response_that_was_begun_too_early_and_not_ended() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"01234"))
    await call.send(start(413))
    exchange.parts.put_nowait(part(b"56789", more=False))
    assert await call.receive() == part(b"01234")
    assert await call.receive() == part(b"56789", more=False)
    call.done()
    await exchange.settle()
    assert exchange.statuses == [101]
    client = h2.connection.H2Connection()
    client.initiate_upgrade_connection()
    exchange.wire.deliver(client.data_to_send())
    await exchange.settle()
    events = client.receive_data(exchange.wire.take())
    assert [dict(each.headers)[b":status"] for each in events if isinstance(each, h2.events.ResponseReceived)] == [
        b"413"
    ]
    await exchange.end()


@timeless
async def test_a_client_that_waits_for_100_is_answered_without_its_body() -> None:
    exchange = Exchange(BODY, (b"expect", b"100-continue"))
    call = await exchange.called()
    await call.respond(401)
    assert exchange.statuses == [401]
    assert asyncio.get_running_loop().time() == 1000.0  # at once
    call.done()
    await exchange.serving


@timeless
async def test_a_client_that_has_got_its_100_sends_the_rest_of_its_body() -> None:
    exchange = Exchange(BODY, (b"expect", b"100-continue"))
    call = await exchange.called()
    exchange.parts.put_nowait(part(b"01234"))
    assert await call.receive() == part(b"01234")
    exchange.parts.put_nowait(part(b"56789", more=False))
    await call.send(start(401))
    await exchange.settle()
    assert exchange.statuses == [101]
    await exchange.end()


@timeless
async def test_an_application_that_fails_before_it_has_read() -> None:
    exchange = Exchange(BODY)
    call = await exchange.called()
    call.fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await exchange.serving
    assert exchange.statuses == []


@timeless
async def test_a_cancelled_request_takes_its_application_along() -> None:
    exchange = Exchange(BODY)
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        finally:
            await exchange.settle()
            ended.append("cleaned up")

    exchange.h2c.app = app
    await exchange.settle()
    exchange.serving.cancel()
    await asyncio.wait([exchange.serving])
    assert exchange.serving.cancelled()
    assert ended == ["cleaned up"]
