"""The extension ``http.upgrade`` for hypercorn over asyncio.

hypercorn looks its class for HTTP/1.1 connections up for each connection, so replacing it during the lifespan's startup
is enough. Ours differs only for requests that offer an upgrade: they are served as HTTP, WebSocket handshakes included,
through an `OfferingRequest`. h11 stops behind such a request until it is answered, and with it hypercorn's loop that
reads the socket: all that has arrived by then is in two buffers, and can be handed over with the transport.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from inspect import signature
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

import h11
import hypercorn.protocol
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from starlette.types import Message, Receive, Send

from asgi_upgrade.guard.adapters import adapt_layers
from asgi_upgrade.guard.in_place import InPlace
from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.lifespans import running_lifespans
from asgi_upgrade.servers.websocket_limits import HYPERCORN, websocket_limits
from asgi_upgrade.switching.fields import print_fields
from asgi_upgrade.switching.owner import shut_down
from asgi_upgrade.switching.switchover import Switchover
from asgi_upgrade.system.transports import replay

if TYPE_CHECKING:
    from asgi_upgrade.guard.handshake import Policy

__all__ = ["H11UpgradeProtocol", "attach"]

_attached: WeakSet[Config] = WeakSet()


def attach(*, change: bool, policy: Policy | None = None) -> bool:
    """Extend the hypercorn whose lifespan runs in the current task, or another one of this loop.

    Args:
        change: ``False`` only looks whether it is.
        policy: Who decides on handshakes; what stands around it is adapted to them.

    Returns:
        Whether there is one, and new connections will have the extension.
    """
    lifespan = next(running_lifespans(Lifespan), None)
    if lifespan is None or "connection_state" not in signature(H11Protocol.__init__).parameters:
        return False  # hypercorn before 0.17 is built differently
    config = lifespan.config
    if change:
        hypercorn.protocol.H11Protocol = H11UpgradeProtocol  # type: ignore[attr-defined]
        _attached.add(config)
        if policy is not None and isinstance(lifespan.app, ASGIWrapper):
            lifespan.app.app = adapt_layers(lifespan.app.app, policy)  # type: ignore[arg-type, assignment]
    return config in _attached


class H11UpgradeProtocol(H11Protocol):
    """An HTTP/1.1 connection of hypercorn that can be given away."""

    async def _create_stream(self, request: h11.Request) -> None:
        server = getattr(self.send, "__self__", None)
        if not (
            self.config in _attached
            and isinstance(server, TCPServer)
            and request.http_version == b"1.1"  # RFC 9110 §7.8: an Upgrade field in HTTP/1.0 is ignored
            and request.method != b"CONNECT"
            and has_upgrade(list(request.headers))
        ):
            await super()._create_stream(request)
            return
        offering = OfferingRequest(self, server)
        self.stream = offering.stream = HTTPStream(
            offering,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        raw = self.config.h11_pass_raw_headers
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=request.headers.raw_items() if raw else list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()


class OfferingRequest:
    """Stands in for the application for one request that offers an upgrade: hypercorn's side of a `Switchover`.

    Args:
        http: What serves the connection as HTTP.
        server: What reads from the socket and writes to it.
    """

    stream: HTTPStream  # set before it is called

    def __init__(self, http: H11UpgradeProtocol, server: TCPServer) -> None:
        self._http = http
        self._reader = server.reader
        self._writer = server.writer
        self._switchover = Switchover(self, InPlace)
        self._protocol: Any = None  # the owner of the connection, from the switch on
        self._reading: Any = None  # hypercorn's own protocol, from the switch on
        self._given = False  # the application has received all of the request
        # Until the switch: the client has ended its direction. From then on: the application has returned.
        self._gone = asyncio.Event()
        self._shutdown: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any, sync_spawn: Any, call_soon: Any) -> None:
        """Call the application, with ``http.upgrade`` in the scope."""
        self._receive: Receive = receive
        self._send: Send = send
        self._switchover.offer(scope, websocket_limits(self._http.config, HYPERCORN))
        self._notice_end()
        self._shutdown = asyncio.create_task(self._watch_shutdown())

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._http.app(scope, receive, send, sync_spawn, call_soon)

        await self._switchover.serve(app, scope)

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
        return self._writer.is_closing()

    def is_stopping(self) -> bool:
        return self._http.context.terminated.is_set()

    async def receive(self) -> Message:
        if not self._given:
            message = await self._receive()
            self._given = message["type"] == "http.request" and not message.get("more_body", False)
            return message
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def send(self, message: Message) -> Awaitable[None]:
        return self._send(message)

    async def complete_request(self) -> None:
        with suppress(ConnectionError):
            await self._writer.drain()
        while not self._given and (await self.receive())["type"] != "http.disconnect":
            pass

    def give_away(self, protocol: Any, fields: list[tuple[bytes, bytes]]) -> Awaitable[None]:
        http = self._http
        transport = cast(asyncio.Transport, self._writer.transport)
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
        return http.config.log.access(self.stream.scope, {"status": 101, "headers": fields}, seconds)

    def end(self) -> None:
        self._gone.set()
        del self._reader.feed_eof, self._reader.set_exception
        if self._shutdown is not None:
            self._shutdown.cancel()
        if self._reading is not None:
            # hypercorn waits for its own protocol to learn of the end, and then closes the connection once more.
            self._writer.transport.close()
            self._reading.connection_lost(None)
            self._http.connection = H11WSConnection(self._http.connection)  # type: ignore[arg-type]
            self._http.connection.buffer.clear()
