"""The extension ``http.upgrade`` for uvicorn's protocols: what they have in common.

Each request that offers an upgrade is served through a `Switch`. If a 101 reaches it, the switch writes it and gives
the transport away; otherwise the request is answered as any other.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from starlette.types import Message, Receive, Scope, Send
from uvicorn.config import Config

from asgi_upgrade.guard.in_place import InPlace
from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.uvicorn.upgrades import log_access, upgrade_connection, with_tls
from asgi_upgrade.servers.websocket_limits import UVICORN, websocket_limits
from asgi_upgrade.switching.extension import EXTENSION, VERSION
from asgi_upgrade.switching.switchover import (
    Announcing,
    fields_of_101,
    has_body,
    linger,
    name_http_schemes,
    printed,
    refuse_101,
    replay,
    shut_down,
)

__all__ = [
    "HOLD_LIMIT",
    "Switch",
    "UpgradingProtocol",
    "edge_settings",
    "has_body",
    "match_absolute_form",
    "replace_host",
    "request_head",
]

# Bytes that may arrive behind a request that is being answered before reading pauses. One read more may be held.
HOLD_LIMIT = 64 * 1024

# What the application of each uvicorn asks of its connections, if it asks for anything.
edge_settings: WeakKeyDictionary[Config, EdgeSettings] = WeakKeyDictionary()


class UpgradingProtocol:
    """Mixed into uvicorn's HTTP protocols, in front of them.

    Attributes:
        stopping: uvicorn has begun to shut down.
        half_closed: The client has sent all it will send, behind a request that offers an upgrade.
    """

    # Set by uvicorn's protocols, which have no common base class.
    access_log: bool
    access_logger: logging.Logger
    app: Any
    app_state: dict[str, Any]
    config: Config
    connections: set[Any]
    cycle: Any
    flow: Any
    headers: list[tuple[bytes, bytes]]
    logger: logging.Logger
    loop: asyncio.AbstractEventLoop
    root_path: str
    scope: Any
    server_state: Any
    tasks: set[asyncio.Task[None]]
    transport: asyncio.Transport

    # Defaults of the class, and no `__init__`: beyond 30 attributes CPython does not let instances share their names,
    # which takes a kilobyte of each connection and time of each request. uvicorn sets 28.
    stopping = False
    half_closed = False
    _plain_app: Any = None

    @property
    def plain_app(self) -> Any:
        """The application for a request that offers nothing; ``app`` is called for the next one."""
        return self.config.loaded_app if self._plain_app is None else self._plain_app

    def serve_with(self, app: Any) -> None:
        """Call ``app`` for all requests from now on."""
        self.app = self._plain_app = app

    @property
    def settings(self) -> EdgeSettings | None:
        """The upgrades that this connection takes before it calls the application, or ``None``."""
        return edge_settings.get(self.config)

    def shutdown(self) -> None:
        self.stopping = True
        super().shutdown()  # type: ignore[misc]
        switch: Switch | None = getattr(self.cycle, "switch", None)
        if switch is not None:
            switch.tell_shutdown()

    def send_400_response(self, msg: str) -> None:
        # asyncio's TLS delivers what it has decrypted even after the connection was closed.
        if not self.transport.is_closing():
            super().send_400_response(msg)  # type: ignore[misc]

    def eof_received(self) -> Any:  # uvicorn declares None; asyncio closes the connection unless this is true
        """Keep the connection, which uvicorn would close now, where what follows HTTP may need only one direction."""
        cycle = self.cycle
        self.half_closed = (
            cycle is not None
            and not cycle.more_body
            and not cycle.response_started
            and has_upgrade(cycle.scope["headers"])
            and self.transport.can_write_eof()
        )
        if self.half_closed:
            cycle.message_event.set()  # for `Switch.receive`
        return self.half_closed

    def read_absolute_form(self) -> None:
        """Have the scope of a request say what the absolute form of its target says.

        RFC 9112 §3.2.2: the authority in it is the one that counts, whatever Host says. Who checks Host must not be
        told another one than who serves the request. uvicorn takes such a target for a path.
        """
        scope, root_path = self.scope, self.root_path
        form = match_absolute_form(scope["raw_path"][len(root_path) :])
        if form is not None:
            authority, path = form.groups()
            path = path or (b"*" if scope["method"] == "OPTIONS" else b"/")  # §3.2.4
            scope["path"] = root_path + unquote(path.decode("ascii"))
            scope["raw_path"] = root_path.encode("ascii") + path
            replace_host(self.headers, authority)

    def hold(self) -> None:
        """Read no more until `let_go`: enough waits behind the request that is being answered.

        uvicorn's ``receive`` would resume reading, to learn whether the client has gone: so that waits, too.
        """
        self.flow.pause_reading()
        self.flow.resume_reading = _read_nothing

    def let_go(self) -> None:
        """Read again, because what was held goes on."""
        self.flow.__dict__.pop("resume_reading", None)
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def hold_if_full(self) -> None:
        """`hold` if too much waits, for a parser that keeps it."""

    @property
    def successor(self) -> Callable[[], Any]:
        """Makes a protocol for the same connection, like the one that it began with."""
        kind: Any = type(self)
        return partial(kind, self.config, self.server_state, self.app_state, self.loop)

    def release(self) -> bytes:
        """Stop to be the protocol of this connection; return what has arrived behind the request."""
        raise NotImplementedError


class _Closed:
    """Stands for a transport that others close."""

    def close(self) -> None:
        """Nothing to do."""


class Switch(Announcing):
    """Stands in for the application for one request that offers an upgrade.

    It lives as long as the connection, if that is switched, and holds on to nothing of HTTP from then on: thousands
    of connections may stay open.
    """

    def __init__(self, http: UpgradingProtocol) -> None:
        self._http: UpgradingProtocol | None = http  # until the switch
        self._transport = http.transport
        self._connections = http.connections
        self._cycle: Any = None
        self._protocol: Any = None
        self._essential: list[tuple[bytes, bytes]] = []
        self._switched: asyncio.Future[bool] | None = None
        self._on_shutdown: Callable[[], None] | None = None
        self._started = False
        self._discard = False  # nothing that is sent from now on reaches the wire
        self._done = False  # the connection belongs to the new protocol
        self._passed_on = False  # and this one has given it away
        self._request_given = False  # the application has received all of it
        self._receivers = 0
        self._at_end = False  # the application has returned after the switch
        self._ended: asyncio.Event | None = None  # set then, if anybody waits for that

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Call the application, with ``http.upgrade`` in the scope."""
        assert self._http is not None
        app = self._http.plain_app
        if scope["http_version"] != "1.1" or scope["method"] == "CONNECT":
            # RFC 9110 §7.8: an Upgrade field in an HTTP/1.0 request is ignored. §9.3.6: CONNECT is no upgrade.
            return await app(scope, receive, send)
        self._cycle = send.__self__  # type: ignore[attr-defined]
        self._cycle.switch = self  # for `UpgradingProtocol.shutdown`
        scope.setdefault("extensions", {})[EXTENSION] = entry = {
            "version": VERSION,
            "connect": self.connect(),
            "on_shutdown": self.on_shutdown(),
            "lingers": True,
        }
        limits = websocket_limits(self._http.config, UVICORN)
        if limits:
            entry["websocket"] = limits
        scope["headers"] = name_http_schemes(scope["headers"])
        settings = self._http.settings
        if settings is not None and scope["scheme"] == "http":
            app = upgrade_connection(app, self._http, settings, scope, self._resume_http)
        del receive, send
        try:
            return await InPlace(scope, self.receive, self.send).run(app)  # what is not None, uvicorn reports
        finally:
            self.end()

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

    def is_too_late(self) -> bool:
        """See `Announcing.is_too_late`."""
        return bool(self._started or self._cycle.disconnected)

    @property
    def awaits_the_end(self) -> bool:
        """True while the application has the request, and waits for the client to leave."""
        return self._request_given and self._receivers > 0

    def is_stopping(self) -> bool:
        """See `Announcing.is_stopping`."""
        return self._http is not None and self._http.stopping

    async def receive(self) -> Message:
        while not self._done:
            assert self._http is not None
            if self._request_given and self._http.half_closed:
                return {"type": "http.disconnect"}
            self._receivers += 1
            if self._request_given:
                self._http.hold_if_full()
            try:
                message: Message = await self._cycle.receive()
            finally:
                self._receivers -= 1
            if not (self._done or self._request_given):
                self._request_given = not message.get("more_body", False)
                return message
            if message["type"] == "http.disconnect" and not self._done:
                return message
        if not self._at_end:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._discard:
            return
        if message["type"] == "http.response.start" and not self._started:
            if message["status"] == 101:
                fields = fields_of_101(self._essential, message.get("headers", ()))
                self._started = self._discard = True
                if not await self._switch(fields):
                    await refuse_101(self._cycle.send)
                return
            self._started = True
            self.withdraw()
        await self._cycle.send(message)

    def shutdown(self) -> None:
        """uvicorn stops: it calls this for each of its connections."""
        shut_down(self._protocol, self._transport)

    def end(self) -> None:
        """The application has returned, and with it whatever it did with the connection has ended."""
        self.withdraw()
        self._on_shutdown = None
        if self._cycle is not None:
            self._cycle.switch = None
        if self._done:
            if not self._passed_on:
                self._let_go()
            self._cycle.disconnected = True
            if self._cycle.message_event is not None:
                self._cycle.message_event.set()
            self._cycle = None  # its scope holds us: no garbage that has to be collected
            self._at_end = True
            if self._ended is not None:
                self._ended.set()
        elif self._http is not None and self._http.half_closed:
            # It has its response, or will get none: as without us, but later.
            self._cycle.disconnected = True
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

    async def _switch(self, fields: list[tuple[bytes, bytes]]) -> bool:
        """Answer with the 101 and give the connection away. ``False`` if there is nothing to give it to."""
        cycle, http, switched = self._cycle, self._http, self._switched
        if switched is None or http is None:
            return False
        while cycle.more_body and not cycle.disconnected:
            # RFC 9110 §7.8: the new protocol begins behind the request, and its body is part of it.
            await cycle.receive()
        if http.flow.write_paused and not cycle.disconnected:
            await http.flow.drain()
        if switched.done():
            return bool(cycle.disconnected)
        if cycle.disconnected or self._transport.is_closing():
            self.withdraw()
            return True

        if cycle.access_log:
            log_access(cycle.access_logger, cycle.scope, 101)
        self._transport.write(self._render(fields))
        cycle.response_started = cycle.response_complete = True
        http.server_state.total_requests += 1
        early = http.release()
        self._done = True
        self._connections.discard(http)
        self._connections.add(self)
        self._transport.set_protocol(self._protocol)
        self._protocol.connection_made(self._transport)
        http.let_go()
        self._forget_http()
        if early:
            replay(self._protocol, early)
        if http.half_closed and not self._protocol.eof_received():
            self._transport.close()
        if http.stopping:
            self.shutdown()
        switched.set_result(True)
        return True

    def _forget_http(self) -> None:
        """Let go of all that served HTTP."""
        cycle = self._cycle
        self._http = None
        self._essential = []
        cycle.on_response = None
        cycle.flow = None
        cycle.switch = None
        if not self._receivers:
            cycle.message_event = None

    def _render(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        lines = map(b": ".join, (*self._cycle.default_headers, *printed(fields)))
        return b"\r\n".join((b"HTTP/1.1 101 Switching Protocols", *lines, b"\r\n"))


def _read_nothing() -> None:
    """In place of ``FlowControl.resume_reading``. A function of its own, which refers to nobody."""


# RFC 9112 §3.2.2, the authority as it comes: whoever reads Host judges it.
match_absolute_form = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://([^/?#]*)(/[^?#]*)?").match


def replace_host(headers: list[tuple[bytes, bytes]], authority: bytes) -> None:
    """Let ``authority`` be what Host says, in place."""
    headers[:] = [(b"host", authority), *(field for field in headers if field[0] != b"host")]


def request_head(method: bytes, target: bytes, version: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request that one parser has read, for another."""
    lines = [method + b" " + target + b" HTTP/" + version]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"
