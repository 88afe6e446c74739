"""One HTTP/2 connection, as the protocol of a transport and as the owner of streams.

It ties the rooms of this folder together: ``engine`` makes frames, ``reading`` takes them, ``output`` sends, ``table``
has the streams, ``watch`` the times, ``ending`` the end.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from starlette.types import ASGIApp, Scope

from asgi_upgrade.http2.budget import Budget
from asgi_upgrade.http2.ending import Ending
from asgi_upgrade.http2.engine import ServerConnection
from asgi_upgrade.http2.incoming import Incoming
from asgi_upgrade.http2.opener import Opener
from asgi_upgrade.http2.output import Hold, Output
from asgi_upgrade.http2.owner import Outlet
from asgi_upgrade.http2.reading import Reader
from asgi_upgrade.http2.scope import ScopeTemplate
from asgi_upgrade.http2.server import ServerSide
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.http2.stream import Stream
from asgi_upgrade.http2.table import StreamTable
from asgi_upgrade.http2.watch import Watch
from asgi_upgrade.system.progress import Progress, measure

__all__ = ["HTTP2Protocol"]

# Credit for a request that was served: it brings resets and priorities with it.
_SERVED = 2


class HTTP2Protocol(asyncio.Protocol):
    """One HTTP/2 connection, from the 101 on.

    Args:
        app: The application, called for each request.
        template: What the requests of this connection have in common.
        client_settings: The payload of ``HTTP2-Settings``.
        settings: Limits and times.
        server: What the server does for each request.

    Attributes:
        loop: The loop everything runs on.
        settings: As given.
        server: As given.
        template: As given.
        engine: The frames.
    """

    _transport: asyncio.Transport

    def __init__(
        self,
        app: ASGIApp,
        *,
        template: ScopeTemplate,
        client_settings: bytes,
        settings: H2CSettings,
        server: ServerSide,
    ) -> None:
        self.settings = settings
        self.server = server
        self.template = template
        self.loop = loop = asyncio.get_running_loop()
        self.engine = engine = ServerConnection()
        self._client_settings = client_settings
        self._closed: asyncio.Future[None] = loop.create_future()
        now = loop.time()
        self._budget = budget = Budget(now)
        self._streams = streams = StreamTable(now)
        self._incoming = incoming = Incoming(now)
        self._output = output = Output(engine, budget, settings.write_buffer_size, loop)
        self._ending = ending = Ending(output, incoming, streams, settings.close_timeout, loop)
        self._watch = watch = Watch(
            settings=settings, output=output, incoming=incoming, streams=streams, ending=ending, loop=loop
        )
        opener = Opener(owner=self, app=app, template=template, engine=engine, streams=streams, ending=ending)
        self._reader = Reader(
            engine=engine,
            opener=opener,
            streams=streams,
            output=output,
            ending=ending,
            watch=watch,
            budget=budget,
            loop=loop,
        )

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The 101 has been written."""
        self._transport = transport = cast(asyncio.Transport, transport)
        self._output.transport = self._incoming.transport = transport
        transport.set_write_buffer_limits(high=self.settings.write_buffer_size)
        self.engine.begin(self._client_settings, self.settings)
        self._output.flush()
        self._watch.look()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if not self._ending.live:
            self._incoming.ignore(len(data))
            return
        self._incoming.heard = self.loop.time()
        self._reader.feed(data)
        if self._output.held & Hold.FULL and self._ending.live:
            unsent = self._transport.get_write_buffer_size()
            if unsent > 2 * self.settings.write_buffer_size:
                # Acknowledgements for a client that does not read would pile up.
                self._incoming.pause()

    def eof_received(self) -> bool:
        """The client has gone: it could not even grant windows any more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The connection is gone."""
        self._watch.stop()
        self._ending.lose()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """The client does not take what is sent."""
        self._output.hold(Hold.FULL)

    def resume_writing(self) -> None:
        """It does again."""
        self._output.resume()
        if self._ending.live:
            self._incoming.resume()
        self._output.pump()
        self._output.flush_soon()

    def shutdown(self) -> None:
        """Begin to stop: streams that are open are finished, new ones are not opened (RFC 9113 §6.8)."""
        self._ending.announce()

    # What `H2C` does

    def open_first(self, scope: Scope, *, body_given: bool) -> Stream:
        """Return the stream of the request that came as HTTP/1.1, before the connection is switched.

        Args:
            scope: The request.
            body_given: Whether the application has received its body already.
        """
        stream = Stream(self, 1, scope)
        self._streams.add(stream)
        stream.end_request(given=body_given)
        return stream

    async def wait_closed(self) -> None:
        """Wait until the connection is gone and all its requests have ended."""
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            self.abort()
            raise
        while tasks := self._streams.tasks():
            await asyncio.wait(tasks)

    def abort(self) -> None:
        """End the connection and all its requests at once."""
        for task in self._streams.tasks():
            task.cancel()
        self._ending.abandon()

    # What streams do, see `Owner`

    @property
    def stopping(self) -> bool:
        """See `Owner`."""
        return self._ending.stopping

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `Owner`."""
        return self._transport.get_extra_info(name, default)

    def measure(self) -> Progress | None:
        """See `Owner`."""
        return measure(self._transport)

    def send_headers(self, stream: Outlet, headers: list[tuple[bytes, bytes]], *, end_stream: bool = False) -> None:
        """See `Owner`."""
        self._output.send_headers(stream.id, headers, end_stream=end_stream)

    def send_soon(self, stream: Outlet) -> None:
        """See `Owner`."""
        self._output.send_soon(stream)

    def acknowledge(self, stream: Outlet, size: int) -> None:
        """See `Owner`."""
        if self._ending.live:
            self._output.acknowledge(stream.id, size)

    def reset(self, stream: Outlet, code: int) -> None:
        """See `Owner`."""
        if self._ending.live:
            self._output.reset(stream.id, code)

    def forget(self, stream: Outlet) -> None:
        """See `Owner`."""
        self._streams.remove(stream, self.loop.time())
        self._budget.earn(_SERVED)
        self._ending.close_if_idle()
