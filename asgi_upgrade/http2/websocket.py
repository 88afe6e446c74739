"""WebSockets on a stream (RFC 8441): an extended CONNECT is delivered as the handshake it would be in HTTP/1.1.

The request offers ``http.upgrade`` like one of HTTP/1.1. Its 101 leaves as 200, and from then on the stream is the
transport of the protocol that was announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from asgi_upgrade.guard.in_place import in_place
from asgi_upgrade.http.fields import CONNECTION_SPECIFIC
from asgi_upgrade.http2.owner import Owner
from asgi_upgrade.http2.stream import Phase, Stream
from asgi_upgrade.http2.transport import StreamTransport
from asgi_upgrade.switching.extension import EXTENSION, HTTP2_VERSION
from asgi_upgrade.switching.switchover import (
    Announcing,
    fields_of_101,
    linger,
    name_http_schemes,
    refuse_101,
    shut_down,
)

__all__ = ["WebSocketStream"]


class WebSocketStream(Announcing, Stream):
    """One extended CONNECT with ``:protocol`` ``websocket``.

    Args:
        connection: What it belongs to.
        stream_id: Its number.
        scope: The request, with the method GET.
    """

    __slots__ = ("_ended", "_essential", "_on_shutdown", "_protocol", "_request_given", "_switched", "_transport")

    short_data = 7  # the least message, but an empty one

    def __init__(self, connection: Owner, stream_id: int, scope: Scope) -> None:
        super().__init__(connection, stream_id, scope)
        self._protocol: Any = None
        self._essential: list[tuple[bytes, bytes]] = []
        self._switched: asyncio.Future[bool] | None = None
        self._on_shutdown: Callable[[], None] | None = None
        self._transport: StreamTransport | None = None  # from the switch on
        self._request_given = False
        self._ended = asyncio.Event()  # the transport is gone
        entry = {
            "version": HTTP2_VERSION,
            "protocol": "websocket",
            "connect": self.connect(),
            "on_shutdown": self.on_shutdown(),
            "lingers": True,
        }
        if connection.server.websocket_limits:
            entry["websocket"] = connection.server.websocket_limits
        scope["extensions"][EXTENSION] = entry
        scope["headers"] = name_http_schemes(scope["headers"])

    def is_too_late(self) -> bool:
        """See `Announcing.is_too_late`."""
        return self.phase is not Phase.START or self.gone

    def is_stopping(self) -> bool:
        """See `Announcing.is_stopping`."""
        return self.connection.stopping

    async def run(self, app: ASGIApp) -> None:
        """Run the application, which may also answer in WebSocket messages."""
        await super().run(in_place(app))

    # What the connection tells

    def feed(self, data: bytes) -> None:
        """Bytes for the new protocol; those that come early wait for it."""
        if self._transport is not None:
            self._transport.feed(data)
        else:
            super().feed(data)

    def feed_eof(self) -> None:
        """The client has ended its direction."""
        self.body.ended = True
        if self._transport is not None:
            self._transport.feed_eof()

    def sent(self, size: int, *, last: bool) -> None:
        """See `Stream.sent`."""
        super().sent(size, last=last)
        if self._transport is not None:
            self._transport.sent(size, last=last)

    def disconnect(self) -> None:
        """The client has reset the stream, or has gone."""
        super().disconnect()
        self.withdraw()
        if self._transport is not None:
            self._transport.lose(ConnectionResetError("the HTTP/2 stream was reset"))

    def shutdown(self) -> None:
        """The server begins to stop."""
        if self._transport is not None:
            shut_down(self._protocol, self._transport)
        else:
            self.tell_shutdown()

    # What the application does

    async def receive(self) -> Message:
        """ASGI ``receive``: a request without a body, then nothing until the end."""
        if not self._request_given:
            self._request_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while self._transport is None and not self.gone and self.phase is not Phase.COMPLETE:
            await self.body.wait()
        if self._transport is not None and not self.gone:
            await self._ended.wait()
        await asyncio.sleep(0)  # somebody may ask for ever
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI ``send``: a 101 switches."""
        if self._transport is not None or self.gone:
            await asyncio.sleep(0)  # somebody may send for ever
            return
        if message["type"] == "http.response.start" and self.phase is Phase.START:
            if message["status"] == 101:
                fields = fields_of_101(self._essential, message.get("headers", ()))
                if self._switched is None or self._switched.done():
                    await refuse_101(super().send)
                else:
                    self._switch(fields)
                return
            self.withdraw()
        await super().send(message)

    def _switch(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Answer with 200 and give the stream away (RFC 8441 §5)."""
        assert self._switched is not None
        dropped = CONNECTION_SPECIFIC | {b"sec-websocket-accept"}
        headers = [
            (b":status", b"200"),
            *self.connection.server.default_headers(),
            *(field for field in fields if field[0] not in dropped),
        ]
        self.connection.send_headers(self, headers)
        self.connection.server.on_response(self.scope, 200)
        self._transport = transport = StreamTransport(self, self._protocol, self._ended.set)
        self._complete()
        self._protocol.connection_made(transport)
        early = self.body.take()
        if early:
            transport.feed(early)
        if self.body.ended:
            transport.feed_eof()
        if self.connection.stopping:
            self.shutdown()
        self._switched.set_result(True)

    async def _fail(self) -> None:
        if self._transport is None:
            await super()._fail()

    async def _end(self) -> None:
        self.withdraw()
        if self._transport is None:
            await super()._end()
        elif not self._ended.is_set():
            if linger(self._protocol) is not None:
                await self._ended.wait()  # the protocol sees to it
                return
            self._transport.close()
            timer = self.connection.loop.call_later(self.connection.settings.close_timeout, self._transport.abort)
            try:
                await self._ended.wait()
            finally:
                timer.cancel()

    def finish(self) -> None:
        """The application has returned, or was cancelled."""
        self.withdraw()
        if self._transport is not None and not self._ended.is_set():
            self._transport.abort()
        super().finish()
