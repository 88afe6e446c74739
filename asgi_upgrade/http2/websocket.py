"""WebSockets on a stream (RFC 8441): an extended CONNECT is delivered as the handshake it would be in HTTP/1.1.

The request offers ``http.upgrade`` like one of HTTP/1.1. Its 101 leaves as 200, and from then on the stream is the
transport of the protocol that was announced.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.types import Message, Scope

from asgi_upgrade.extension import EXTENSION, HTTP2_VERSION, Connect
from asgi_upgrade.http2.scope import CONNECTION_SPECIFIC
from asgi_upgrade.http2.stream import ErrorCodes, Stream
from asgi_upgrade.servers.switching import check_essential, fields_of_101

if TYPE_CHECKING:
    from asgi_upgrade.http2.connection import HTTP2Protocol

__all__ = ["StreamTransport", "WebSocketStream"]

_REFUSAL = b"The connection could not be switched to another protocol.\n"


class WebSocketStream(Stream):
    """One extended CONNECT with ``:protocol`` ``websocket``.

    Args:
        connection: What it belongs to.
        stream_id: Its number.
        scope: The request, with the method GET.
    """

    __slots__ = ("_ended", "_essential", "_protocol", "_request_given", "_switched", "_transport")

    def __init__(self, connection: HTTP2Protocol, stream_id: int, scope: Scope) -> None:
        super().__init__(connection, stream_id, scope)
        self._protocol: Any = None
        self._essential: list[tuple[bytes, bytes]] = []
        self._switched: asyncio.Future[bool] | None = None
        self._transport: StreamTransport | None = None  # from the switch on
        self._request_given = False
        self._ended = asyncio.Event()  # the transport is gone
        scope["extensions"][EXTENSION] = {"version": HTTP2_VERSION, "protocol": "websocket", "connect": self._connect()}

    def _connect(self) -> Connect:
        def connect(protocol: asyncio.BaseProtocol, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
            essential = check_essential(headers)
            switched: asyncio.Future[bool] = self.connection.loop.create_future()
            if self._started or self.gone:
                switched.set_result(False)
            else:
                self._withdraw()
                self._protocol, self._essential, self._switched = protocol, essential, switched
            return switched

        return connect

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
        self._withdraw()
        if self._transport is not None:
            self._transport.lose(ConnectionResetError("the HTTP/2 stream was reset"))

    def shutdown(self) -> None:
        """The server begins to stop."""
        if self._transport is not None:
            shutdown = getattr(self._protocol, "shutdown", self._transport.close)
            shutdown()

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
                    await self._refuse()
                else:
                    self._switch(fields)
                return
            self._withdraw()
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

    async def _refuse(self) -> None:
        """A 101 that nobody announced, or that came too late, cannot go out."""
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REFUSAL))]
        await super().send({"type": "http.response.start", "status": 500, "headers": headers})
        await super().send({"type": "http.response.body", "body": _REFUSAL})

    async def _fail(self) -> None:
        if self._transport is None:
            await super()._fail()

    async def _end(self) -> None:
        self._withdraw()
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
        self._withdraw()
        if self._transport is not None and not self._ended.is_set():
            self._transport.abort()
        super().finish()

    def _withdraw(self) -> None:
        if self._switched is not None and not self._switched.done():
            self._switched.set_result(False)


class StreamTransport(asyncio.Transport):
    """A stream as a transport. END_STREAM stands for FIN, RST_STREAM for RST (RFC 8441 §5.1).

    Args:
        stream: The stream.
        protocol: What owns it first.
    """

    def __init__(self, stream: WebSocketStream, protocol: Any) -> None:
        super().__init__()
        self._stream = stream
        self._connection = stream.connection
        self._protocol = protocol
        self._high = 64 * 1024
        self._low = self._high // 4
        self._size = 0  # what waits to be sent
        self._write_paused = False
        self._reading = True
        self._unread = bytearray()  # what has come since reading was paused
        self._delivery_scheduled = False
        self._peer_ended = False
        self._eof_told = False
        self._eof_written = False
        self._end_sent = False
        self._closing = False
        self._lost = False

    # What the stream tells

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._closing:
            self._connection.acknowledge(self._stream, len(data))
            return
        self._unread += data
        if self._reading and not self._delivery_scheduled:
            self._deliver()

    def feed_eof(self) -> None:
        """The client has ended its direction."""
        self._peer_ended = True
        if self._reading and not self._delivery_scheduled:
            self._deliver()

    def sent(self, size: int, *, last: bool) -> None:
        """The connection has sent ``size`` bytes; ``last`` tells that our direction has ended with them."""
        self._size -= size
        if last:
            self._end_sent = True
            if self._closing:
                self._finish()
        if self._write_paused and self._size <= self._low:
            self._write_paused = False
            self._tell(self._protocol.resume_writing)

    def lose(self, error: Exception | None) -> None:
        """The stream is gone."""
        self._closing = True
        self._unread.clear()
        self._size = 0
        if not self._lost:
            self._lost = True
            self._connection.loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._tell(self._protocol.connection_lost, error)
        self._stream.lost()

    def _finish(self) -> None:
        """Both directions have ended, or the client's no longer matters."""
        if not self._peer_ended:
            self._connection.reset(self._stream, ErrorCodes.NO_ERROR)
        self.lose(None)

    def _deliver(self) -> None:
        self._delivery_scheduled = False
        while self._unread and self._reading and not self._closing:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                buffer = memoryview(self._protocol.get_buffer(len(self._unread))).cast("B")
                size = min(len(buffer), len(self._unread))
                buffer[:size] = self._unread[:size]
                del self._unread[:size]
                self._connection.acknowledge(self._stream, size)
                self._tell(self._protocol.buffer_updated, size)
            else:
                data = bytes(self._unread)
                self._unread.clear()
                self._connection.acknowledge(self._stream, len(data))
                self._tell(self._protocol.data_received, data)
        if self._peer_ended and not self._eof_told and not self._unread and self._reading and not self._closing:
            self._eof_told = True
            if not self._tell(self._protocol.eof_received):
                self.close()

    def _tell(self, callback: Any, *args: Any) -> Any:
        """Call the protocol. Its errors end this stream, as asyncio has it, and no other."""
        try:
            return callback(*args)
        except Exception as error:  # noqa: BLE001
            context = {"message": "Error in a protocol", "exception": error, "transport": self}
            self._connection.loop.call_exception_handler({**context, "protocol": self._protocol})
            self.abort()
            return None

    # What the protocol does

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the connection."""
        return self._connection.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return what owns the stream."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol own the stream."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Tell whether it is closing or closed."""
        return self._closing

    def is_reading(self) -> bool:
        """Tell whether the protocol gets what arrives."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Keep what arrives; the client may send no more than its window."""
        self._reading = False

    def resume_reading(self) -> None:
        """Deliver what has arrived, soon."""
        self._reading = True
        if (self._unread or self._peer_ended) and not self._delivery_scheduled:
            self._delivery_scheduled = True
            self._connection.loop.call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say when the protocol shall pause."""
        if high is None:
            high = 64 * 1024 if low is None else 4 * low
        self._high = high
        self._low = high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return when the protocol resumes and when it pauses."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait."""
        return self._size

    def can_write_eof(self) -> bool:
        """A stream can end in one direction."""
        return True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send ``data`` when the client lets us."""
        if not data or self._closing or self._eof_written:
            return
        stream = self._stream
        if not stream.outgoing:
            stream.progressed = self._connection.loop.time()
        stream.outgoing.append(memoryview(bytes(data)))
        self._size += len(data)
        self._connection.send_soon(stream)
        if self._size > self._high and not self._write_paused:
            self._write_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """End our direction behind what waits."""
        if not self._eof_written and not self._lost:
            self._eof_written = self._stream.ending = True
            self._connection.send_soon(self._stream)

    def close(self) -> None:
        """Send what waits, then end the stream."""
        if self._closing:
            return
        self._closing = True
        if self._unread:
            self._connection.acknowledge(self._stream, len(self._unread))
            self._unread.clear()
        if self._end_sent:
            self._finish()
        else:
            self.write_eof()

    def abort(self) -> None:
        """End the stream at once."""
        if not self._lost:
            self._connection.reset(self._stream, ErrorCodes.CANCEL)
            self._stream.outgoing.clear()
            self._stream.ending = False
            self._stream.gone = True
            self.lose(None)
