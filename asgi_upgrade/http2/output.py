"""The output of a connection: which stream sends next, how much, and one write for each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import h2.exceptions

from asgi_upgrade.http2.budget import Budget
from asgi_upgrade.http2.engine import ServerConnection
from asgi_upgrade.http2.owner import Outlet

__all__ = ["Hold", "Output"]

_NOTHING = memoryview(b"")
# Bytes that are sent in one go, as long as the client takes them, before others get their turn.
_SHARE = 128 * 1024
# Bytes of a frame's header.
_FRAME_HEADER = 9


class Hold:
    """Reasons to send no DATA frames for now: bits, because several can hold at once. No enum, whose ``&`` is slow."""

    PREFACE = 1
    """The client's preface has not arrived, so that its settings are not known."""
    FULL = 2
    """The client does not take what is sent."""
    SHARE = 4
    """The share of this turn has been sent."""
    END = 8
    """The connection has ended; no frame at all is sent any more."""


class Output:
    """Sends for the streams in turn, a frame each, as long as the windows and the transport take it.

    Args:
        engine: Makes the frames, and knows the windows.
        budget: Earns what is sent: the client answers it with window updates.
        limit: Bytes that are written at once.
        loop: The loop.

    Attributes:
        transport: Where it goes; set when the connection is made.
        held: Why nothing is sent, bits of `Hold`; 0 if something is.
        progressed: When the client has taken something, by the loop's clock.
    """

    transport: asyncio.Transport

    def __init__(self, engine: ServerConnection, budget: Budget, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._budget = budget
        self._limit = limit
        self._loop = loop
        self._ready: deque[Outlet] = deque()  # those that may have something to send
        self._unsent = 0  # about as many bytes of DATA frames wait for the next flush
        self._flush_scheduled = False
        self.held = Hold.PREFACE
        self.progressed = loop.time()

    # Reasons not to send

    def hold(self, reason: int) -> None:
        """Send nothing until it is released."""
        self.held |= reason

    def release(self, reason: int) -> None:
        """Go on, if nothing else speaks against it."""
        self.held &= ~reason

    def resume(self) -> None:
        """The client takes again what is sent."""
        self.release(Hold.FULL)
        self.progressed = self._loop.time()

    # Frames

    def send_headers(self, stream_id: int, headers: list[tuple[bytes, bytes]], *, end_stream: bool) -> None:
        """Send a HEADERS frame with this turn's flush."""
        self._engine.send_headers(stream_id, headers, end_stream=end_stream)
        self.flush_soon()

    def send_soon(self, stream: Outlet) -> None:
        """Send what a stream has when it is its turn."""
        self.queue(stream)
        self.pump()
        self.flush_soon()

    def queue(self, stream: Outlet) -> None:
        """Let a stream have its turn, if it has anything to send: the client has opened its window, say."""
        if not stream.queued:
            stream.queued = True
            self._ready.append(stream)

    def acknowledge(self, stream_id: int, size: int) -> None:
        """Open the client's windows again."""
        self._engine.acknowledge_received_data(size, stream_id)
        self.flush_soon()

    def reset(self, stream_id: int, code: int) -> None:
        """Send RST_STREAM, if the stream has not ended."""
        with suppress(h2.exceptions.StreamClosedError):
            self._engine.reset_stream(stream_id, code)
        self.flush_soon()

    def ping(self, data: bytes) -> None:
        """Send a PING now."""
        self._engine.ping(data)
        self.flush()

    def write(self, frame: bytes) -> None:
        """Send a frame that the engine does not know, behind all that it has prepared."""
        self.flush()
        self.transport.write(frame)

    def pump(self) -> None:
        """Send what the streams have, as far as nothing is held."""
        engine = self._engine
        ready = self._ready
        share = _SHARE
        while ready and not self.held:
            stream = ready[0]
            outgoing = stream.outgoing
            if stream.gone or not (outgoing or stream.ending):
                ready.popleft()
                stream.queued = False
                continue
            view = outgoing[0] if outgoing else _NOTHING
            size = len(view)
            if size:
                if engine.outbound_flow_control_window <= 0:
                    return
                size = min(size, engine.local_flow_control_window(stream.id), engine.max_outbound_frame_size)
                if size <= 0:
                    ready.popleft()
                    stream.queued = False
                    continue
            whole = size == len(view)
            last = stream.ending and whole and len(outgoing) <= 1
            engine.send_data(stream.id, view if whole else view[:size], end_stream=last)
            self._budget.earn(2)
            if not whole:
                outgoing[0] = view[size:]
            elif outgoing:
                outgoing.popleft()
            if outgoing:
                ready.rotate(-1)
            else:
                ready.popleft()
                stream.queued = False
            stream.sent(size, last=last)
            self.progressed = stream.progressed
            self._unsent += size + _FRAME_HEADER
            if self._unsent >= self._limit:
                self.flush()
            share -= size
            if share <= 0:
                self.hold(Hold.SHARE)
                self._loop.call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self.release(Hold.SHARE)
        self.pump()
        self.flush_soon()

    # Writes

    def flush_soon(self) -> None:
        """Write what has been prepared at the end of this turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self._flush_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what has been prepared."""
        self._unsent = 0
        data = self._engine.data_to_send()
        if data and not self.held & Hold.END and not self.transport.is_closing():
            self.transport.write(data)
