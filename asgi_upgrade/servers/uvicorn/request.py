"""One request that offers an upgrade, as uvicorn serves it: uvicorn's side of a `Switchover`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Receive, Scope, Send

from asgi_upgrade.guard.in_place import InPlace
from asgi_upgrade.servers.uvicorn.edge import edge_of
from asgi_upgrade.servers.uvicorn.head import request_head
from asgi_upgrade.servers.uvicorn.upgrades import log_access, upgrade_connection, with_tls
from asgi_upgrade.switching.fields import print_fields
from asgi_upgrade.switching.owner import linger, shut_down
from asgi_upgrade.switching.switchover import Switchover
from asgi_upgrade.system.transports import replay

if TYPE_CHECKING:
    from asgi_upgrade.servers.uvicorn.upgrading_protocol import UpgradingProtocol

__all__ = ["OfferingRequest"]


# uvicorn's `receive` of each connection that was switched has this one, which nobody waits for.
_UNUSED = asyncio.Event()


class _Closed:
    """Stands for a transport that others close."""

    def close(self) -> None:
        """Nothing to do."""


class OfferingRequest:
    """Stands in for the application for one request that offers an upgrade.

    It lives as long as the connection, if that is switched, and holds on to nothing of HTTP from then on: thousands
    of connections may stay open.

    Args:
        http: What serves the connection as HTTP.
    """

    __slots__ = (
        "_connections",
        "_cycle",
        "_ended",
        "_given",
        "_http",
        "_passed_on",
        "_protocol",
        "_switchover",
        "_transport",
    )

    _cycle: Any  # uvicorn's, until the application has returned
    _protocol: Any  # the owner of the connection, from the switch on

    def __init__(self, http: UpgradingProtocol) -> None:
        self._http: UpgradingProtocol | None = http  # until the switch
        self._transport = http.transport
        self._connections = http.connections
        self._switchover = Switchover(self, InPlace)
        self._given = False  # the application has received all of the request
        self._ended: asyncio.Event | None = None  # set when the application has returned after the switch
        self._passed_on = False  # TLS has begun, and another HTTP protocol has the connection

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Call the application, with ``http.upgrade`` in the scope."""
        http = self._http
        assert http is not None
        app = http.plain_app
        if scope["http_version"] != "1.1" or scope["method"] == "CONNECT":
            # RFC 9110 §7.8: an Upgrade field in an HTTP/1.0 request is ignored. §9.3.6: CONNECT is no upgrade.
            return app(scope, receive, send)  # type: ignore[no-any-return]
        self._cycle = send.__self__  # type: ignore[attr-defined]
        self._cycle.offering = self  # for `UpgradingProtocol`
        edge = edge_of(http.config)
        self._switchover.offer(scope, edge.websocket_limits, lingers=True)
        if edge.settings is not None and scope["scheme"] == "http":
            app = upgrade_connection(app, http, edge.settings, scope, self._resume_http)
        return self._switchover.serve(app, scope)

    def _resume_http(
        self,
        successor: Callable[[], Any],
        transport: asyncio.Transport,
        *,
        headers: list[tuple[bytes, bytes]],
        data: bytes,
        tls: dict[str, Any],
    ) -> None:
        """Serve the connection as HTTP again, over ``transport``: see `asgi_upgrade.tls.upgrade.Resume`."""
        scope = self._cycle.scope
        target = scope["raw_path"].removeprefix(scope["root_path"].encode())
        if scope["query_string"]:
            target += b"?" + scope["query_string"]
        head = request_head(scope["method"].encode(), target, b"1.1", headers)
        self._passed_on = True
        self._connections.discard(self)
        http = successor()
        http.serve_with(with_tls(http.plain_app, tls))
        http.connection_made(transport)
        transport.set_protocol(http)
        http.data_received(head + data)

    # What the connection asks and tells

    def tell_shutdown(self) -> None:
        """uvicorn begins to stop, and the connection has not been switched."""
        self._switchover.shut_down()

    def shutdown(self) -> None:
        """uvicorn stops: it calls this for each of its connections."""
        shut_down(self._protocol, self._transport)

    # What the switchover asks for, see `Side`

    def is_gone(self) -> bool:
        return bool(self._cycle.disconnected or self._transport.is_closing())

    def is_stopping(self) -> bool:
        return self._http is not None and self._http.stopping

    async def receive(self) -> Message:
        while self._http is not None:
            if self._given and self._http.half_closed:
                return {"type": "http.disconnect"}
            message: Message = await self._cycle.receive()
            if self._http is None:
                break
            if not self._given:
                self._given = not self._cycle.more_body
                return message
            if message["type"] == "http.disconnect":
                return message
        if self._cycle is not None:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()
        return {"type": "http.disconnect"}

    def send(self, message: Message) -> Awaitable[None]:
        return self._cycle.send(message)  # type: ignore[no-any-return]

    async def complete_request(self) -> None:
        cycle, http = self._cycle, self._http
        assert http is not None
        while cycle.more_body and not cycle.disconnected:
            await cycle.receive()
        if http.flow.write_paused:  # it is not any more when the client has gone
            await http.flow.drain()

    def give_away(self, protocol: Any, fields: list[tuple[bytes, bytes]]) -> None:
        cycle, http, transport = self._cycle, self._http, self._transport
        assert http is not None
        if cycle.access_log:
            log_access(cycle.access_logger, cycle.scope, 101)
        lines = map(b": ".join, (*cycle.default_headers, *print_fields(fields)))
        transport.write(b"\r\n".join((b"HTTP/1.1 101 Switching Protocols", *lines, b"\r\n")))
        cycle.response_started = cycle.response_complete = True
        http.server_state.total_requests += 1
        early = http.release()
        self._protocol = protocol
        self._http = None  # from here on `end` ends the connection, also if the protocol raises something
        self._connections.discard(http)
        self._connections.add(self)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        http.let_go()
        # Nothing of what served HTTP is kept. Whoever waits in uvicorn's `receive` goes on in ours.
        cycle.message_event.set()
        cycle.message_event = _UNUSED
        cycle.on_response = cycle.flow = cycle.offering = None
        if early:
            replay(protocol, early)
        if http.half_closed and not protocol.eof_received():
            transport.close()
        if http.stopping:
            self.shutdown()

    def end(self) -> None:
        cycle = self._cycle
        cycle.offering = None
        if self._http is None:
            if not self._passed_on:
                self._let_go()
            self._cycle = None  # its scope holds us: no garbage that has to be collected
            if self._ended is not None:
                self._ended.set()
        elif self._http.half_closed:
            # It has its response, or will get none: as without us, but later.
            cycle.disconnected = True
            self._transport.close()

    def _let_go(self) -> None:
        """Close the transport, unless the protocol is doing that."""
        closed = linger(self._protocol)
        if closed is None:
            self._connections.discard(self)
            self._transport.close()
        else:
            self._cycle.transport = _Closed()  # uvicorn closes it if the application has raised an exception
            closed.add_done_callback(lambda _: self._connections.discard(self))
