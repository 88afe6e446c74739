"""The end of a connection: its phases, the actions allowed in each, and the time that each may take.

A connection that has requests ends in steps (RFC 9113 §6.8): it announces that it stops, then opens no more streams,
then ends its direction when the last request has been served, and lets the client end the other one.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import NamedTuple

import h2.errors

from asgi_upgrade.http2.engine import goaway
from asgi_upgrade.http2.incoming import Incoming
from asgi_upgrade.http2.output import Hold, Output
from asgi_upgrade.http2.table import StreamTable
from asgi_upgrade.system.transports import end_output

__all__ = ["DRAIN_PING", "Ending", "Phase"]

DRAIN_PING = b"shutdown"
"""A client that answers it has read the announcement in front of it."""

_MAX_STREAM_ID = 2**31 - 1
# Seconds from the announcement that we stop to the end of new streams, for a client that does not answer a ping.
_DRAIN = 1.0
# Seconds for a client that has our last bytes to end its direction of TCP too.
_LINGER = 1.0


class Phase(Enum):
    """A phase on the way to a connection's end. A connection goes down this list, and may skip lines."""

    OPEN = auto()
    """All is well."""
    STOPPING = auto()
    """The server stops, and the client may not have read that yet: what it sends is still served."""
    DRAINING = auto()
    """One side has said that there are no new streams; those that are open are served."""
    ENDED = auto()
    """Our direction has ended with a GOAWAY. What comes is ignored, until the client ends the other one."""
    LOST = auto()
    """The transport is gone."""


class Rules(NamedTuple):
    """The actions allowed in a phase.

    Attributes:
        opens: New streams reach the application; else they are refused.
        live: Frames are read and sent.
        next: The phases that may follow.
    """

    opens: bool
    live: bool
    next: frozenset[Phase]


_ENDS = frozenset((Phase.ENDED, Phase.LOST))

RULES = {
    Phase.OPEN: Rules(opens=True, live=True, next=_ENDS | {Phase.STOPPING, Phase.DRAINING}),
    Phase.STOPPING: Rules(opens=True, live=True, next=_ENDS | {Phase.DRAINING}),
    Phase.DRAINING: Rules(opens=False, live=True, next=_ENDS),
    Phase.ENDED: Rules(opens=False, live=False, next=frozenset((Phase.LOST,))),
    Phase.LOST: Rules(opens=False, live=False, next=frozenset()),
}


class Ending:
    """Brings a connection to its end.

    Args:
        output: What leaves it.
        incoming: What comes.
        streams: What it serves.
        close_timeout: Seconds for the client to take the last bytes.
        loop: The loop.

    Attributes:
        phase: Where it is.
        opens: See `Rules`.
        live: See `Rules`.
        stopping: Whether the server stops, or the client has announced its end: nobody is waited for longer than
            is polite.
    """

    def __init__(
        self,
        output: Output,
        incoming: Incoming,
        streams: StreamTable,
        close_timeout: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._output = output
        self._incoming = incoming
        self._streams = streams
        self._close_timeout = close_timeout
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None  # to the next phase
        self.phase = Phase.OPEN
        self.opens = self.live = True
        self.stopping = False
        self._announced = False  # the server has told us so

    def _enter(self, phase: Phase) -> None:
        rules = RULES[self.phase]
        assert phase in rules.next, f"{phase} does not follow {self.phase}"
        self.phase = phase
        self.opens, self.live, _ = RULES[phase]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def announce(self) -> None:
        """Say that the server stops; what the client has sent by now is still taken, until it answers a ping."""
        if self._announced:
            return
        self._announced = self.stopping = True
        if self.live:
            self._streams.shutdown()
            self.close_if_idle()
        elif self.phase is Phase.ENDED and self._output.transport.is_closing():
            self._abort_soon()
        if self.phase is Phase.OPEN:
            self._enter(Phase.STOPPING)
            self._output.write(goaway(_MAX_STREAM_ID, h2.errors.ErrorCodes.NO_ERROR))
            self._output.ping(DRAIN_PING)
            self._timer = self._loop.call_later(_DRAIN, self.drain)

    def drain(self) -> None:
        """Take no more streams, while the server stops: the client has answered, or has had its time."""
        self._enter(Phase.DRAINING)
        self._output.write(goaway(self._streams.last_served, h2.errors.ErrorCodes.NO_ERROR))

    def be_told(self) -> None:
        """The client says that it opens no more streams."""
        if self.phase in (Phase.OPEN, Phase.STOPPING):
            self._enter(Phase.DRAINING)
        self.stopping = True
        self.close_if_idle()

    def close_if_idle(self) -> None:
        """End a connection that is stopping and has nothing to serve."""
        if self.stopping and self.live and not self._streams.running:
            self.close(h2.errors.ErrorCodes.NO_ERROR)

    def close(self, code: int, *, said: bool = False) -> None:
        """End our direction, which must be live: say why, end what runs, let go of the transport in a bounded time.

        Args:
            code: The reason, of RFC 9113 §7.
            said: Whether a GOAWAY with it has been prepared by the engine.
        """
        self._output.flush()
        self._output.hold(Hold.END)
        self._enter(Phase.ENDED)
        transport = self._output.transport
        if not said:
            transport.write(goaway(self._streams.last_served, code))
        self._streams.disconnect()
        # Closing a socket that has unread bytes resets it, and what was sent last could be lost on the way.
        if transport.can_write_eof():
            end_output(transport)
            self._incoming.resume()
            self._timer = self._loop.call_later(min(_LINGER, self._close_timeout), self._let_go)
        else:
            self._let_go()

    def _let_go(self) -> None:
        self._abort_soon()
        self._output.transport.close()

    def _abort_soon(self) -> None:
        """Wait for the client to take the last bytes, but not for ever."""
        if self._timer is not None:
            self._timer.cancel()
        # One client must not hold up the server's stop.
        timeout = min(self._close_timeout, _LINGER) if self.stopping else self._close_timeout
        self._timer = self._loop.call_later(timeout, self._output.transport.abort)

    def abandon(self) -> None:
        """End at once, without a word to a client that does not answer."""
        if self.live:
            self._enter(Phase.ENDED)
        if self.phase is not Phase.LOST:
            self._output.transport.abort()

    def lose(self) -> None:
        """The transport is gone."""
        self._enter(Phase.LOST)
        self._streams.disconnect()
