"""The timeouts of a connection: for the preface, without a request, for a ping's answer, for taking a response."""

from __future__ import annotations

import asyncio
import logging
from math import inf

import h2.errors

from asgi_upgrade.http2.ending import Ending
from asgi_upgrade.http2.incoming import Incoming
from asgi_upgrade.http2.output import Hold, Output
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.http2.table import StreamTable

__all__ = ["Watch"]

logger = logging.getLogger("asgi_upgrade")

ErrorCodes = h2.errors.ErrorCodes

_KEEPALIVE_PING = b"keepaliv"


class Watch:
    """Looks whether the client still does what it is waited for, with one timer for everything.

    Args:
        settings: The times.
        output: What leaves the connection.
        incoming: What comes.
        streams: What it serves.
        ending: Ends it.
        loop: The loop.

    Attributes:
        pinged: When a ping was sent that nothing has answered, by the loop's clock.
    """

    def __init__(
        self,
        *,
        settings: H2CSettings,
        output: Output,
        incoming: Incoming,
        streams: StreamTable,
        ending: Ending,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._settings = settings
        self._output = output
        self._incoming = incoming
        self._streams = streams
        self._ending = ending
        self._loop = loop
        self._began = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.pinged: float | None = None

    def look(self) -> None:
        """Look now, and again when something may be due."""
        now = self._loop.time()
        due = now + self._settings.idle_timeout
        for check in (self._check_preface, self._check_idleness, self._check_life, self._check_writing):
            if not self._ending.live:
                return  # the reason is on its way
            due = min(due, check(now))
        self._timer = self._loop.call_at(due, self.look)

    def stop(self) -> None:
        """The connection is gone."""
        if self._timer is not None:
            self._timer.cancel()

    # Each returns when to look again.

    def _check_preface(self, now: float) -> float:
        if not self._output.held & Hold.PREFACE:
            return inf
        due = self._began + self._settings.open_timeout
        if now >= due:
            self._ending.close(ErrorCodes.SETTINGS_TIMEOUT)
        return due

    def _check_idleness(self, now: float) -> float:
        if self._streams.running:
            return inf
        due = self._streams.idle_since + self._settings.idle_timeout
        if now >= due:
            self._ending.close(ErrorCodes.NO_ERROR)
        return due

    def _check_life(self, now: float) -> float:
        """Send a ping, or see whether it was answered. Any byte is a sign of life."""
        interval, timeout = self._settings.ping_interval, self._settings.ping_timeout
        if interval is None or not self._streams.running:
            return inf
        heard = self._incoming.heard
        if self.pinged is not None:
            if heard >= self.pinged or self._incoming.paused:
                self.pinged = None
            elif timeout is None:
                return now + interval
            elif now >= self.pinged + timeout:
                logger.debug("HTTP/2: a client does not answer a ping")
                self._ending.abandon()
                return inf
            else:
                return self.pinged + timeout
        if now < heard + interval:
            return heard + interval
        self._output.ping(_KEEPALIVE_PING)
        self.pinged = now
        return now + (interval if timeout is None else min(interval, timeout))

    def _check_writing(self, now: float) -> float:
        """Reset the streams whose client takes nothing."""
        timeout = self._settings.write_timeout
        if timeout is None:
            return inf
        due = now + timeout
        for stream in self._streams.running.values():
            if stream.outgoing and not stream.gone:
                # One that is next in turn waits for the connection, which may be busy with others.
                since = max(stream.progressed, self._output.progressed) if stream.queued else stream.progressed
                if now < since + timeout:
                    due = min(due, since + timeout)
                else:
                    self._output.reset(stream.id, ErrorCodes.CANCEL)
                    stream.disconnect()
        return due
