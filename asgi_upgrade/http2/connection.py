"""Ties a transport to ``h2`` and to the streams: flow control, turns, times, limits, and the end.

``h2`` reads and writes frames and knows the state of each stream. What is sent within one turn of the event loop leaves
in one write.
"""

from __future__ import annotations

import asyncio
import logging
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from starlette.types import ASGIApp, Scope

from asgi_upgrade.http2.budget import Budget
from asgi_upgrade.http2.engine import ServerConnection, goaway
from asgi_upgrade.http2.scope import MalformedRequestError, Request, ScopeTemplate
from asgi_upgrade.http2.server import ServerSide
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.http2.stream import Stream
from asgi_upgrade.http2.websocket import WebSocketStream
from asgi_upgrade.progress import Progress, measure
from asgi_upgrade.transports import end_output

__all__ = ["HTTP2Protocol"]

logger = logging.getLogger("asgi_upgrade")

ErrorCodes = h2.errors.ErrorCodes
SettingCodes = h2.settings.SettingCodes

_CLOSED = h2.connection.ConnectionState.CLOSED
_MAX_STREAM_ID = 2**31 - 1
_NOTHING = memoryview(b"")
# Bytes that are sent in one go, as long as the client takes them, before others get their turn.
_SHARE = 128 * 1024
# Bytes of a frame's header.
_FRAME_HEADER = 9
# What a frame draws on the budget that brings less than `Stream.short_data`.
_SHORT_DATA_PRICE = 0.1
# Seconds from the announcement that we stop to the end of new streams, for a client that does not answer a ping.
_DRAIN = 1.0
# Seconds for a client that has our last bytes to end its direction of TCP too.
_LINGER = 1.0
# Bytes that are read until then: more than the kernel keeps of what a client sends before it can know.
_MOST_IGNORED = 16 * 1024 * 1024
_DRAIN_PING = b"shutdown"
_KEEPALIVE_PING = b"keepaliv"


class HTTP2Protocol(asyncio.Protocol):
    """One HTTP/2 connection, from the 101 on.

    Args:
        app: The application, called for each request.
        template: What the requests of this connection have in common.
        client_settings: The payload of ``HTTP2-Settings``.
        settings: Limits and times.
        server: What the server does for each request.

    Attributes:
        loop: The loop everything runs on.
    """

    _transport: asyncio.Transport

    def __init__(
        self,
        app: ASGIApp,
        *,
        template: ScopeTemplate,
        client_settings: bytes,
        settings: H2CSettings,
        server: ServerSide,
    ) -> None:
        self.app = app
        self.settings = settings
        self.server = server
        self.loop = loop = asyncio.get_running_loop()
        self.template = template
        self._client_settings = client_settings
        self._h2 = ServerConnection()
        self._streams: dict[int, Stream] = {}  # those whose application runs
        self._ready: deque[Stream] = deque()  # those that have something to send, and may
        self._last_served = 1  # the highest stream that the application was called for
        self._unsent = 0  # about as many bytes wait for the next flush
        self._flush_scheduled = False
        self._ignored = 0  # bytes that have come since the end
        self._resting = False  # the share of this turn has been sent
        self._write_paused = False
        self._read_paused = False
        self._preface = False  # the client's has arrived
        self._draining = False  # no streams are opened any more
        self._goaway_sent = False
        self._closing = False
        self._output_ended = False
        self._lost = False
        self._closed: asyncio.Future[None] = loop.create_future()
        now = loop.time()
        self._budget = Budget(now)
        self._began = now
        self._idle_since = now
        self._heard = now  # when a byte has come
        self._progressed = now  # when the client has taken something
        self._pinged: float | None = None
        self._watcher: asyncio.TimerHandle | None = None
        self._drain_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The 101 has been written."""
        self._transport = transport = cast(asyncio.Transport, transport)
        settings = self.settings
        transport.set_write_buffer_limits(high=settings.write_buffer_size)
        connection = self._h2
        values = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            SettingCodes.INITIAL_WINDOW_SIZE: settings.read_buffer_size,
            SettingCodes.MAX_CONCURRENT_STREAMS: settings.max_concurrent_streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: settings.max_header_size,
        }
        connection.local_settings = h2.settings.Settings(client=False, initial_values=values)
        connection.decoder.max_header_list_size = settings.max_header_size
        connection.initiate_upgrade_connection(urlsafe_b64encode(self._client_settings))
        # A client that has not seen ours yet may open more streams: those are refused one by one, within reason.
        values[SettingCodes.MAX_CONCURRENT_STREAMS] *= 2
        connection.local_settings = h2.settings.Settings(client=False, initial_values=values)
        # Each stream's own window is what bounds it: one that is not read must not stand in the way of the others.
        window = settings.max_concurrent_streams * settings.read_buffer_size
        if window > connection.inbound_flow_control_window:
            connection.increment_flow_control_window(window - connection.inbound_flow_control_window)
        self._flush()
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._closing:
            self._ignored += len(data)
            if self._ignored > _MOST_IGNORED and not self._read_paused:
                self._read_paused = True
                self._transport.pause_reading()
            return
        self._heard = self.loop.time()
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            logger.debug("HTTP/2: %s", error)
            self._goaway_sent = (
                self._h2.state_machine.state is _CLOSED
            )  # then h2 has prepared it; not for a bad preface
            self._close(error.error_code)
            return
        except Exception:  # whatever a client sends, it ends its connection only
            logger.debug("HTTP/2: h2 cannot read what a client has sent", exc_info=True)
            self._close(ErrorCodes.PROTOCOL_ERROR)
            return
        if self._h2.state_machine.state is _CLOSED:
            self._close(ErrorCodes.NO_ERROR)  # the client says that something is wrong
            return
        resets = {event.stream_id for event in events if type(event) is h2.events.StreamReset}
        for stream_id in resets:
            if stream_id in self._streams:
                self._streams[stream_id].gone = True  # h2 takes nothing for it any more
        for event in events:
            kind = type(event)
            handler = _HANDLERS.get(kind)
            if handler is None:
                self._spend(1)  # pings, priorities, acknowledgements and what we do not know
            elif kind is h2.events.RequestReceived and event.stream_id in resets:  # type: ignore[attr-defined]
                continue  # opened and reset in one go: nobody waits for an answer
            else:
                handler(self, event)
            if self._closing:
                return
        self._pump()
        self.schedule_flush()
        unsent = self._transport.get_write_buffer_size()
        if self._write_paused and not self._read_paused and unsent > 2 * self.settings.write_buffer_size:
            # Acknowledgements for a client that does not read would pile up.
            self._read_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client has gone: it could not even grant windows any more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The connection is gone."""
        self._lost = self._closing = True
        for timer in (self._watcher, self._drain_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._disconnect_streams()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """The client does not take what is sent."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """It does again."""
        self._write_paused = False
        self._progressed = self.loop.time()
        if self._read_paused and not self._closing and not self._transport.is_closing():
            self._read_paused = False
            self._transport.resume_reading()
        self._pump()
        self.schedule_flush()

    def shutdown(self) -> None:
        """Begin to stop: streams that are open are finished, new ones are not opened (RFC 9113 §6.8)."""
        if self._closing or self._drain_timer is not None:
            return
        for stream in list(self._streams.values()):
            stream.shutdown()
        if not self._streams:
            self._close(ErrorCodes.NO_ERROR)
            return
        # What the client has sent by now is still taken, until it answers the ping.
        self._h2.ping(_DRAIN_PING)
        self._flush()
        self._transport.write(goaway(_MAX_STREAM_ID, ErrorCodes.NO_ERROR))
        self._drain_timer = self.loop.call_later(_DRAIN, self._drain)

    # What `H2C` does

    def open_first(self, scope: Scope, *, body_given: bool) -> Stream:
        """Return the stream of the request that came as HTTP/1.1, before the connection is switched.

        Args:
            scope: The request.
            body_given: Whether the application has received its body already.
        """
        self._streams[1] = stream = Stream(self, 1, scope)
        stream.end_request(given=body_given)
        return stream

    async def wait_closed(self) -> None:
        """Wait until the connection is gone and all its requests have ended."""
        try:
            await asyncio.shield(self._closed)
        except asyncio.CancelledError:
            self.abort()
            raise
        while tasks := [stream.task for stream in self._streams.values() if stream.task is not None]:
            await asyncio.wait(tasks)

    @property
    def stopping(self) -> bool:
        """Whether the server has begun to stop."""
        return self._draining or self._drain_timer is not None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the transport."""
        return self._transport.get_extra_info(name, default)

    def measure(self) -> Progress | None:
        """Tell what the client has taken of what was sent."""
        return measure(self._transport)

    def abort(self) -> None:
        """End the connection and all its requests at once."""
        for stream in list(self._streams.values()):
            if stream.task is not None:
                stream.task.cancel()
        if not self._lost:
            self._transport.abort()

    # What streams do

    def send_headers(self, stream: Stream, headers: list[tuple[bytes, bytes]], *, end_stream: bool = False) -> None:
        """Send a HEADERS frame.

        Args:
            stream: The stream.
            headers: Checked fields, names in lower case, ``:status`` first.
            end_stream: Whether nothing follows.
        """
        self._h2.send_headers(stream.id, headers, end_stream=end_stream)
        self._unsent += 128
        self.schedule_flush()

    def send_soon(self, stream: Stream) -> None:
        """Send what the stream has in `Stream.outgoing`, when it is its turn and the client lets it."""
        if not stream.queued:
            stream.queued = True
            self._ready.append(stream)
        self._pump()
        self.schedule_flush()

    def acknowledge(self, stream: Stream, size: int) -> None:
        """Let the client send ``size`` more bytes on a stream."""
        if not self._closing:
            self._h2.acknowledge_received_data(size, stream.id)
            self.schedule_flush()

    def reset(self, stream: Stream, code: int) -> None:
        """End a stream at once, in both directions, if it has not ended."""
        if self._closing:
            return
        try:
            self._h2.reset_stream(stream.id, code)
        except h2.exceptions.StreamClosedError:
            return
        self.schedule_flush()

    def forget(self, stream: Stream) -> None:
        """The application has returned."""
        if self._streams.get(stream.id) is stream:
            del self._streams[stream.id]
            self._budget.earn(2)
            if not self._streams:
                self._idle_since = self.loop.time()
                if self.stopping and not self._closing:
                    self._close(ErrorCodes.NO_ERROR)

    # Events

    def _on_request(self, event: h2.events.RequestReceived) -> None:
        stream_id = event.stream_id
        assert stream_id is not None
        if self._draining or len(self._streams) >= self.settings.max_concurrent_streams:
            # RFC 9113 section 8.7: the client may repeat it.
            self._h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            self._spend(1)
            return
        try:
            request = Request(event.headers)
            method = request.pseudo[b"method"].decode("ascii")
            if self.server.is_busy():
                self._refuse(event, 503)
                return
            if method != "CONNECT":
                stream = Stream(self, stream_id, self.template.build(request, method))
            elif request.pseudo.get(b"protocol") == b"websocket":
                # RFC 8441 section 5: what is a GET in HTTP/1.1.
                stream = WebSocketStream(self, stream_id, self.template.build(request, "GET"))
            else:
                self._refuse(event, 501)
                return
        except (MalformedRequestError, UnicodeDecodeError) as error:
            logger.debug("HTTP/2: %s", error)
            self._h2.reset_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
            self._spend(1)
            return
        self._streams[stream_id] = stream
        self._last_served = stream_id
        stream.start(self.app)

    def _refuse(self, event: h2.events.RequestReceived, status: int) -> None:
        """Answer without the application."""
        assert event.stream_id is not None
        headers = [(b":status", b"%d" % status), *self.server.default_headers(), (b"content-length", b"0")]
        self._h2.send_headers(event.stream_id, headers, end_stream=True)
        if event.stream_ended is None:
            self._h2.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)
        self._spend(1)

    def _on_data(self, event: h2.events.DataReceived) -> None:
        stream = self._streams.get(event.stream_id)
        size = event.flow_controlled_length
        data = event.data
        if not data:
            self._spend(1)
        elif len(data) < (Stream if stream is None else stream).short_data and not event.stream_ended:
            self._spend(_SHORT_DATA_PRICE)
        if stream is None:
            self._h2.acknowledge_received_data(size, event.stream_id)
            return
        if size > len(data):  # padding
            self._h2.acknowledge_received_data(size - len(data), stream.id)
        if data:
            stream.feed(data)

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.feed_eof()

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        self._spend(3)
        stream = self._streams.get(event.stream_id)
        if stream is not None:
            stream.disconnect()

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        self._spend(1)
        if event.stream_id:
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._requeue(stream)

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        self._preface = True
        self._spend(1)
        if SettingCodes.INITIAL_WINDOW_SIZE in event.changed_settings:
            for stream in self._streams.values():
                self._requeue(stream)

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:  # noqa: ARG002
        self._draining = True
        if not self._streams:
            self._close(ErrorCodes.NO_ERROR)

    def _on_pong(self, event: h2.events.PingAckReceived) -> None:
        if event.ping_data == _DRAIN_PING and self._drain_timer is not None:
            self._drain()
        elif self._pinged is None:
            self._spend(1)

    # Sending

    def _pump(self) -> None:
        """Let the streams send in turn, a frame each, as long as the windows and the transport take it."""
        connection = self._h2
        ready = self._ready
        limit = self.settings.write_buffer_size
        share = _SHARE
        while ready and self._preface and not (self._write_paused or self._closing or self._resting):
            stream = ready[0]
            outgoing = stream.outgoing
            if stream.gone or not (outgoing or stream.ending):
                ready.popleft()
                stream.queued = False
                continue
            view = outgoing[0] if outgoing else _NOTHING
            size = len(view)
            if size:
                if connection.outbound_flow_control_window <= 0:
                    return
                size = min(size, connection.local_flow_control_window(stream.id), connection.max_outbound_frame_size)
                if size <= 0:
                    ready.popleft()
                    stream.queued = False
                    continue
            whole = size == len(view)
            last = stream.ending and whole and len(outgoing) <= 1
            connection.send_data(stream.id, view if whole else view[:size], end_stream=last)
            self._budget.earn(2)
            if not whole:
                outgoing[0] = view[size:]
            elif outgoing:
                outgoing.popleft()
            if outgoing and len(ready) > 1:
                ready.rotate(-1)
            elif not outgoing:
                ready.popleft()
                stream.queued = False
            stream.sent(size, last=last)
            self._progressed = stream.progressed
            self._unsent += size + _FRAME_HEADER
            if self._unsent >= limit:
                self._flush()
            share -= size
            if share <= 0:
                self._resting = True
                self.loop.call_soon(self._pump_again)

    def _pump_again(self) -> None:
        self._resting = False
        self._pump()
        self.schedule_flush()

    def _requeue(self, stream: Stream) -> None:
        if not stream.queued and stream.outgoing and not stream.gone:
            stream.queued = True
            self._ready.append(stream)

    def schedule_flush(self) -> None:
        """Write what has been prepared at the end of this turn of the loop."""
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush_later)

    def _flush_later(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        self._unsent = 0
        data = self._h2.data_to_send()
        if data and not self._output_ended and not self._transport.is_closing():
            self._transport.write(data)

    # Limits and times

    def _spend(self, amount: float) -> None:
        if not self._budget.spend(amount, self.loop.time()) and not self._closing:
            logger.debug("HTTP/2: a client sends too many frames that serve no request")
            self._close(ErrorCodes.ENHANCE_YOUR_CALM)

    def _watch(self) -> None:
        """Look whether the client still does what it is waited for, and when to look again."""
        settings = self.settings
        now = self.loop.time()
        due = [self._began + settings.open_timeout] if not self._preface else []
        if not self._preface and now >= due[0]:
            self._close(ErrorCodes.SETTINGS_TIMEOUT)
            return
        if not self._streams:
            due.append(self._idle_since + settings.idle_timeout)
            if now >= due[-1]:
                self._close(ErrorCodes.NO_ERROR)
                return
        elif settings.ping_interval is not None:
            due.append(self._check_ping(now, settings.ping_interval))
            if self._closing:
                return
        if settings.write_timeout is not None:
            for stream in self._streams.values():
                if stream.outgoing and not stream.gone:
                    # One that is next in turn waits for the connection, which may be busy with others.
                    since = max(stream.progressed, self._progressed) if stream.queued else stream.progressed
                    deadline = since + settings.write_timeout
                    if now < deadline:
                        due.append(deadline)
                    else:
                        self.reset(stream, ErrorCodes.CANCEL)
                        stream.disconnect()
            due.append(now + settings.write_timeout)
        due.append(now + settings.idle_timeout)
        self._watcher = self.loop.call_at(min(due), self._watch)

    def _check_ping(self, now: float, interval: float) -> float:
        """Send a ping, or see whether it was answered; return when to look again. Any byte is a sign of life."""
        timeout = self.settings.ping_timeout
        if self._pinged is not None:
            if self._heard >= self._pinged or self._read_paused:
                self._pinged = None
            elif timeout is None:
                return now + interval
            elif now >= self._pinged + timeout:
                logger.debug("HTTP/2: a client does not answer a ping")
                self._transport.abort()
                self._closing = True
                return now
            else:
                return self._pinged + timeout
        if now < self._heard + interval:
            return self._heard + interval
        self._h2.ping(_KEEPALIVE_PING)
        self._flush()
        self._pinged = now
        return now + (interval if timeout is None else min(interval, timeout))

    # The end

    def _drain(self) -> None:
        """No more streams."""
        assert self._drain_timer is not None
        self._drain_timer.cancel()
        if not self._draining and not self._closing:
            self._draining = True
            self._flush()
            self._transport.write(goaway(self._last_served, ErrorCodes.NO_ERROR))

    def _close(self, code: int) -> None:
        """End the connection: say why, end what runs, and let go of the transport in a bounded time."""
        if self._closing:
            return
        self._flush()
        self._closing = self._output_ended = True
        if self._watcher is not None:
            self._watcher.cancel()
        transport = self._transport
        if not self._goaway_sent:
            self._goaway_sent = True
            transport.write(goaway(self._last_served, code))
        self._disconnect_streams()
        # Closing a socket that has unread bytes resets it, and what was sent last could be lost on the way.
        if transport.can_write_eof() and not transport.is_closing():
            end_output(transport)
            self._resume_reading()
            self._close_timer = self.loop.call_later(min(_LINGER, self.settings.close_timeout), self._let_go)
        else:
            self._let_go()

    def _let_go(self) -> None:
        timeout = self.settings.close_timeout
        if self.stopping:
            timeout = min(timeout, _LINGER)  # one client must not hold up the stop
        self._close_timer = self.loop.call_later(timeout, self._transport.abort)
        self._transport.close()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()

    def _disconnect_streams(self) -> None:
        for stream in list(self._streams.values()):
            stream.disconnect()


_HANDLERS: dict[type[h2.events.Event], Callable[[HTTP2Protocol, Any], None]] = {
    h2.events.RequestReceived: HTTP2Protocol._on_request,
    h2.events.DataReceived: HTTP2Protocol._on_data,
    h2.events.StreamEnded: HTTP2Protocol._on_end,
    h2.events.StreamReset: HTTP2Protocol._on_reset,
    h2.events.WindowUpdated: HTTP2Protocol._on_window,
    h2.events.RemoteSettingsChanged: HTTP2Protocol._on_settings,
    h2.events.ConnectionTerminated: HTTP2Protocol._on_goaway,
    h2.events.PingAckReceived: HTTP2Protocol._on_pong,
}
