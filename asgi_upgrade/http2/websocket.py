"""WebSockets on a stream (RFC 8441): an extended CONNECT is delivered as the handshake it would be in HTTP/1.1.

The request offers ``http.upgrade`` like one of HTTP/1.1. Its 101 leaves as 200, and from then on the stream is the
transport of the protocol that was announced.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from asgi_upgrade.guard.in_place import InPlace
from asgi_upgrade.http.fields import CONNECTION_SPECIFIC
from asgi_upgrade.http2.owner import Owner
from asgi_upgrade.http2.stream import Phase, Stream
from asgi_upgrade.http2.transport import StreamTransport
from asgi_upgrade.switching.extension import HTTP2_VERSION
from asgi_upgrade.switching.owner import linger, shut_down
from asgi_upgrade.switching.switchover import Switchover

__all__ = ["WebSocketStream"]


class WebSocketStream(Stream):
    """One extended CONNECT with ``:protocol`` ``websocket``: HTTP/2's side of a `Switchover`.

    Args:
        connection: What it belongs to.
        stream_id: Its number.
        scope: The request, with the method GET.
    """

    __slots__ = ("_given", "_protocol", "_switchover", "_transport", "_transport_ended")

    short_data = 7  # the least message, but an empty one

    def __init__(self, connection: Owner, stream_id: int, scope: Scope) -> None:
        super().__init__(connection, stream_id, scope)
        self._switchover = Switchover(self, InPlace)
        self._protocol: Any = None  # the owner of the stream, from the switch on
        self._transport: StreamTransport | None = None  # the same
        self._transport_ended = asyncio.Event()
        self._given = False  # the application has received the request
        limits = connection.server.websocket_limits
        self._switchover.offer(scope, limits, version=HTTP2_VERSION, protocol="websocket", lingers=True)

    async def run(self, app: ASGIApp) -> None:
        """Run the application, which may also answer in WebSocket messages."""
        await super().run(lambda scope, _receive, _send: self._switchover.serve(app, scope))

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
        self._switchover.withdraw()
        if self._transport is not None:
            self._transport.lose(ConnectionResetError("the HTTP/2 stream was reset"))

    def shutdown(self) -> None:
        """The server begins to stop."""
        if self._transport is not None:
            shut_down(self._protocol, self._transport)
        else:
            self._switchover.shut_down()

    # What the switchover asks for, see `Side`

    def is_gone(self) -> bool:
        """Whether the client has reset the stream, or has gone."""
        return self.gone

    def is_stopping(self) -> bool:
        """Whether the server has begun to stop."""
        return self.connection.stopping

    async def receive(self) -> Message:
        """ASGI ``receive``: a request without a body, then nothing until the end."""
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while self._transport is None and not self.gone and self.phase is not Phase.COMPLETE:
            await self.body.wait()
        if self._transport is not None and not self.gone:
            await self._transport_ended.wait()
        await asyncio.sleep(0)  # somebody may ask for ever
        return {"type": "http.disconnect"}

    async def complete_request(self) -> None:
        """A request without a body is complete."""

    def give_away(self, protocol: Any, fields: list[tuple[bytes, bytes]]) -> None:
        """Answer with 200 and give the stream away (RFC 8441 §5)."""
        dropped = CONNECTION_SPECIFIC | {b"sec-websocket-accept"}
        headers = [
            (b":status", b"200"),
            *self.connection.server.default_headers(),
            *(field for field in fields if field[0] not in dropped),
        ]
        self.connection.send_headers(self, headers)
        self.connection.server.on_response(self.scope, 200)
        self._protocol = protocol
        self._transport = transport = StreamTransport(self, protocol, self._transport_ended.set)
        self._complete()
        protocol.connection_made(transport)
        early = self.body.take()
        if early:
            transport.feed(early)
        if self.body.ended:
            transport.feed_eof()
        if self.connection.stopping:
            self.shutdown()

    def end(self) -> None:
        """The application has returned; `run` makes an end of the stream."""

    async def _fail(self) -> None:
        if self._transport is None:
            await super()._fail()

    async def _end(self) -> None:
        if self._transport is None:
            await super()._end()
        elif not self._transport_ended.is_set():
            if linger(self._protocol) is not None:
                await self._transport_ended.wait()  # the protocol sees to it
            else:
                self._transport.close()
                timer = self.connection.loop.call_later(self.connection.settings.close_timeout, self._transport.abort)
                try:
                    await self._transport_ended.wait()
                finally:
                    timer.cancel()

    def finish(self) -> None:
        """The application has returned, or was cancelled."""
        if self._transport is not None and not self._transport_ended.is_set():
            self._transport.abort()
        super().finish()
