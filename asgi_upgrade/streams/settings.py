"""The settings of `UpgradeStream`: limits and times of connections whose protocol is the application's own."""

from __future__ import annotations

from dataclasses import dataclass

from asgi_upgrade.system.checks import check_integers, check_optional_seconds, check_seconds

__all__ = ["StreamSettings", "check_streams"]


@dataclass(frozen=True)
class StreamSettings:
    """Limits and times of each `UpgradeStream`. All sizes are in bytes, all times in seconds.

    Attributes:
        read_buffer_size: Bytes that wait for the handler before reading from the socket pauses. Default: 64 KiB.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks. Default: 64 KiB.
        open_timeout: How long the 101 (RFC 9110 §15.2.2) may take from the application to the server, through the
            middleware between. Default: 20.
        close_timeout: How long the client may take to end its side after the handler has ended, or to take more of what
            is still to be sent, before the connection is cut. Default: 10.
        stop_timeout: The same once the server has begun to stop, if that is shorter. Default: 1.
        keepalive_interval: Time without a byte from the client after which its system is asked whether it is still
            there, three times at most (RFC 9293 §3.8.4); ``None`` never asks. On Linux, bytes that it does not
            acknowledge for as long end the connection as well. Default: 20.
        idle_timeout: Time without a byte in either direction after which the handler is cancelled; ``None`` waits for
            ever. Default: ``None``.
        total_timeout: Time from the switch after which the handler is cancelled; ``None`` waits for ever. Default:
            ``None``.
        shutdown_timeout: How long the handler may go on after the server began to stop, before it is cancelled.
            Default: 10.

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
        check_integers(self, "read_buffer_size", "write_buffer_size")
        check_seconds(self, "open_timeout", "close_timeout", "stop_timeout", "shutdown_timeout")
        check_optional_seconds(self, "keepalive_interval", "idle_timeout", "total_timeout")


def check_streams(streams: StreamSettings) -> StreamSettings:
    """Return the argument ``streams`` of `UpgradeMiddleware` and `UpgradeResponse`.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(streams, StreamSettings):
        raise ValueError(f"streams must be StreamSettings, not {streams!r}")
    return streams
