"""One request that offers an upgrade, as hypercorn serves it: hypercorn's side of a `Switchover`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

import h11
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.h11 import H11WSConnection
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from starlette.types import ASGIApp, Message, Receive, Send

from asgi_upgrade.guard.in_place import InPlace
from asgi_upgrade.servers.websocket_limits import HYPERCORN, websocket_limits
from asgi_upgrade.switching.fields import print_fields
from asgi_upgrade.switching.owner import linger, shut_down
from asgi_upgrade.switching.switchover import Switchover
from asgi_upgrade.system.transports import replay

if TYPE_CHECKING:
    from hypercorn.protocol.h11 import H11Protocol

__all__ = ["OfferingRequest"]


class OfferingRequest:
    """Stands in for the application for one request that offers an upgrade: hypercorn's side of a `Switchover`.

    Args:
        http: What serves the connection as HTTP.
        server: What reads from the socket and writes to it.
    """

    stream: HTTPStream  # set before it is called
    _shutdown: asyncio.Task[None]  # set when it is called

    def __init__(self, http: H11Protocol, server: TCPServer) -> None:
        self._http = http
        self._reader = server.reader
        self._writer = server.writer
        self._switchover = Switchover(self, InPlace)
        self._protocol: Any = None  # the owner of the connection, from the switch on
        self._reading: Any = None  # hypercorn's own protocol, from the switch on
        self._given = False  # the application has received all of the request
        self._broken = False  # the client has left before that, or hypercorn waits for the rest no longer
        # Until the switch: the client has ended its direction. From then on: the application has returned.
        self._gone = asyncio.Event()
        self._logging: asyncio.Future[None] | None = None  # writes the line of the access log

    async def __call__(self, scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
        """Call the application, with ``http.upgrade`` in the scope."""
        self._receive: Receive = receive
        self._send: Send = send
        self._switchover.offer(scope, websocket_limits(self._http.config, HYPERCORN), lingers=True)
        self._notice_end()
        self._shutdown = asyncio.create_task(self._watch_shutdown())

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._http.app(scope, receive, send, sync_spawn, call_soon)

        try:
            await self._serve(app, scope)
        finally:
            self._let_go()
            if self._logging is not None:
                await self._logging

    async def _serve(self, app: ASGIApp, scope: Any) -> None:
        """Call the application; return when it has returned, and what it switched to has closed the connection."""
        try:
            await self._switchover.serve(app, scope)
        except Exception:  # noqa: BLE001 - hypercorn does the same
            # hypercorn writes the same line, but when we have returned: after a switch, when the connection is closed.
            await self._http.config.log.exception("Error in ASGI Framework")
        closed = linger(self._protocol)
        if closed is not None:
            await asyncio.shield(closed)

    def _notice_end(self) -> None:
        """Learn of the client's end, although nobody reads from the socket until the request is answered."""
        reader, gone = self._reader, self._gone
        feed_eof, set_exception = reader.feed_eof, reader.set_exception

        def feed_eof_and_tell() -> None:
            feed_eof()
            gone.set()

        def set_exception_and_tell(exc: Exception) -> None:
            set_exception(exc)
            gone.set()

        reader.feed_eof = feed_eof_and_tell  # type: ignore[method-assign]
        reader.set_exception = set_exception_and_tell  # type: ignore[method-assign]
        if reader.at_eof():
            gone.set()

    async def _watch_shutdown(self) -> None:
        await self._http.context.terminated.wait()
        self._switchover.shut_down()
        if self._reading is not None:
            shut_down(self._protocol, self._writer.transport)

    # What the switchover asks for, see `Side`

    def is_gone(self) -> bool:
        return self._broken or self._writer.is_closing()

    def is_stopping(self) -> bool:
        return self._http.context.terminated.is_set()

    async def receive(self) -> Message:
        if not (self._given or self._broken):
            message = await self._receive()
            self._broken = message["type"] == "http.disconnect"
            self._given = message["type"] == "http.request" and not message["more_body"]
            return message
        if not self._broken:
            await self._gone.wait()
        return {"type": "http.disconnect"}

    def send(self, message: Message) -> Awaitable[None]:
        return self._send(message)

    async def complete_request(self) -> None:
        # hypercorn has waited for what it wrote before, see its `protocol_send`.
        while not (self._given or self._broken):
            await self.receive()

    def give_away(self, protocol: Any, fields: list[tuple[bytes, bytes]]) -> None:
        http = self._http
        transport: Any = self._writer.transport
        headers = [*http.config.response_headers("h11"), *print_fields(fields)]
        response = h11.InformationalResponse(status_code=101, headers=headers, reason="Switching Protocols")
        transport.write(http.connection.send(response))
        self.stream.state = ASGIHTTPState.CLOSED
        self._protocol = protocol
        self._reading = transport.get_protocol()
        unread = self._reader._buffer  # type: ignore[attr-defined]  # nothing public tells what is in it
        early = http.connection.trailing_data[0] + bytes(unread)
        unread.clear()
        transport.resume_reading()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if early:
            replay(protocol, early)
        if self._reader.at_eof() and not protocol.eof_received():
            transport.close()
        if self._gone.is_set():
            self._gone = asyncio.Event()
        if self.is_stopping():
            shut_down(protocol, transport)
        seconds = time.time() - self.stream.start_time
        logged = http.config.log.access(self.stream.scope, {"status": 101, "headers": fields}, seconds)
        self._logging = asyncio.ensure_future(logged)

    def end(self) -> None:
        self._gone.set()

    def _let_go(self) -> None:
        del self._reader.feed_eof, self._reader.set_exception
        self._shutdown.cancel()
        if self._reading is not None:
            # hypercorn waits for its own protocol to learn of the end, and then closes the connection once more.
            self._writer.transport.close()
            self._reading.connection_lost(None)
            self._http.connection = H11WSConnection(self._http.connection)  # type: ignore[arg-type]
