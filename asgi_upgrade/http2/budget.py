"""A token bucket that limits frames which cost the server work and serve no request: pings, resets, settings."""

from __future__ import annotations

__all__ = ["Budget"]

_MOST = 1000.0
_PER_SECOND = 100.0


class Budget:
    """A token bucket for frames that cost their sender less than us.

    Resets, settings, pings, priorities, empty frames and the like are all legitimate, a few of them. Work that is done
    for the client gives credit back, because it brings such frames with it: window updates follow data.

    Args:
        now: The time, in seconds.
    """

    __slots__ = ("_left", "_time")

    def __init__(self, now: float) -> None:
        self._left = _MOST
        self._time = now

    def earn(self, amount: float) -> None:
        """Note work that was done for the client."""
        self._left = min(self._left + amount, _MOST)

    def spend(self, amount: float, now: float) -> bool:
        """Note frames that do nothing for a request; ``False`` if they have become too many."""
        self._left -= amount
        if self._left < 0:
            self._left = min(self._left + (now - self._time) * _PER_SECOND, _MOST)
            self._time = now
        return self._left >= 0
