"""Ties a transport to the state machine and to ASGI's ``receive`` and ``send``: queues, flow control, times.

What the application sends within one turn of the event loop leaves in one write: uvloop makes a system call of each
``transport.write``, and that call costs more than everything else here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, cast

from starlette.types import Message

from asgi_upgrade.system.timers import Timer, Timers
from asgi_upgrade.system.transports import end_output
from asgi_upgrade.websocket.connection import Connection, Ending, Event
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.flusher import Flusher
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.keepalive import Keepalive
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["WebSocketProtocol"]

# What one connection may send in a turn of the event loop, in the measure of `Connection.outgoing_cost`, before `send`
# waits for the next turn: 62 short messages, or about 64 KiB. Less would be slower, more would let others wait longer.
_SHARE: Final = 64 * 1024
# How many messages may be taken out of a full queue in a turn; a power of two.
_MESSAGES: Final = 32
# Above this, pieces are handed to the transport one by one instead of being copied into one.
_JOIN_LIMIT: Final = 128 * 1024
# Bytes that are read at once where a long frame may start: the less they are, the less is copied.
_START_SIZE: Final = 4096
# Bytes that are read after the end of what means anything, besides a message of the longest kind, or of this size: more
# than the kernel keeps of what a client sends before it can know. One that is in the middle of a message that is too
# long can go on to our close frame. Whoever sends more than that is cut off.
_MOST_IGNORED: Final = 1024 * 1024
_LONG_MESSAGE: Final = 16 * 1024 * 1024
# Seconds for a client that has sent its close frame to end its direction of TCP too.
_LINGER: Final = 1.0
# Seconds in which nothing comes, for a client that has broken a rule to have sent all that it was sending.
_QUIET: Final = 0.05


class Handshake(Protocol):
    """Serves the application until the connection is open."""

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``."""

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""


def _stop(timer: Timer | None) -> None:
    if timer is not None:
        timer.cancel()


class _BulkReader(asyncio.BufferedProtocol):
    """Stands in for a `WebSocketProtocol` while long frames arrive: no copy of them is made on the way."""

    def __init__(self, protocol: WebSocketProtocol, connection: Connection) -> None:
        self._protocol = protocol
        self._connection = connection
        self._start = bytearray(_START_SIZE)

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        return self._connection.bulk or self._start

    def buffer_updated(self, nbytes: int) -> None:
        if self._connection.bulk is not None:
            self._protocol.bulk_received(nbytes)
        else:
            self._protocol.data_received(bytes(self._start[:nbytes]))
            if self._connection.bulk is None:
                self._protocol.read_short_frames()

    def eof_received(self) -> bool:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket connection after the switch.

    A connection ends in two steps. First the input ends, with a close frame, a broken rule or the loss of the peer;
    what arrived before is still given to the application, which may answer it. When the application asks for more, or
    `WebSocketSettings.answer_timeout` has passed, the connection itself ends: the close frame goes out, ``receive``
    gives ``websocket.disconnect`` and ``send`` raises `ClientDisconnected`.

    Args:
        connection: The state machine.
        settings: Limits and times.
        loop: The loop everything runs on.
        handshake: Who serves `send` until `connection_made` is called, and `receive` until the attribute is ``None``.

    Attributes:
        handshake: See above.
        messages_received: Messages that have come from the client, whether the application has taken them or not.
        bytes_received: Bytes that have come, as they were on the wire before TLS: frames with their headers, compressed
            where that was agreed, pings, pongs and the close frame too.
        bytes_sent: The same of what was written.
    """

    __slots__ = (
        "__weakref__",
        "_answer_timer",
        "_app_closed",
        "_close_timer",
        "_closed",
        "_connection",
        "_disconnect",
        "_drainers",
        "_ending",
        "_eof",
        "_flush_scheduled",
        "_flusher",
        "_gathers",
        "_held_scheduled",
        "_idle_timer",
        "_ignored",
        "_keepalive",
        "_last_message",
        "_loop",
        "_lost",
        "_may_send",
        "_notes_time",
        "_pieces",
        "_queue",
        "_queue_size",
        "_reading_bulk",
        "_reading_paused",
        "_receivers",
        "_settings",
        "_share",
        "_spent_in",
        "_stopping",
        "_timers",
        "_told",
        "_transport",
        "_unsent",
        "_write_paused",
        "bytes_received",
        "bytes_sent",
        "handshake",
        "messages_received",
    )

    _gathers: bool

    def __init__(
        self,
        connection: Connection,
        settings: WebSocketSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        handshake: Handshake | None = None,
    ) -> None:
        self.handshake = handshake
        self.messages_received = self.bytes_received = self.bytes_sent = 0
        self._pieces = 0  # how many of `Connection.outgoing` have been written
        self._connection = connection
        connection.max_queue_size = settings.max_queue_size
        self._settings = settings
        self._loop = loop
        self._flusher = Flusher.of(loop)
        self._timers = Timers.of(loop)
        # Messages for the application, the oldest last. An empty list is a tenth of an empty deque.
        self._queue: list[str | bytes] = []
        self._queue_size = 0
        # Those who wait for a message, the first to come first. They are woken, and take what they find in the queue:
        # so messages are taken in order even if one who was woken is cancelled, or somebody else comes first.
        self._receivers: list[asyncio.Future[None]] = []
        self._drainers: list[asyncio.Future[None]] = []
        self._reading_bulk = False  # a `_BulkReader` stands in for us
        self._reading_paused = False
        self._ignored = 0  # bytes that have come after the end of the input
        self._held_scheduled = False  # `_read_held` will be called
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until `connection_made`
        self._write_paused = True  # until then as well
        self._flush_scheduled = False
        self._share = min(_SHARE, settings.write_buffer_size)
        self._spent_in = -1  # the turn in which that was sent, as the flusher counts them
        self._may_send = False  # `send` has nothing to look at before it sends
        self._app_closed = False
        self._lost = False
        self._stopping = False  # the server does
        self._eof = False  # the peer has ended its direction
        self._ending: Ending | None = None
        self._disconnect: tuple[int, str] | None = None
        self._told = False  # the application has been given that
        self._closed: asyncio.Future[None] | None = None
        self._answer_timer: Timer | None = None
        self._close_timer: Timer | None = None
        self._idle_timer: Timer | None = None
        self._keepalive: Keepalive | None = None
        self._unsent = 0  # bytes that waited for it when the close began
        self._last_message = 0.0
        self._notes_time = settings.idle_timeout is not None  # of each message

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        self._write_paused = False
        self._may_send = True
        # uvloop makes one system call of `writelines`. asyncio's copies, or does not always pause the protocol (Python
        # 3.12 and 3.13).
        self._gathers = type(transport).__module__ == "uvloop.loop"
        settings = self._settings
        transport.set_write_buffer_limits(high=settings.write_buffer_size)
        if settings.ping_interval is not None:
            self._keepalive = Keepalive(self, transport, settings.ping_interval, settings.ping_timeout)
            self._keepalive.start(self._loop)
        if settings.idle_timeout is not None:
            self._last_message = self._loop.time()
            self._idle_timer = self._restart(self._idle_timer, settings.idle_timeout, self._check_idle)

    def data_received(self, data: bytes) -> None:
        connection = self._connection
        self.bytes_received += len(data)
        events = connection.receive_data(data, self._queue_size)
        if connection.outgoing:
            # Pongs. A loop may read often within one turn: at its end they could be many.
            if connection.outgoing_cost >= self._settings.write_buffer_size:
                self.flush()
            elif not self._flush_scheduled:
                self._flush_scheduled = True
                self._flusher.add(self)
            if self._write_paused:
                # The client does not read: without this, its pings would pile up here as pongs.
                self._pause_reading()
        if connection.bulk is not None and not self._reading_bulk:
            self._reading_bulk = True
            self._transport.set_protocol(_BulkReader(self, connection))
        if not events:
            if connection.ended:
                self._ignore(len(data))
            return
        receivers = self._receivers
        if (
            len(events) == 1
            and receivers
            and not (self._queue or connection.ended or connection.close_sent or connection.held or receivers[0].done())
        ):
            # What most reads are: one message, which the application waits for. The general way is `_take_events`.
            self._queue = events  # type: ignore[assignment]
            self._queue_size = len(events[0])
            self.messages_received += 1
            receivers.pop(0).set_result(None)
            if self._notes_time:
                self._last_message = self._loop.time()
        else:
            self._take_events(events)

    def bulk_received(self, size: int) -> None:
        """Bytes were written to the connection's `Connection.bulk`."""
        self.bytes_received += size
        events = self._connection.bulk_received(size)
        if events:
            self._take_events(events)

    def read_short_frames(self) -> None:
        """Read as usual again: the long frame has ended."""
        self._reading_bulk = False
        self._transport.set_protocol(self)

    def _take_events(self, events: list[Event]) -> None:
        connection = self._connection
        ending = events.pop() if connection.ended else None
        if events and not connection.close_sent:
            self._enqueue(events)
        if ending is not None:
            self._input_ended(ending)  # type: ignore[arg-type]
        elif connection.held:
            self._pause_reading()
            self._resume_reading()  # perhaps the application has taken everything

    def _read_held(self) -> None:
        """Go on with what was read when the queue was full."""
        self._held_scheduled = False
        if not self._connection.held:
            return
        self.data_received(b"")
        if self._eof and self._ending is None and not self._connection.held:
            self._input_ended(Ending(CloseCode.ABNORMAL_CLOSURE, "", failed=False))
        self._resume_reading()

    def _enqueue(self, messages: list[Event]) -> None:
        self._queue_size += sum(map(len, messages))
        count = len(messages)
        self.messages_received += count
        messages.reverse()
        if self._queue:
            self._queue[:0] = messages  # type: ignore[assignment]
        else:
            self._queue = messages  # type: ignore[assignment]
        settings = self._settings
        waiting = len(self._queue)
        # What somebody waits for is as good as taken.
        if waiting > len(self._receivers) and (
            self._queue_size >= settings.max_queue_size or waiting >= settings.max_queue
        ):
            self._pause_reading()
        self._wake_receivers(count)
        if settings.idle_timeout is not None:
            self._last_message = self._loop.time()

    def _wake_receivers(self, count: int) -> None:
        receivers = self._receivers
        while receivers and count:
            receiver = receivers.pop(0)
            if not receiver.done():
                receiver.set_result(None)
                count -= 1

    def eof_received(self) -> bool:
        self._eof = True
        if self._ending is None and not self._connection.held:
            self._input_ended(Ending(CloseCode.ABNORMAL_CLOSURE, "", failed=False))
        # A half-closed connection still carries answers to what came before, except over TLS.
        return self._disconnect is None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        _stop(self._answer_timer)
        _stop(self._close_timer)
        _stop(self._idle_timer)
        self._stop_keepalive()
        if self._disconnect is None or self._receivers or self._drainers:
            ending = self._ending
            self._set_disconnect(ending.code if ending else CloseCode.ABNORMAL_CLOSURE, ending.reason if ending else "")
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._may_send = False

    def resume_writing(self) -> None:
        if self._keepalive is not None:
            self._keepalive.client_reads()
        self._write_paused = False
        self._wake_drainers()
        self._resume_reading()

    def shutdown(self) -> None:
        """Begin to close because the server stops: 1012, Service Restart."""
        self._stopping = True
        if self._disconnect is not None:
            timer = self._close_timer
            if timer is not None and timer.when > self._loop.time() + self._patience():
                self._close_timer = self._restart(self._close_timer, self._patience(), self._cut)
        elif self._ending is not None:
            self._end()
        else:
            self._connection.send_close(CloseCode.SERVICE_RESTART)
            self._set_disconnect(CloseCode.SERVICE_RESTART, "")
            self._await_close()

    @property
    def reads(self) -> bool:
        """Whether what the client sends is read now."""
        return not self._reading_paused

    @property
    def closed_with(self) -> int | None:
        """The close code of the connection, ``None`` as long as there is none."""
        return self._disconnect[0] if self._disconnect is not None else None

    @property
    def messages_sent(self) -> int:
        """The number of messages that the application has sent."""
        return self._pieces + len(self._connection.outgoing) - self._connection.other_pieces

    # What the application does

    async def receive(self) -> Message:
        """ASGI ``receive``: the next message, or ``websocket.disconnect`` once there will be none."""
        if self.handshake is not None:
            return await self.handshake.receive()
        if self._reading_paused and not len(self._queue) % _MESSAGES:
            await asyncio.sleep(0)
        while not self._queue:
            if self._disconnect is not None:
                if self._told:
                    await asyncio.sleep(0)  # somebody may ask for ever
                self._told = True
                code, reason = self._disconnect
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            if self._ending is not None:
                # Everything that came before the end has been taken, and answered if the application wanted to.
                self._end()
            else:
                receiver = self._loop.create_future()
                self._receivers.append(receiver)
                try:
                    await receiver
                except BaseException:
                    self._give_up(receiver)
                    raise
        queue = self._queue
        event = queue.pop()
        self._queue_size = self._queue_size - len(event) if queue else 0
        if self._reading_paused:
            self._resume_reading()
        if type(event) is bytes:
            return {"type": "websocket.receive", "bytes": event}
        return {"type": "websocket.receive", "text": event}

    def _give_up(self, receiver: asyncio.Future[None]) -> None:
        """``receive`` is cancelled: the message that it was woken for is for the next one that waits."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)
        elif self._queue and not receiver.cancelled():
            self._wake_receivers(1)

    async def send(self, message: Message) -> None:
        """ASGI ``send`` after the accept.

        Raises:
            ClientDisconnected: The connection is gone.
            RuntimeError: The message does not fit the state.
        """
        if message["type"] != "websocket.send":
            await self._send_other(message)
            return
        connection = self._connection
        if not self._may_send and await self._wait_to_send(message):
            return
        if not self._flush_scheduled:
            if self._flusher.full and await self._wait_to_send(message):
                return
            self._flush_scheduled = True
            self._flusher.add(self)
        data = message.get("bytes")
        if data is not None:
            connection.send_bytes(data)
        else:
            connection.send_text(message["text"])
        if connection.outgoing_cost >= self._share:
            self.flush()
            self._spent_in = self._flusher.spend()
            self._may_send = False
        if self._notes_time:
            self._last_message = self._loop.time()

    async def _wait_to_send(self, message: Message) -> bool:
        """Wait until ``message`` may be sent; ``True`` if the handshake has taken it.

        What this connection may send in a turn may have been sent, or what all together may, and this task sends again:
        one turn is waited for then, and only one, so that several tasks send in the order in which they have called.
        """
        if self._transport is None and self.handshake is not None:
            await self.handshake.send(message)
            return True
        flusher = self._flusher
        if self._spent_in == flusher.turn or (flusher.full and flusher.sends_again()):
            await asyncio.sleep(0)
        while self._write_paused and self._disconnect is None:
            await self._drain()
        if self._connection.close_sent or self._disconnect is not None:
            self._raise_closed(message)
        if self._transport.is_closing():
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "")
        self._may_send = self._spent_in != flusher.turn
        return False

    async def _send_other(self, message: Message) -> None:
        if self._transport is None and self.handshake is not None:
            await self.handshake.send(message)
            return
        if message["type"] != "websocket.close":
            raise RuntimeError(
                f"Expected ASGI message 'websocket.send' or 'websocket.close', but got '{message['type']}'."
            )
        if self._app_closed:
            self._raise_closed(message)
        self.close(message.get("code", CloseCode.NORMAL_CLOSURE), message.get("reason") or "")

    def _raise_closed(self, message: Message) -> None:
        if self._app_closed or self._disconnect is None:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}', after sending 'websocket.close'.")
        raise ClientDisconnected(*self._disconnect)

    def close(self, code: int, reason: str = "") -> None:
        """Send the close frame and wait for the peer's in the background; nothing to do if the connection is gone.

        Raises:
            ValueError: ``code`` may not be sent.
        """
        if self._disconnect is not None:
            return
        self._connection.send_close(code, reason)
        self._may_send = False
        self._app_closed = True
        if self._ending is not None:
            self._end()
        else:
            self._await_close()

    async def wait_closed(self) -> None:
        """Wait until the transport is gone.

        Once a close is under way, `WebSocketSettings.close_timeout` bounds the time in which nothing goes on.
        """
        if not self._lost:
            if self._closed is None:
                self._closed = self._loop.create_future()
            await asyncio.shield(self._closed)

    def cut(self) -> None:
        """Close at once: what has not been sent is lost."""
        if not self._lost:
            self._transport.abort()

    def closing(self) -> asyncio.Future[None] | None:
        """Return what is done when the transport is gone; ``None`` if it is, or if no close is under way.

        The time that this takes is bounded: see `wait_closed`.
        """
        if self._lost or not (self._connection.close_sent or self._disconnect is not None):
            return None
        if self._closed is None:
            self._closed = self._loop.create_future()
        return self._closed

    # The end

    def _input_ended(self, ending: Ending) -> None:
        """Nothing more will arrive."""
        self._ending = ending
        self._stop_keepalive()
        if self._connection.close_sent or (self._receivers and not self._queue):
            self._end()
        else:
            self._answer_timer = self._restart(self._answer_timer, self._settings.answer_timeout, self._end)

    def _end(self) -> None:
        """Answer the end of the input with the end of the output, and let go of the connection."""
        ending = self._ending
        assert ending is not None
        if self._disconnect is not None and not self._connection.close_sent:
            return
        _stop(self._answer_timer)
        if not self._connection.close_sent and ending.code != CloseCode.ABNORMAL_CLOSURE:
            # The peer's code comes back to it without the reason; a broken rule is told with one (RFC 6455 §5.5.1).
            self._connection.send_close(ending.code, ending.reason if ending.failed else "")
        self._set_disconnect(ending.code, ending.reason)
        self.flush()
        if self._eof or not self._transport.can_write_eof():
            self._let_go()
            return
        # Closing a socket that has unread bytes, be it a late pong, resets the connection, and the close frame could be
        # lost on the way: so our direction ends now, and the rest with the peer's (RFC 6455 §7.1.1).
        self._resume_reading()
        if ending.failed and not self._is_ignoring():
            self._end_when_quiet(self._loop.time() + min(_LINGER, self._patience()))
        else:
            end_output(self._transport)
            self._close_timer = self._restart(self._close_timer, min(_LINGER, self._patience()), self._let_go)

    def _ignore(self, size: int) -> None:
        """Take note of bytes that mean nothing, and read no more if they become too many."""
        self._ignored += size
        if self._is_ignoring():
            self._pause_reading()
            if self._close_timer is not None:
                end_output(self._transport)
                self._close_timer = self._restart(
                    self._close_timer, min(_LINGER, self._settings.close_timeout), self._cut
                )

    def _is_ignoring(self) -> bool:
        return self._ignored > _MOST_IGNORED + max(_LONG_MESSAGE, self._settings.max_message_size)

    def _end_when_quiet(self, until: float) -> None:
        """End our direction, but not while the client is in the middle of what it sends, up to a time.

        It may be sending the long message that broke a rule: some clients read the close frame only if they can send
        that to its end, and what sends it fails if the connection ends meanwhile.
        """
        self._close_timer = self._restart(
            self._close_timer, _QUIET, partial(self._end_if_quiet, until, self.bytes_received)
        )

    def _end_if_quiet(self, until: float, received: int) -> None:
        if self.bytes_received != received and self._loop.time() < until:
            self._end_when_quiet(until)
        else:
            end_output(self._transport)
            self._close_timer = self._restart(self._close_timer, self._patience(), self._cut)

    def _let_go(self) -> None:
        """Close the transport, which sends what it still has."""
        self._close_timer = self._restart(self._close_timer, self._patience(), self._cut)
        self._transport.close()

    def _await_close(self) -> None:
        """Send what is left, then wait for the peer's close frame for a bounded time."""
        self._stop_keepalive()
        _stop(self._idle_timer)
        self.flush()
        self._resume_reading()
        self._unsent = self._transport.get_write_buffer_size()
        self._close_timer = self._restart(self._close_timer, self._patience(), self._cut)

    def _patience(self) -> float:
        """For how many seconds a client is waited for that should close."""
        settings = self._settings
        return min(settings.close_timeout, settings.stop_timeout) if self._stopping else settings.close_timeout

    def _cut(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if self._disconnect is None and unsent < self._unsent and not self._stopping:
            # A slow client is still being sent what came before the close frame that it shall answer.
            self._unsent = unsent
            self._close_timer = self._restart(self._close_timer, self._settings.close_timeout, self._cut)
        else:
            self._transport.abort()

    def _set_disconnect(self, code: int, reason: str) -> None:
        if self._disconnect is None:
            self._disconnect = (code, reason)
        self._may_send = False
        for receiver in self._receivers:
            if not receiver.done():
                receiver.set_result(None)
        self._receivers.clear()
        self._wake_drainers()

    # Flow control

    def flush(self) -> None:
        """Write what has been encoded."""
        self._flush_scheduled = False
        connection = self._connection
        outgoing = connection.outgoing
        if not outgoing or self._lost:
            return
        if len(outgoing) == 1:
            connection.outgoing_cost = 0
            piece = outgoing.pop()
            self._pieces += 1
            self.bytes_sent += len(piece)
            self._transport.write(piece)
            return
        # The cost is no less than the size.
        joined = connection.outgoing_cost <= _JOIN_LIMIT or sum(map(len, outgoing)) <= _JOIN_LIMIT
        connection.take_outgoing()
        self._pieces += len(outgoing)
        if joined:
            data = b"".join(outgoing)
            self.bytes_sent += len(data)
            self._transport.write(data)
            return
        self.bytes_sent += sum(map(len, outgoing))
        if self._gathers:
            self._transport.writelines(outgoing)
        else:
            for piece in outgoing:
                self._transport.write(piece)

    async def _drain(self) -> None:
        drainer = self._loop.create_future()
        self._drainers.append(drainer)
        try:
            await drainer
        finally:
            if drainer in self._drainers:
                self._drainers.remove(drainer)

    def _wake_drainers(self) -> None:
        for drainer in self._drainers:
            if not drainer.done():
                drainer.set_result(None)
        self._drainers.clear()

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._lost:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading_paused or self._lost or self._transport.is_closing() or self._is_ignoring():
            return
        settings = self._settings
        if self._connection.close_sent or (
            not self._write_paused
            and len(self._queue) <= settings.max_queue // 2
            and self._queue_size <= settings.max_queue_size // 2
        ):
            if not self._connection.held:
                self._reading_paused = False
                self._transport.resume_reading()
            elif not self._held_scheduled:
                self._held_scheduled = True
                self._loop.call_soon(self._read_held)

    # Times

    def _restart(self, timer: Timer | None, delay: float, callback: Callable[[], None]) -> Timer:
        """Start a timer in place of another one."""
        if timer is not None:
            timer.cancel()
        return self._timers.start(self._loop, delay, callback)

    def ping(self) -> None:
        """Send a ping."""
        self._connection.send_ping(b"")
        self.flush()

    def fail(self, code: int, reason: str) -> None:
        """End the connection at once, because of something that the client does not do (RFC 6455 §7.1.7).

        Nothing that still arrives is processed.
        """
        self._connection.ignore_input()
        self._stop_keepalive()
        self._ending = Ending(code, reason, failed=True)
        self._end()

    def _stop_keepalive(self) -> None:
        if self._keepalive is not None:
            self._keepalive.stop()
            self._keepalive = None

    def _check_idle(self) -> None:
        timeout = self._settings.idle_timeout
        assert timeout is not None
        if self._ending is not None or self._disconnect is not None or self._connection.close_sent:
            return
        idle = self._loop.time() - self._last_message
        if idle >= timeout:
            self._connection.send_close(CloseCode.GOING_AWAY, f"no message for {timeout:g} seconds")
            self._set_disconnect(CloseCode.GOING_AWAY, f"no message for {timeout:g} seconds")
            self._await_close()
        else:
            self._idle_timer = self._restart(self._idle_timer, timeout - idle, self._check_idle)
