"""`WebSocketProtocol`: the `asyncio.Protocol` of one WebSocket, between transport, state machine and `Messages`.

What the application sends within one turn of the event loop leaves in one write: uvloop makes a system call of each
``transport.write``, and that call costs more than everything else here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, cast

from starlette.types import Message

from asgi_upgrade.system.timers import Timer, Timers
from asgi_upgrade.websocket.bulk import BulkReader
from asgi_upgrade.websocket.closing import Closing
from asgi_upgrade.websocket.connection import Connection, Ending, Event
from asgi_upgrade.websocket.counts import Counts
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.flusher import Flusher
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.keepalive import IdleWatch, KeepAlive
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["Phase", "WebSocketProtocol"]

# What one connection may send in a turn of the event loop, in the measure of `Connection.outgoing_cost`, before `send`
# waits for the next turn: 62 short messages, or about 64 KiB. Less would be slower, more would let others wait longer.
_SHARE: Final = 64 * 1024
# How many messages may be taken out of a full queue in a turn; a power of two.
_MESSAGES: Final = 32
# Above this, pieces are handed to the transport one by one instead of being copied into one.
_JOIN_LIMIT: Final = 128 * 1024


class Handshake(Protocol):
    """Serves the application until the connection is open."""

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``."""

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""


class Phase(IntEnum):
    """How far a connection is. It goes down this list, and may skip lines."""

    CONNECTING = 0
    """It does not belong to us yet: the application talks to the handshake."""
    OPEN = 1
    """Both directions are open."""
    ANSWERING = 2
    """The input has ended. The application may still answer what came before."""
    CLOSING = 3
    """The application has closed. The client's close frame, with its code, is waited for."""
    LEAVING = 4
    """We have closed: the server stops, or no message has moved for long. The application has been told."""
    ENDED = 5
    """Both directions have ended. The transport is brought to its end."""
    LOST = 6
    """The transport is gone."""


# What is asked often.
_ANSWERING: Final = Phase.ANSWERING
_LOST: Final = Phase.LOST


class Rules(NamedTuple):
    """The actions allowed in a phase.

    Attributes:
        sends: The application may send messages.
        listens: The input has not ended, and its end will be the next step.
        waits: The application has not been told of an end.
        discards: What still arrives is of no use to the application, so its full queue does not pause reading.
    """

    sends: bool
    listens: bool
    waits: bool
    discards: bool


# By phase.
RULES: Final = (
    Rules(sends=False, listens=True, waits=True, discards=False),  # CONNECTING
    Rules(sends=True, listens=True, waits=True, discards=False),  # OPEN
    Rules(sends=True, listens=False, waits=True, discards=False),  # ANSWERING
    Rules(sends=False, listens=True, waits=True, discards=True),  # CLOSING
    Rules(sends=False, listens=True, waits=False, discards=True),  # LEAVING
    Rules(sends=False, listens=False, waits=False, discards=True),  # ENDED
    Rules(sends=False, listens=False, waits=False, discards=True),  # LOST
)


def to_message(event: str | bytes) -> Message:
    """Return the message of ASGI that is one of the WebSocket."""
    if type(event) is bytes:
        return {"type": "websocket.receive", "bytes": event}
    return {"type": "websocket.receive", "text": event}


class WebSocketProtocol(asyncio.Protocol):
    """One WebSocket connection after the switch.

    A connection ends in two steps. First the input ends, with a close frame, a broken rule or the loss of the peer;
    what arrived before is still given to the application, which may answer it. When the application asks for more, or
    `WebSocketSettings.answer_timeout` has passed, the connection itself ends: the close frame goes out, ``receive``
    gives ``websocket.disconnect`` and ``send`` raises `ClientDisconnected`. `Phase` has the ways there: `close` is the
    application's, `shutdown` the server's, and `cut` is the end without any step.

    Args:
        connection: The state machine.
        settings: Limits and times.
        loop: The loop everything runs on.
        handshake: Who serves `send` until `connection_made` is called, and `receive` until the attribute is ``None``.
        counts: Whether to count what the connection carries. Somebody who wants to know costs time of each message.

    Attributes:
        handshake: See above.
        phase: How far the connection is.
        heard: Whether the client has shown a sign of life since somebody set this to ``False``.
        ready: The messages that the application may take with nothing to `look` at before, the newest first. It stays
            the same list.
        queue: All that wait for the application: `ready`, or another list, and then none is ready.
        reading_paused: Whether nothing is read now.
        counts: What the connection has carried, ``None`` if that is not counted.
    """

    __slots__ = (
        "_app_closed",
        "_closed",
        "_closing",
        "_connection",
        "_disconnect",
        "_drainers",
        "_ending",
        "_eof",
        "_flush_scheduled",
        "_flusher",
        "_held_scheduled",
        "_idle",
        "_loop",
        "_may_send",
        "_pings",
        "_queue_size",
        "_reading_bulk",
        "_receivers",
        "_settings",
        "_share",
        "_spent_in",
        "_timers",
        "_told",
        "_transport",
        "_write_paused",
        "counts",
        "handshake",
        "heard",
        "phase",
        "queue",
        "reading_paused",
        "ready",
    )

    _transport: asyncio.Transport  # since `connection_made`

    def __init__(
        self,
        connection: Connection,
        settings: WebSocketSettings,
        loop: asyncio.AbstractEventLoop,
        *,
        handshake: Handshake | None = None,
        counts: bool,
    ) -> None:
        self.handshake = handshake
        self.phase = Phase.CONNECTING
        self.counts = Counts() if counts else None
        self._connection = connection
        connection.max_queue_size = settings.max_queue_size
        self._settings = settings
        self._loop = loop
        self._flusher = Flusher.of(loop)
        self._timers = Timers.of(loop)
        # Messages for the application, the oldest last. An empty list is a tenth of an empty deque.
        self.ready: list[str | bytes] = []
        self.queue: list[str | bytes] = self.ready if handshake is None else []
        self._queue_size = 0  # no more bytes than that are in the queue; exactly so many while reading is paused
        # Those who wait for a message, the first to come first. They are woken, and take what they find in the queue:
        # so messages are taken in order even if one who was woken is cancelled, or somebody else comes first.
        self._receivers: list[asyncio.Future[None]] = []
        self._drainers: list[asyncio.Future[None]] | None = None
        self.reading_paused = False
        self._reading_bulk = False  # a `BulkReader` stands in for us
        self._held_scheduled = False  # `_read_held` will be called
        self._flush_scheduled = False
        self._write_paused = True  # until `connection_made` as well
        self._share = min(_SHARE, settings.write_buffer_size)
        self._spent_in = -1  # the turn in which that was sent, as the flusher counts them
        self._may_send = False  # `send` has nothing to look at before it sends
        self._eof = False  # the peer has ended its direction
        self._ending: Ending | None = None  # since the input has ended
        self._app_closed = False  # `close` was called
        self._disconnect: tuple[int, str] | None = None  # for the application; there is one once no phase waits
        self._told = False  # the application has been given that
        self._closed: asyncio.Future[None] | None = None  # for those who wait for the end of the transport
        self._closing: Closing | None = None  # since the first step of the end
        self.heard = False
        self._pings: Timer | KeepAlive | None = None  # the time up to the first ping, and then what sends them
        self._idle: IdleWatch | None = None

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)
        self._write_paused = False
        self._may_send = True
        self.phase = Phase.OPEN
        settings = self._settings
        transport.set_write_buffer_limits(high=settings.write_buffer_size)
        if settings.ping_interval is not None:
            self._pings = self._timers.start(self._loop, settings.ping_interval, self._keep_alive)
        if settings.idle_timeout is not None:
            self._idle = IdleWatch(settings.idle_timeout, self._loop, self._leave_idle)

    def handshake_ended(self) -> None:
        """From now on the application receives from here."""
        self.handshake = None
        if not self.reading_paused:
            self._let_take()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        connection = self._connection
        if self._receivers and not (self.queue or connection.close_sent):
            # What most reads are: one message, which the application waits for.
            message = connection.receive_message(data)
            if message is not None:
                try:
                    self._receivers.pop(0).set_result(None)
                except asyncio.InvalidStateError:
                    # It was cancelled, so perhaps nobody waits: the queue may be full now.
                    if self.counts is not None:
                        self.counts.bytes_received += len(data)
                    self._enqueue([message], len(data))
                    return
                self.queue.append(message)
                if self.counts is not None:
                    self.counts.messages_received += 1
                    self.counts.bytes_received += len(data)
                if self._idle is not None:
                    self._idle.last = self._loop.time()
                return
        self._read(data)

    def _read(self, data: bytes) -> None:
        if self.counts is not None:
            self.counts.bytes_received += len(data)
        connection = self._connection
        events = connection.receive_data(data, self._measure_queue() if connection.inflates else 0)
        if connection.outgoing:
            # Pongs. A loop may read often within one turn: at its end they could be many.
            if connection.outgoing_cost >= self._settings.write_buffer_size:
                self.flush()
            elif not self._flush_scheduled:
                self._flusher.add(self)
                self._flush_scheduled = True
            if self._write_paused:
                # The client does not read: without this, its pings would pile up here as pongs.
                self._pause_reading()
        if connection.bulk is not None and not self._reading_bulk:
            self._reading_bulk = True
            self._transport.set_protocol(BulkReader(self, connection))
        if events:
            self._take_events(events, len(data))
        elif connection.ended:
            self._ignore(len(data))

    def bulk_received(self, size: int) -> None:
        """Bytes were written to the connection's `Connection.bulk`."""
        self.heard = True
        if self.counts is not None:
            self.counts.bytes_received += size
        events = self._connection.bulk_received(size)
        if events:
            self._take_events(events, size)

    def read_short_frames(self) -> None:
        """Read as usual again: the long frame has ended."""
        self._reading_bulk = False
        self._transport.set_protocol(self)

    def _take_events(self, events: list[Event], size: int) -> None:
        """Take what ``size`` bytes have completed."""
        connection = self._connection
        ending = events.pop() if connection.ended else None
        if events and not connection.close_sent:
            self._enqueue(events, size)
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
        if self._eof:
            self._input_ended_without_close()
        self._resume_reading()

    def _enqueue(self, messages: list[Event], size: int) -> None:
        count = len(messages)
        if self.counts is not None:
            self.counts.messages_received += count
        if len(self.queue) < 2:
            self._measure_queue()  # one may have come by the short way, and others were taken
        if self._connection.inflates:
            self._queue_size += sum(map(len, messages))
        else:
            # All but the first have begun in these bytes.
            self._queue_size += len(messages[0]) + size
        messages.reverse()
        self.queue[:0] = messages  # type: ignore[assignment]
        settings = self._settings
        waiting = len(self.queue)
        # What somebody waits for is as good as taken.
        if waiting > len(self._receivers) and (
            waiting >= settings.max_queue
            or (self._queue_size >= settings.max_queue_size and self._measure_queue() >= settings.max_queue_size)
        ):
            self._pause_reading()
        self._wake_receivers(count)
        if self._idle is not None:
            self._idle.last = self._loop.time()

    def _measure_queue(self) -> int:
        """Count the bytes that wait: `Messages` takes some without a word. For each message this would be too slow."""
        self._queue_size = sum(map(len, self.queue)) if self.queue else 0
        return self._queue_size

    def _wake_receivers(self, count: int) -> None:
        receivers = self._receivers
        while receivers and count:
            receiver = receivers.pop(0)
            if not receiver.done():
                receiver.set_result(None)
                count -= 1

    def eof_received(self) -> bool:
        self._eof = True
        self._input_ended_without_close()
        # A half-closed connection still carries answers to what came before, except over TLS.
        return RULES[self.phase].waits and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        ending = self._ending
        self._stop_watching()
        if self._closing is not None:
            self._closing.cancel()
        if RULES[self.phase].waits:
            code, reason = (CloseCode.ABNORMAL_CLOSURE, "") if ending is None else ending[:2]
            self._set_disconnect(Phase.LOST, code, reason)
        else:
            self.phase = Phase.LOST
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._write_paused = True
        self._may_send = False

    def resume_writing(self) -> None:
        self.heard = True  # it reads
        self._write_paused = False
        self._wake_drainers()
        self._resume_reading()

    def shutdown(self) -> None:
        """Begin to close because the server stops: 1012, Service Restart."""
        self._end_of_transport().hurry()
        if self.phase is Phase.ANSWERING:
            self._end()
        elif RULES[self.phase].waits:
            self._leave(CloseCode.SERVICE_RESTART, "")

    @property
    def closed_with(self) -> int | None:
        """The close code of the connection, ``None`` as long as there is none."""
        return self._disconnect[0] if self._disconnect is not None else None

    @property
    def messages_received(self) -> int:
        """The number of messages that have come, see `Counts`. 0 without these."""
        return 0 if self.counts is None else self.counts.messages_received

    @property
    def bytes_received(self) -> int:
        """The number of bytes that have come."""
        return 0 if self.counts is None else self.counts.bytes_received

    @property
    def messages_sent(self) -> int:
        """The number of messages that the application has sent."""
        if self.counts is None:
            return 0
        return self.counts.pieces_sent + len(self._connection.outgoing) - self._connection.other_pieces

    @property
    def bytes_sent(self) -> int:
        """The number of bytes that were written."""
        return 0 if self.counts is None else self.counts.bytes_sent

    # What the application does, see `Messages`

    def wait(self) -> asyncio.Future[None] | None:
        """Return what to wait for while nothing is `ready`; ``None`` if there is something else to `look` at.

        Whoever is cancelled meanwhile must call `give_up_waiting`.
        """
        if self.queue or self._disconnect is not None or self.phase is _ANSWERING or self.handshake is not None:
            return None
        receiver = self._loop.create_future()
        self._receivers.append(receiver)
        return receiver

    def look(self, had_turn: bool) -> Message | None:
        """Return the next message of those that are not `ready`, or ``websocket.disconnect``, if there will be no more.

        ``None`` stands for a turn of the event loop before the next step.

        Args:
            had_turn: Whether whoever asks has waited for a turn. The application may take from a full queue, or ask
                behind the end, for ever.
        """
        queue = self.queue
        if queue:
            if not had_turn and not len(queue) % _MESSAGES:
                return None
            event = queue.pop()
            self._queue_size -= len(event)
            if len(queue) <= self._settings.max_queue // 2:
                self._resume_reading()
            return to_message(event)
        if self.phase is _ANSWERING:
            # Everything that came before the end has been taken, and answered if the application wanted to.
            self._end()
        if self._disconnect is None or (self._told and not had_turn):
            return None
        self._told = True
        code, reason = self._disconnect
        return {"type": "websocket.disconnect", "code": code, "reason": reason}

    def give_up_waiting(self, receiver: asyncio.Future[None]) -> None:
        """``receive`` is cancelled: the message that it was woken for is for the next one that waits."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)
        elif self.queue and not receiver.cancelled():
            self._wake_receivers(1)

    def put(self, message: Message) -> bool:
        """Send ``message``; return ``False``, with nothing sent, if `Messages` has to look at something first."""
        if not isinstance(message, dict):
            message = dict(message)  # compiled code is faster with a dict than with any mapping
        if not self._may_send or message["type"] != "websocket.send":
            return False
        if not self._flush_scheduled:
            if self._flusher.full:
                return False
            self._flusher.add(self)
            self._flush_scheduled = True
        connection = self._connection
        data = message.get("bytes")
        if data is not None:
            connection.send_bytes(data)
        else:
            connection.send_text(message["text"])
        if connection.outgoing_cost >= self._share:
            self.flush()
            self._spent_in = self._flusher.spend()
            self._may_send = False
        if self._idle is not None:
            self._idle.last = self._loop.time()
        return True

    def must_wait_a_turn(self) -> bool:
        """Tell whether this connection, or all together, may send no more in this turn of the event loop.

        It may send in the next one without asking, so that several tasks send in the order in which they have called.
        """
        flusher = self._flusher
        return self._spent_in == flusher.turn or (flusher.full and flusher.sends_again())

    def wait_to_write(self) -> asyncio.Future[None] | None:
        """Return what to wait for while the client takes too little; ``None`` if nothing stands in the way.

        Whoever has waited must call `waited_to_write`.
        """
        if not (self._write_paused and RULES[self.phase].waits):
            return None
        drainer = self._loop.create_future()
        if self._drainers is None:
            self._drainers = []
        self._drainers.append(drainer)
        return drainer

    def waited_to_write(self, drainer: asyncio.Future[None]) -> None:
        """Nobody waits for ``drainer`` any more."""
        if self._drainers is not None and drainer in self._drainers:
            self._drainers.remove(drainer)

    def put_after_waiting(self, message: Message) -> None:
        """Send ``message``, which has waited for its turn.

        Raises:
            ClientDisconnected: The connection is gone.
            RuntimeError: The message does not fit the state.
        """
        if message["type"] != "websocket.send":
            self._put_close(message)
            return
        if not RULES[self.phase].sends:
            self._raise_closed(message)
        if self._transport.is_closing():
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "")
        if not self._flush_scheduled:
            self._flusher.add(self)
            self._flush_scheduled = True
        self._may_send = True
        try:
            sent = self.put(message)
        finally:
            if self._spent_in == self._flusher.turn:
                self._may_send = False
        assert sent

    def _put_close(self, message: Message) -> None:
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
        if not RULES[self.phase].waits:
            return
        self._connection.send_close(code, reason)
        self._may_send = False
        self._app_closed = True
        if self.phase is Phase.ANSWERING:
            self._end()
        else:
            self.phase = Phase.CLOSING
            self._await_client()

    def cut(self) -> None:
        """Close at once: what has not been sent is lost."""
        if self.phase is not Phase.LOST:
            self._transport.abort()

    def closing(self) -> asyncio.Future[None] | None:
        """Return what is done when the transport is gone; ``None`` if it is, or if no close is under way.

        The time that this takes is bounded: see `closed`.
        """
        return None if self.phase < Phase.CLOSING else self.closed()

    def closed(self) -> asyncio.Future[None] | None:
        """Return what is done when the transport is gone; ``None`` if it is.

        Once a close is under way, `WebSocketSettings.close_timeout` bounds the time in which nothing goes on.
        """
        if self.phase is Phase.LOST:
            return None
        if self._closed is None:
            self._closed = self._loop.create_future()
        return self._closed

    # The end

    def _input_ended(self, ending: Ending) -> None:
        """Nothing more will arrive."""
        if not RULES[self.phase].listens:
            return  # it has been lost, and what is held is read only now
        self._ending = ending
        if self.phase >= Phase.CLOSING or (self._receivers and not self.queue):
            self._end()
        else:
            self.phase = Phase.ANSWERING
            self._stop_watching()
            self._end_of_transport().await_answer(self._end)

    def _input_ended_without_close(self) -> None:
        """The client has ended its direction of TCP; what is held has come before that."""
        if RULES[self.phase].listens and not self._connection.held:
            self._input_ended(Ending(CloseCode.ABNORMAL_CLOSURE, "", failed=False))

    def _end(self) -> None:
        """Answer the end of the input with the end of the output."""
        ending = self._ending
        assert ending is not None
        self._stop_watching()
        if not self._connection.close_sent and ending.code != CloseCode.ABNORMAL_CLOSURE:
            # The peer's code comes back to it without the reason; a broken rule is told with one (RFC 6455 §5.5.1).
            self._connection.send_close(ending.code, ending.reason if ending.failed else "")
        self._set_disconnect(Phase.ENDED, ending.code, ending.reason)
        self.flush()
        closing = self._end_of_transport()
        if self._eof or not self._transport.can_write_eof():
            closing.let_go()
            return
        self._resume_reading()
        if ending.failed:
            closing.end_when_quiet()
        else:
            closing.end_our_direction()

    def _leave(self, code: int, reason: str) -> None:
        """Close, and tell the application at once."""
        self._connection.send_close(code, reason)
        self._set_disconnect(Phase.LEAVING, code, reason)
        self._await_client()

    def _leave_idle(self) -> None:
        self._leave(CloseCode.GOING_AWAY, f"no message for {self._settings.idle_timeout:g} seconds")

    def _await_client(self) -> None:
        """Send what is left, then wait for the client's close frame for a bounded time."""
        self._stop_watching()
        self.flush()
        self._resume_reading()
        self._end_of_transport().await_client(while_it_reads=self.phase is Phase.CLOSING)

    def _set_disconnect(self, phase: Phase, code: int, reason: str) -> None:
        """Enter a phase in which the application is told that the connection has ended, if it has not been."""
        self.phase = phase
        if self._disconnect is None:
            self._disconnect = (int(code), reason)
        self._may_send = False
        for receiver in self._receivers:
            if not receiver.done():
                receiver.set_result(None)
        self._receivers.clear()
        self._wake_drainers()

    def _end_of_transport(self) -> Closing:
        if self._closing is None:
            self._closing = Closing(self._transport, self._settings, self._loop, self._timers)
        return self._closing

    def _ignore(self, size: int) -> None:
        """Take note of bytes that mean nothing, and read no more if they become too many."""
        closing = self._end_of_transport()
        closing.ignore(size)
        if closing.is_full:
            self._pause_reading()
            if self.phase is Phase.ENDED:
                closing.cut_soon()

    # Who watches over it

    def _keep_alive(self) -> None:
        interval = self._settings.ping_interval
        assert interval is not None
        timeout = self._settings.ping_timeout
        self._pings = KeepAlive(self, self._transport, self._loop, interval=interval, timeout=timeout)

    def send_ping(self) -> None:
        """Send a ping with no payload."""
        self._connection.send_ping(b"")
        self.flush()

    def give_up(self) -> None:
        """End the connection: the client has vanished."""
        # RFC 6455 §7.1.7: nothing that still arrives is processed.
        self._connection.ignore_input()
        self._ending = Ending(CloseCode.INTERNAL_ERROR, "keepalive ping timeout", failed=True)
        self._end()

    def _stop_watching(self) -> None:
        """Stop both; they know us, which would be a circle of references."""
        if self._pings is not None:
            self._pings.cancel()
            self._pings = None
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    # Flow control

    def flush(self) -> None:
        """Write what has been encoded."""
        self._flush_scheduled = False
        connection = self._connection
        outgoing = connection.outgoing
        if not outgoing or self.phase is _LOST:
            return
        if len(outgoing) == 1:
            connection.outgoing_cost = 0
            piece = outgoing.pop()
            if self.counts is not None:
                self.counts.pieces_sent += 1
                self.counts.bytes_sent += len(piece)
            self._transport.write(piece)
            return
        # The cost is no less than the size.
        joined = connection.outgoing_cost <= _JOIN_LIMIT or sum(map(len, outgoing)) <= _JOIN_LIMIT
        connection.take_outgoing()
        if self.counts is not None:
            self.counts.pieces_sent += len(outgoing)
            self.counts.bytes_sent += sum(map(len, outgoing))
        if joined:
            self._transport.write(b"".join(outgoing))
            return
        # uvloop makes one system call of `writelines`. asyncio's copies, or does not always pause the protocol (Python
        # 3.12 and 3.13).
        if type(self._transport).__module__ == "uvloop.loop":
            self._transport.writelines(outgoing)
        else:
            for piece in outgoing:
                self._transport.write(piece)

    def _wake_drainers(self) -> None:
        drainers, self._drainers = self._drainers, None
        for drainer in drainers or ():
            if not drainer.done():
                drainer.set_result(None)

    def _let_take(self) -> None:
        """From now on the application need not `look`."""
        if self.queue is not self.ready:
            self.ready += self.queue
            self.queue = self.ready

    def _pause_reading(self) -> None:
        if not self.reading_paused and self.phase is not Phase.LOST:
            self.reading_paused = True
            if self.queue is self.ready:
                self.queue = self.ready.copy()
                self.ready.clear()
            self._measure_queue()
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self.reading_paused or self._transport.is_closing():
            return
        if self._closing is not None and self._closing.is_full:
            return
        settings = self._settings
        if RULES[self.phase].discards or (
            not self._write_paused
            and len(self.queue) <= settings.max_queue // 2
            and self._queue_size <= settings.max_queue_size // 2
        ):
            if not self._connection.held:
                self.reading_paused = False
                if self.handshake is None:
                    self._let_take()
                self._transport.resume_reading()
            elif not self._held_scheduled:
                self._held_scheduled = True
                self._loop.call_soon(self._read_held)
