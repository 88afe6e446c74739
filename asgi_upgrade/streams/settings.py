"""The settings of upgraded connections, whatever protocol they speak: limits and times."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["StreamSettings"]


@dataclass(frozen=True)
class StreamSettings:
    """Limits and times of each `UpgradeStream`. All sizes are in bytes, all times in seconds.

    Attributes:
        read_buffer_size: Bytes that wait for the handler before reading from the socket pauses.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks.
        open_timeout: How long the 101 may take from the application to the server, through the middleware between.
        close_timeout: How long the client may take to end its side after the handler has ended, or to take more of what
            is still to be sent, before the connection is cut.
        stop_timeout: The same once the server has begun to stop, if that is shorter.
        keepalive_interval: Time without a byte from the client after which its system is asked whether it is still
            there, three times at most; ``None`` never asks. On Linux, bytes that it does not acknowledge for as long
            end the connection as well.
        idle_timeout: Time without a byte in either direction after which the handler is cancelled; ``None`` waits for
            ever.
        total_timeout: Time from the switch after which the handler is cancelled; ``None`` waits for ever.
        shutdown_timeout: How long the handler may go on after the server began to stop, before it is cancelled.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    read_buffer_size: int = 64 * 1024
    write_buffer_size: int = 64 * 1024
    open_timeout: float = 20.0
    close_timeout: float = 10.0
    stop_timeout: float = 1.0
    keepalive_interval: float | None = 20.0
    idle_timeout: float | None = None
    total_timeout: float | None = None
    shutdown_timeout: float = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name.endswith(("_timeout", "_interval")):
                optional = name in ("idle_timeout", "keepalive_interval", "total_timeout")
                if value is None and optional:
                    continue
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                    none = ", or None to turn it off" if optional else ""
                    raise ValueError(f"{name} must be a positive number of seconds{none}, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")
