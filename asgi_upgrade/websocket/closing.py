"""`Closing`: ends the transport step by step after the close frames, each step with a time limit.

Closing a socket that has unread bytes, be it a late pong, resets the connection, and the close frame could be lost on
the way. So our direction of TCP ends first, and the rest with the client's (RFC 6455 §7.1.1). Each step has its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from asgi_upgrade.system.timers import Timer, Timers
from asgi_upgrade.system.transports import end_output
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["Closing"]

# Bytes that are read after the end of what means anything, besides a message of the longest kind, or of this size: more
# than the kernel keeps of what a client sends before it can know. One that is in the middle of a message that is too
# long can go on to our close frame. Whoever sends more than that is cut off.
_MOST_IGNORED = 1024 * 1024
_LONG_MESSAGE = 16 * 1024 * 1024
# Seconds for a client that has sent its close frame to end its direction of TCP too.
_LINGER = 1.0
# Seconds in which nothing comes, for a client that has broken a rule to have sent all that it was sending.
_QUIET = 0.05


class Closing:
    """Brings the transport of one connection to its end. One timer runs at a time: that of the present step.

    Args:
        transport: The transport.
        settings: Limits and times.
        loop: The loop.
        timers: Its timers.
    """

    __slots__ = ("_ignored", "_loop", "_settings", "_stops", "_timer", "_timers", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        settings: WebSocketSettings,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._loop = loop
        self._timers = timers
        self._timer: Timer | None = None
        self._stops = False  # the server does
        self._ignored = 0  # bytes that have come after the end of the input

    def cancel(self) -> None:
        """The transport is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def await_answer(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when the application has had its time to answer what came last."""
        self._wait(self._settings.answer_timeout, callback)

    def await_client(self, *, while_it_reads: bool) -> None:
        """Wait for the client's close frame, which shall answer ours.

        Args:
            while_it_reads: A slow client may still be sent what came before our close frame: begin again when the time
                is up, as long as it has taken some of that.
        """
        if while_it_reads:
            self._wait_while_it_reads(self._patience())
        else:
            self._wait(self._patience(), self._transport.abort)

    def _wait_while_it_reads(self, seconds: float) -> None:
        self._wait(seconds, partial(self._cut_if_stuck, self._transport.get_write_buffer_size()))

    def _cut_if_stuck(self, unsent: int) -> None:
        if self._transport.get_write_buffer_size() < unsent and not self._stops:
            self._wait_while_it_reads(self._settings.close_timeout)
        else:
            self._transport.abort()

    def end_our_direction(self) -> None:
        """Both sides have said all. Wait a moment for the client to end its direction."""
        end_output(self._transport)
        self._wait(min(_LINGER, self._patience()), self.let_go)

    def end_when_quiet(self) -> None:
        """End our direction, but not while the client is in the middle of what it sends, up to a time.

        It may be sending the long message that broke a rule: some clients read the close frame only if they can send
        that to its end, and what sends it fails if the connection ends meanwhile.
        """
        if self.is_full:
            self.end_our_direction()
        else:
            until = self._loop.time() + min(_LINGER, self._patience())
            self._wait(_QUIET, partial(self._end_if_quiet, self._ignored, until))

    def _end_if_quiet(self, ignored: int, until: float) -> None:
        if self._ignored > ignored and self._loop.time() < until:
            self._wait(_QUIET, partial(self._end_if_quiet, self._ignored, until))
        else:
            end_output(self._transport)
            self._wait(self._patience(), self._transport.abort)

    def let_go(self) -> None:
        """Close the transport, which sends what it still has."""
        self._wait(self._patience(), self._transport.abort)
        self._transport.close()

    def hurry(self) -> None:
        """The server stops: whatever is waited for from now on gets no more than ``stop_timeout``."""
        self._stops = True
        timer = self._timer
        if timer is not None and timer.when > self._loop.time() + self._patience():
            self._wait(self._patience(), self._transport.abort)

    def ignore(self, size: int) -> None:
        """Take note of ``size`` bytes that mean nothing."""
        self._ignored += size

    def cut_soon(self) -> None:
        """End our direction, and leave the client a moment: it still sends, and nothing of that is read."""
        end_output(self._transport)
        self._wait(min(_LINGER, self._settings.close_timeout), self._transport.abort)

    @property
    def is_full(self) -> bool:
        """Whether so many bytes have been ignored that nothing is read any more."""
        return self._ignored > _MOST_IGNORED + max(_LONG_MESSAGE, self._settings.max_message_size)

    def _patience(self) -> float:
        """For how many seconds a client is waited for that should close."""
        settings = self._settings
        return min(settings.close_timeout, settings.stop_timeout) if self._stops else settings.close_timeout

    def _wait(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.start(self._loop, seconds, callback)
