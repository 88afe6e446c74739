"""The settings of `UpgradeStream`: limits and times of connections whose protocol is the application's own."""

from __future__ import annotations

from dataclasses import dataclass

from asgi_upgrade.system.checks import check_integers, check_optional_seconds, check_seconds

__all__ = ["StreamSettings", "check_streams"]


@dataclass(frozen=True)
class StreamSettings:
    """Limits and times of each `UpgradeStream`. All sizes are in bytes, all times in seconds.

    Attributes:
        read_buffer_size: How many bytes may wait for the handler. Then reading from the socket pauses. Default: 64 KiB.
        write_buffer_size: How many bytes may wait for a slow client. Then ``send`` waits. Default: 64 KiB.
        open_timeout: How long the 101 (RFC 9110 §15.2.2) may take on its way from the application through the
            middleware to the server. Default: 20.
        close_timeout: How long the client may take to end its side, after the handler has ended. Then the connection is
            cut. The time begins again whenever the client reads more of the data that was sent. Default: 10.
        stop_timeout: While the server stops, this replaces ``close_timeout`` if it is shorter. Default: 1.
        keepalive_interval: After this time without a byte from the client, TCP asks the client's system whether it is
            still there (RFC 9293 §3.8.4). It asks again after the same time, three times in all. ``None`` never
            asks. On Linux the connection also ends if the client acknowledges nothing of the data that was sent, for
            three times as long. Default: 20.
        idle_timeout: How long there may be no byte in either direction. Then the handler is cancelled. ``None`` sets no
            limit. Default: ``None``.
        total_timeout: How long the handler may run after the switch. Then it is cancelled. ``None`` sets no limit.
            Default: ``None``.
        shutdown_timeout: How long the handler may go on after the server has begun to stop. Then it is cancelled.
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
