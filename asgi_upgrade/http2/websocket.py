"""WebSockets on a stream (RFC 8441): an extended CONNECT is delivered as the handshake it would be in HTTP/1.1.

The request offers ``http.upgrade`` like one of HTTP/1.1. Its 101 leaves as 200, and from then on the stream is the
transport of the protocol that was announced.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Scope

from asgi_upgrade.extension import EXTENSION, HTTP2_VERSION
from asgi_upgrade.http2.scope import CONNECTION_SPECIFIC
from asgi_upgrade.http2.stream import Stream
from asgi_upgrade.http2.transport import StreamTransport
from asgi_upgrade.servers.switching import Announcing, fields_of_101, refuse_101, shut_down

if TYPE_CHECKING:
    from asgi_upgrade.http2.connection import HTTP2Protocol

__all__ = ["WebSocketStream"]


class WebSocketStream(Announcing, Stream):
    """One extended CONNECT with ``:protocol`` ``websocket``.

    Args:
        connection: What it belongs to.
        stream_id: Its number.
        scope: The request, with the method GET.
    """

    __slots__ = ("_ended", "_essential", "_protocol", "_request_given", "_switched", "_transport")

    short_data = 7  # the least message, but an empty one

    def __init__(self, connection: HTTP2Protocol, stream_id: int, scope: Scope) -> None:
        super().__init__(connection, stream_id, scope)
        self._protocol: Any = None
        self._essential: list[tuple[bytes, bytes]] = []
        self._switched: asyncio.Future[bool] | None = None
        self._transport: StreamTransport | None = None  # from the switch on
        self._request_given = False
        self._ended = asyncio.Event()  # the transport is gone
        scope["extensions"][EXTENSION] = {"version": HTTP2_VERSION, "protocol": "websocket", "connect": self.connect()}

    def is_too_late(self) -> bool:
        """See `Announcing.is_too_late`."""
        return bool(self._started or self.gone)

    # What the connection tells

    def feed(self, data: bytes) -> None:
        """Bytes for the new protocol; those that come early wait for it."""
        if self._transport is not None:
            self._transport.feed(data)
        else:
            super().feed(data)

    def feed_eof(self) -> None:
        """The client has ended its direction."""
        self._body_ended = True
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

    def lost(self) -> None:
        """The transport is gone."""
        self._ended.set()

    # What the application does

    async def receive(self) -> Message:
        """ASGI ``receive``: a request without a body, then nothing until the end."""
        if not self._request_given:
            self._request_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while not self.gone and not (self._complete and self._transport is None):
            if self._transport is not None:
                await self._ended.wait()
                break
            if self._wakeup is None:
                self._wakeup = asyncio.Event()
            else:
                self._wakeup.clear()
            await self._wakeup.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI ``send``: a 101 switches."""
        if self._transport is not None or self.gone:
            return
        if message["type"] == "http.response.start" and not self._started:
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
        self._started = self._complete = True
        self.connection.send_headers(self, headers)
        self.connection.server.on_response(self.scope, 200)
        self._transport = transport = StreamTransport(self, self._protocol)
        self._wake()
        self._protocol.connection_made(transport)
        if self._body:
            transport.feed(bytes(self._body))
            self._body.clear()
        if self._body_ended:
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
