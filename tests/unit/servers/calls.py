"""Applications and protocols that the tests of all servers switch to, and a test that all servers pass."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.servers.requests import BODY, CHUNKED, CHUNKS, LENGTH, OFFER, request, respond
from tests.unit.waiting import turns, until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp, Receive, Scope, Send

    Do = Callable[["Call"], Awaitable[Any]]
    Serve = Callable[[ASGIApp], AbstractAsyncContextManager[Any]]

REQUESTS = {
    "no body": request(b"GET /%61?b=c", OFFER),
    "body": request(b"POST /a?b=c", OFFER, LENGTH, body=BODY),
    "chunks": request(b"POST /a?b=c", OFFER, CHUNKED, body=CHUNKS),
}
every_request = pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)


class Echo(asyncio.Protocol):
    """Owns the connection after the switch, and notes what it is told."""

    def __init__(self, *, stays: bool = False) -> None:
        self.calls: list[str] = []
        self.received = b""
        self.stays = stays  # when the client has ended its direction
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.calls.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.transport.write(data)

    def eof_received(self) -> bool:
        self.calls.append("end")
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append("lost")
        self.lost.set_result(None)


class Telling(Echo):
    """Wants to know that the server stops."""

    def shutdown(self) -> None:
        self.calls.append("shutdown")
        self.transport.write(b"goodbye")
        self.transport.close()


class Lingering(Echo):
    """Closes the connection by itself, when it likes to."""

    def closing(self) -> asyncio.Future[None]:
        self.calls.append("closing")
        return self.lost


class Call:
    """One call of the application, which does what the test says."""

    def __init__(self, do: Do) -> None:
        self.do = do
        self.began = asyncio.Event()
        self.protocol: Any = None
        self.switched: asyncio.Future[bool] | None = None
        self.result: Any = None

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/big":
            await respond(send, bytes(int(scope["query_string"])))
            return
        self.scope, self.receive, self.send = scope, receive, send
        self.began.set()
        self.result = await self.do(self)

    async def switch(self, protocol: Echo) -> bool:
        self.protocol = protocol
        self.switched = self.scope["extensions"]["http.upgrade"]["connect"](protocol, [(b"upgrade", b"example/1")])
        headers = [(b"upgrade", b"example/1"), (b"x-added", b"yes")]
        await self.send({"type": "http.response.start", "status": 101, "headers": headers})
        return await self.switched


def switching(kind: type[Echo] = Echo, **options: Any) -> Do:
    async def do(call: Call) -> None:
        assert await call.switch(kind(**options))
        await call.protocol.lost

    return do


async def leave_a_body_unread(serve: Serve, *, leaves: bool) -> None:
    """The body of a request that nobody reads does not reach the protocol, and a client that leaves is noticed."""
    call = Call(lambda call: call.switch(Echo()))
    length = 300_000
    async with serve(call.app) as served:
        await served.client.send(request(b"POST /a", OFFER, b"Content-Length: %d\r\n" % length, body=b"x"))
        await call.began.wait()
        await turns()
        assert call.switched is not None
        assert not call.switched.done()
        if leaves:
            served.client.reset()
        else:
            await served.client.send(bytes(length - 1) + b"early")
            assert (await served.client.answer()).status == 101
            await served.client.end_of_stream()
        await until(lambda: served.ended)
    assert call.switched.result() is not leaves
    assert call.protocol.received == (b"" if leaves else b"early")
