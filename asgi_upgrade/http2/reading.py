"""The frames of a client: each becomes a call of a stream, a new stream, or a debit to the client's budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from asgi_upgrade.http2.budget import Budget
from asgi_upgrade.http2.ending import DRAIN_PING, Ending, Phase
from asgi_upgrade.http2.engine import ServerConnection
from asgi_upgrade.http2.opener import Opener
from asgi_upgrade.http2.output import Hold, Output
from asgi_upgrade.http2.stream import Stream
from asgi_upgrade.http2.table import StreamTable
from asgi_upgrade.http2.watch import Watch

__all__ = ["Reader"]

logger = logging.getLogger("asgi_upgrade")

ErrorCodes = h2.errors.ErrorCodes

_CLOSED = h2.connection.ConnectionState.CLOSED
# What a frame draws on the budget that brings less than `Stream.short_data`.
_SHORT_DATA_PRICE = 0.1


class Reader:
    """Reads frames.

    Args:
        engine: Makes events of bytes.
        opener: Opens streams for requests.
        streams: What the connection serves.
        output: What leaves it.
        ending: Ends it.
        watch: Knows whether a ping of ours waits for its answer.
        budget: What the client may have us do for nothing.
        loop: The loop.
    """

    def __init__(
        self,
        *,
        engine: ServerConnection,
        opener: Opener,
        streams: StreamTable,
        output: Output,
        ending: Ending,
        watch: Watch,
        budget: Budget,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._engine = engine
        self._opener = opener
        self._running = streams.running
        self._output = output
        self._ending = ending
        self._watch = watch
        self._budget = budget
        self._loop = loop

    def feed(self, data: bytes) -> None:
        """Read bytes from the client. Never raises, whatever they are."""
        try:
            events = self._engine.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            logger.debug("HTTP/2: %s", error)
            # h2 has prepared a GOAWAY, but for a preface that is none.
            self._ending.close(error.error_code, said=self._engine.state_machine.state is _CLOSED)
            return
        except Exception:  # whatever a client sends, it ends its connection only
            logger.debug("HTTP/2: h2 cannot read what a client has sent", exc_info=True)
            self._ending.close(ErrorCodes.PROTOCOL_ERROR)
            return
        if self._engine.state_machine.state is _CLOSED:
            self._ending.close(ErrorCodes.NO_ERROR)  # the client says that something is wrong
            return
        resets = {event.stream_id for event in events if type(event) is h2.events.StreamReset}
        for stream_id in resets:
            if stream_id in self._running:
                self._running[stream_id].gone = True  # h2 takes nothing for it any more
        for event in events:
            kind = type(event)
            handler = _HANDLERS.get(kind)
            if handler is None:
                self._spend(1)  # pings, priorities, acknowledgements and what we do not know
            elif kind is h2.events.RequestReceived and event.stream_id in resets:  # type: ignore[attr-defined]
                continue  # opened and reset in one go: nobody waits for an answer
            else:
                handler(self, event)
            if not self._ending.live:
                return
        self._output.pump()
        self._output.flush_soon()

    def _spend(self, amount: float) -> None:
        if not self._budget.spend(amount, self._loop.time()):
            logger.debug("HTTP/2: a client sends too many frames that serve no request")
            self._ending.close(ErrorCodes.ENHANCE_YOUR_CALM)

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        if not self._opener.open(event):
            self._spend(1)

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream = self._running.get(event.stream_id)
        size = event.flow_controlled_length
        data = event.data
        if not data:
            self._spend(1)
        elif len(data) < (Stream if stream is None else stream).short_data and not event.stream_ended:
            self._spend(_SHORT_DATA_PRICE)
        if stream is None:
            self._engine.acknowledge_received_data(size, event.stream_id)
            return
        if size > len(data):  # padding
            self._engine.acknowledge_received_data(size - len(data), stream.id)
        if data:
            stream.feed(data)

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        stream = self._running.get(event.stream_id)
        if stream is not None:
            stream.feed_eof()

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        self._spend(3)
        stream = self._running.get(event.stream_id)
        if stream is not None:
            stream.disconnect()

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        self._spend(1)
        stream = self._running.get(event.stream_id)  # none of stream 0, which is the connection
        if stream is not None:
            self._output.queue(stream)

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        self._output.release(Hold.PREFACE)
        self._spend(1)
        if h2.settings.SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
            for stream in self._running.values():
                self._output.queue(stream)

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:  # noqa: ARG002
        self._ending.be_told()

    def _on_pong(self, event: h2.events.PingAckReceived) -> None:
        if event.ping_data == DRAIN_PING and self._ending.phase is Phase.STOPPING:
            self._ending.drain()
        elif self._watch.pinged is None:
            self._spend(1)


_HANDLERS: dict[type[h2.events.Event], Callable[[Reader, Any], None]] = {
    h2.events.RequestReceived: Reader._on_request,
    h2.events.DataReceived: Reader._on_data,
    h2.events.StreamEnded: Reader._on_end,
    h2.events.StreamReset: Reader._on_reset,
    h2.events.WindowUpdated: Reader._on_window,
    h2.events.RemoteSettingsChanged: Reader._on_settings,
    h2.events.ConnectionTerminated: Reader._on_goaway,
    h2.events.PingAckReceived: Reader._on_pong,
}
