"""A stream as a transport, for a protocol that knows nothing of HTTP/2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from asgi_upgrade.http2.stream import ErrorCodes, Stream
from asgi_upgrade.system.progress import Progress
from asgi_upgrade.system.transports import fill_buffer

__all__ = ["StreamTransport"]


class StreamTransport(asyncio.Transport):
    """A stream as a transport. END_STREAM stands for FIN, RST_STREAM for RST (RFC 8441 §5.1).

    Args:
        stream: The stream.
        protocol: What owns it first.
        on_lost: Called when the protocol has been told that the stream is gone.
    """

    def __init__(self, stream: Stream, protocol: Any, on_lost: Callable[[], None]) -> None:
        super().__init__()
        self._stream = stream
        self._connection = stream.connection
        self._protocol = protocol
        self._on_lost = on_lost
        self.set_write_buffer_limits()
        self._size = 0  # what waits to be sent
        self._taken = 0  # what the connection has sent
        self._received = 0
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
        self._received += len(data)
        self._unread += data
        if self._closing:
            self._discard()
        elif self._reading and not self._delivery_scheduled:
            self._deliver()

    def feed_eof(self) -> None:
        """The client has ended its direction."""
        self._peer_ended = True
        if self._reading and not self._delivery_scheduled:
            self._deliver()

    def sent(self, size: int, *, last: bool) -> None:
        """The connection has sent ``size`` bytes; ``last`` tells that our direction has ended with them."""
        self._size -= size
        self._taken += size
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
        self._discard()
        self._size = 0
        if not self._lost:
            self._lost = True
            self._connection.loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._tell(self._protocol.connection_lost, error)
        self._on_lost()

    def _discard(self) -> None:
        """Nobody reads what has come: the connection's window is for the other streams too."""
        size, self._unread = len(self._unread), bytearray()
        self._connection.acknowledge(self._stream, size)

    def _finish(self) -> None:
        """Both directions have ended, or the client's no longer matters."""
        if not self._peer_ended:
            self._connection.reset(self._stream, ErrorCodes.NO_ERROR)
        self.lose(None)

    def _deliver(self) -> None:
        self._delivery_scheduled = False
        while self._unread and self._reading and not self._closing:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                size = self._tell(fill_buffer, self._protocol, self._unread)
                if size is None:
                    return
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
        if name == "asgi_upgrade.progress":
            return self._progress()
        return self._connection.get_extra_info(name, default)

    def _progress(self) -> Progress | None:
        """Bytes that have left this stream still have to go through the connection."""
        below = self._connection.measure()
        if below is None:
            return None
        return Progress(self._taken + below.taken, self._size + below.waiting, self._received)

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
        if not self._delivery_scheduled:
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
        self._closing = True
        self._discard()
        if self._end_sent:
            self._finish()
        else:
            self.write_eof()

    def abort(self) -> None:
        """End the stream at once."""
        if not self._lost:
            self._connection.reset(self._stream, ErrorCodes.CANCEL)
            self.lose(None)
            self._stream.disconnect()
