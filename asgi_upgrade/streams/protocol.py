"""The `asyncio.Protocol` under an `UpgradeStream`: buffers, flow control, and what has become of the connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import Any, cast
from weakref import WeakSet

from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream, IncompleteRead
from anyio.lowlevel import checkpoint_if_cancelled

from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.system.liveness import has_gone_silent, is_reset, keep_alive
from asgi_upgrade.system.transports import end_output

__all__ = ["StreamProtocol"]

# How many operations in a row may find what they need without letting other tasks run.
_CREDIT = 16
# Bytes of a chunk that is joined with its neighbour.
_SHORT = 512
# Bytes that are read after our side has closed: more than the kernel keeps of what a client sends before it can know.
# And seconds that a client has left which sends more than that.
_MOST_IGNORED = 16 * 1024 * 1024
_LINGER = 1.0
# Seconds between two looks at a client that nobody reads from.
_LOOK_INTERVAL = 1.0
# To close with RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)

# The exceptions with which streams have told their handlers that the client has ended its input, or has gone.
_told: WeakSet[BaseException] = WeakSet()


class StreamProtocol(asyncio.Protocol):
    """One connection after its switch to a protocol that is a stream of bytes.

    The two directions end separately. The client's end of input (FIN) leaves the other direction open where the
    transport can do that, which TLS cannot.

    Args:
        settings: Limits and times.
        loop: The loop everything runs on.

    Attributes:
        transport: What the server has given us; there is none before the switch.
        socket: What the connection is to the operating system, or ``None``.
        local_address: Its address at our end.
        remote_address: Its address at the client's end.
        half_close: Whether one direction can end before the other.
        shutdown_requested: Set when the server begins to stop.
        on_shutdown: Called then.
    """

    transport: asyncio.Transport
    socket: socket.socket | None
    local_address: Any
    remote_address: Any
    half_close: bool
    _last_activity: float  # when a byte was last seen to move, by the loop's clock

    def __init__(self, settings: StreamSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.shutdown_requested = asyncio.Event()
        self.on_shutdown: Callable[[], None] | None = None
        self._settings = settings
        self._loop = loop
        self._chunks: deque[bytes] = deque()
        self._size = 0  # of all chunks
        self._offset = 0  # what has been taken of the first
        self._ignored = 0  # bytes that have come since our side has closed
        self._reading_paused = False
        self._write_paused = False
        self._ended = False  # the client's direction
        self._end_sent = False  # our direction
        self._closed = False  # by our side
        self._lost = asyncio.Event()
        self._error: Exception | None = None
        self._waiting = 0  # bytes that waited to be sent when `idle_time` looked last
        self._receiver: asyncio.Future[None] | None = None  # there is one while a task receives
        self._sender: asyncio.Future[None] | None = None
        self._credit = _CREDIT
        self._resumed = False  # `receive` has waited, and `send` was not called since
        self._close_timer: asyncio.TimerHandle | None = None
        self._lookout: asyncio.TimerHandle | None = None  # since reading was paused
        self._answers: asyncio.TimerHandle | None = None  # to the next look whether the client answers
        self._delegate: tuple[asyncio.StreamReaderProtocol, asyncio.StreamWriter] | None = None  # until it is lost
        self._delegated = False

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=self._settings.write_buffer_size)
        self.half_close = transport.can_write_eof()
        # uvloop knows them no longer when the connection has been lost.
        self.socket = transport.get_extra_info("socket")
        self.local_address = transport.get_extra_info("sockname")
        self.remote_address = transport.get_extra_info("peername")
        self.touch()
        if self.socket is not None and self._settings.keepalive_interval is not None:
            keep_alive(self.socket, self._settings.keepalive_interval)
            self._expect_answers(self._settings.keepalive_interval)

    def data_received(self, data: bytes) -> None:
        self._last_activity = self._loop.time()
        if self._closed:
            self._ignore(len(data))
            return
        if self._delegate is not None:
            self._delegate[0].data_received(data)
            return
        chunks = self._chunks
        if len(data) < _SHORT and chunks and len(chunks[-1]) < _SHORT:
            chunks[-1] += data  # an object for each byte would take fifty times its size
        else:
            chunks.append(data)
        self._size += len(data)
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)  # it takes this at once
        elif self._size >= self._settings.read_buffer_size and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()
            if self.socket is not None:
                self._lookout = self._loop.call_later(_LOOK_INTERVAL, self._look_out)

    def _look_out(self) -> None:
        """See whether the client has gone: the loop does not tell while nobody reads or writes."""
        assert self.socket is not None
        if is_reset(self.socket):
            self.transport.abort()
            self._error = ConnectionResetError("the client has reset the connection")
        else:
            self._lookout = self._loop.call_later(_LOOK_INTERVAL, self._look_out)

    def _expect_answers(self, interval: float) -> None:
        """See again and again whether the client's system answers what is sent to it."""
        assert self.socket is not None
        if has_gone_silent(self.socket, interval):
            self.transport.abort()
            self._error = TimeoutError("the client has not acknowledged anything for a long time")
        else:
            self._answers = self._loop.call_later(max(interval, 1.0), self._expect_answers, interval)

    def eof_received(self) -> bool:
        self._ended = True
        if self._delegate is not None:
            self._delegate[0].eof_received()
        if self._receiver is not None:
            _wake(self._receiver)
        return self.half_close and not self._closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._error = exc or self._error
        for timer in (self._lookout, self._answers, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._wake_both()
        if self._delegate is not None:
            self._delegate[0].connection_lost(exc)
            self._delegate = None

    def pause_writing(self) -> None:
        self._write_paused = True
        if self._delegate is not None:
            self._delegate[0].pause_writing()

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._delegate is not None:
            self._delegate[0].resume_writing()
        if self._sender is not None:
            _wake(self._sender)

    def shutdown(self) -> None:
        """The server begins to stop."""
        if not self.shutdown_requested.is_set():
            self.shutdown_requested.set()
            if self._close_timer is not None and not self._lost.is_set():
                self._close_timer.cancel()
                self._cut_later()
            if self.on_shutdown is not None:
                self.on_shutdown()

    # What the stream does

    def idle_time(self) -> float:
        """For how many seconds no byte has moved.

        A slow client may still take what was sent long ago: that is seen by what waits to be sent.
        """
        waiting = self.transport.get_write_buffer_size()
        if waiting != self._waiting:
            self._waiting = waiting
            self.touch()
        return self._loop.time() - self._last_activity

    def touch(self) -> None:
        """Note that a byte moves."""
        self._last_activity = self._loop.time()

    def explains(self, error: BaseException) -> bool:
        """Tell whether ``error`` is what the end of the client's input, or its loss, looks like to a handler.

        While the client has only ended its input, which is nothing unusual, the handler may meet the end of something
        else: so it must be an exception of ours then, or one that has ours as its cause.
        """
        gone = self.transport.is_closing()
        if isinstance(error, (EndOfStream, IncompleteRead, BrokenResourceError)):
            return gone or error in _told or error.__cause__ in _told
        if isinstance(error, (asyncio.IncompleteReadError, ConnectionError)):
            return self._delegated and (gone or self._ended)
        return False

    async def receive(self, max_bytes: int) -> bytes:
        """See `UpgradeStream.receive`."""
        if max_bytes < 1:
            raise ValueError("max_bytes must be a positive integer")
        if self._receiver is not None:
            raise BusyResourceError("reading from")
        chunks = self._chunks
        if chunks:
            self._receiver = self._loop.create_future()
            try:
                await self.checkpoint()
            finally:
                self._receiver = None
        while not chunks:
            self._check_readable()
            self._receiver = receiver = self._loop.create_future()
            try:
                await receiver
            finally:
                self._receiver = None
            self._credit = _CREDIT
            self._resumed = True
        chunk = chunks.popleft()
        if self._offset or len(chunk) > max_bytes:
            chunk = self._split(chunk, max_bytes)
        self._size -= len(chunk)
        if self._reading_paused and self._size <= self._settings.read_buffer_size // 2:
            self._resume_reading()
        return chunk

    async def send(self, data: bytes) -> None:
        """See `UpgradeStream.send`."""
        if self._sender is not None:
            raise BusyResourceError("writing to")
        if self._resumed:
            # A task that has just waited for input and answers it, the usual thing: it was not cancelled a moment ago.
            self._resumed = False
        else:
            self._sender = self._loop.create_future()
            try:
                await self.checkpoint()
            finally:
                self._sender = None
        while True:
            if self._closed or self._end_sent:
                raise ClosedResourceError
            if self.transport.is_closing():
                raise _tell(BrokenResourceError()) from self._error
            if not self._write_paused:
                break
            self._sender = sender = self._loop.create_future()
            try:
                await sender
            finally:
                self._sender = None
        self._last_activity = self._loop.time()
        self.transport.write(data)

    async def checkpoint(self) -> None:
        """A checkpoint for an operation that need not wait: it can be cancelled here, and lets others run."""
        await checkpoint_if_cancelled()
        if self._credit:
            self._credit -= 1
        else:
            self._credit = _CREDIT
            await asyncio.sleep(0)

    def _check_readable(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if self._ended or (self._lost.is_set() and self._error is None):
            raise _tell(EndOfStream())
        if self._lost.is_set():
            raise _tell(BrokenResourceError()) from self._error

    def _split(self, chunk: bytes, max_bytes: int) -> bytes:
        """Return the part of the first chunk that is next, and put back what follows that."""
        start, end = self._offset, self._offset + max_bytes
        if end < len(chunk):
            self._chunks.appendleft(chunk)
            self._offset = end
        else:
            self._offset = 0
        return chunk[start:end]

    def end(self) -> None:
        """See `UpgradeStream.send_eof`."""
        if self._sender is not None:
            raise BusyResourceError("writing to")
        if self._closed:
            raise ClosedResourceError
        if not self.half_close:
            raise NotImplementedError("this transport cannot end one direction only")
        self._write_eof()

    def _write_eof(self) -> None:
        if not self._end_sent and not self.transport.is_closing():
            self._end_sent = True
            end_output(self.transport)

    def close(self) -> None:
        """Begin to close: what is in the buffer is still sent.

        Closing a socket that has unread bytes resets it, and the last bytes sent could be lost on their way: so only
        our direction ends now, what arrives is discarded, and the rest ends when the client has seen the end. It has
        `StreamSettings.close_timeout` for that, again and again as long as it takes what is still to be sent, or
        `StreamSettings.stop_timeout` when the server stops. If it sends more than 16 MiB meanwhile, that is not read,
        and it has a second.
        """
        if self._closed:
            return
        self._closed = True
        self._chunks.clear()
        self._wake_both()
        if self._lost.is_set():
            return
        if self.transport.get_protocol() is not self:
            self.transport.close()  # it belongs to something like `loop.start_tls`
            return
        self._cut_later()
        if self._ended or not self.half_close or self.transport.is_closing():
            self.transport.close()
        else:
            self._write_eof()
            self._resume_reading()

    def _cut_later(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        settings = self._settings
        timeout = settings.close_timeout
        if self.shutdown_requested.is_set():
            timeout = min(timeout, settings.stop_timeout)
        self._close_timer = self._loop.call_later(timeout, self._cut_if_stuck, waiting)

    def _ignore(self, size: int) -> None:
        """Take note of bytes that mean nothing, and read no more if they become too many."""
        self._ignored += size
        if self._ignored > _MOST_IGNORED and not self._reading_paused and self._close_timer is not None:
            self._reading_paused = True
            self.transport.pause_reading()
            self._close_timer.cancel()
            delay = min(_LINGER, self._settings.close_timeout)
            self._close_timer = self._loop.call_later(delay, self._cut_if_stuck, self.transport.get_write_buffer_size())

    def _cut_if_stuck(self, waiting: int) -> None:
        if self.transport.get_write_buffer_size() < waiting and not self.shutdown_requested.is_set():
            self._cut_later()
        else:
            self._abort()

    def _abort(self) -> None:
        if self.socket is not None and self.transport.get_write_buffer_size():
            # Something is missing: the client must not take this for the end.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def cut(self) -> None:
        """Close at once: what has not been sent is lost. The loss of the connection wakes who waits."""
        self._closed = True
        self._chunks.clear()
        if not self._lost.is_set():
            self._abort()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone, after `close`."""
        if self.transport.get_protocol() is self:
            await self._lost.wait()

    def delegate(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Leave the connection to a pair of asyncio's streams.

        Raises:
            BusyResourceError: A task is receiving or sending, or this was called before.
            ClosedResourceError: Our side has closed the stream.
        """
        if self._receiver is not None or self._sender is not None:
            raise BusyResourceError("taking over")
        if self._closed:
            raise ClosedResourceError
        loop = self._loop
        reader = asyncio.StreamReader(self._settings.read_buffer_size, loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        protocol.connection_made(self.transport)
        # Kept here because a writer that is forgotten closes its transport, and warns about it.
        writer = _Writer(self.transport, protocol, reader, loop)
        writer.stream_protocol = self
        self._delegate = protocol, writer
        self._delegated = True
        self._receiver, self._sender = loop.create_future(), loop.create_future()  # busy for ever
        if self._reading_paused:
            self._resume_reading()  # the reader pauses it when that is needed
        while self._chunks:
            protocol.data_received(self._chunks.popleft()[self._offset :])
            self._offset = 0
        if self._write_paused:
            protocol.pause_writing()
        if self._ended:
            protocol.eof_received()
        if self._lost.is_set():
            protocol.connection_lost(self._error)
        return reader, writer

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if self._lookout is not None:
            self._lookout.cancel()
        if not self._ended and not self.transport.is_closing():
            self.transport.resume_reading()

    def _wake_both(self) -> None:
        for waiter in (self._receiver, self._sender):
            if waiter is not None:
                _wake(waiter)


class _Writer(asyncio.StreamWriter):
    """Tells our protocol of each write, and lets others run now and then."""

    stream_protocol: StreamProtocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.stream_protocol.touch()
        super().write(data)

    async def drain(self) -> None:
        # asyncio's does not give the loop a turn as long as the client takes everything.
        await self.stream_protocol.checkpoint()
        await super().drain()


def _tell(error: Exception) -> Exception:
    _told.add(error)
    return error


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
