"""What a WebSocket connection may cost and how long it may take: limits, times, compression."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from asgi_upgrade.websocket.deflate import PerMessageDeflate

__all__ = ["WebSocketSettings"]


@dataclass(frozen=True)
class WebSocketSettings:
    """Limits and times of each WebSocket connection. All sizes are in bytes, all times in seconds.

    Attributes:
        max_message_size: Longest message accepted, after inflating. A longer one ends the connection with 1009.
        max_message_frames: Most frames one message may come in. More end the connection with 1008.
        max_queue: Messages that wait for the application before reading from the socket pauses.
        max_queue_size: The same in bytes.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks.
        open_timeout: From the request to the switch; the client gets 503 when the application takes longer.
        close_timeout: How long the client may take to answer a close frame before the connection is cut, not counting
            the time in which it takes what was sent before.
        answer_timeout: How long the application may still answer messages that arrived before the client's close
            frame, or before the frame that broke a rule.
        ping_interval: Time between pings; ``None`` sends none.
        ping_timeout: How long the client may stay silent after a ping before the connection ends with 1011: no pong, no
            other bytes, nothing taken of what waits for it. ``None`` waits for ever.
        idle_timeout: Time without a message in either direction after which the connection ends with 1001;
            ``None`` never ends it.
        deflate: How to compress (RFC 7692); ``None`` never compresses.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    max_message_size: int = 1024 * 1024
    max_message_frames: int = 16384
    max_queue: int = 64
    max_queue_size: int = 256 * 1024
    write_buffer_size: int = 64 * 1024
    open_timeout: float = 20.0
    close_timeout: float = 10.0
    answer_timeout: float = 1.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    idle_timeout: float | None = None
    deflate: PerMessageDeflate | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "deflate":
                if value is not None and not isinstance(value, PerMessageDeflate):
                    raise ValueError(f"deflate must be a bool or a PerMessageDeflate, not {value!r}")
            elif name.endswith(("_timeout", "_interval")):
                if value is None and name in ("ping_interval", "ping_timeout", "idle_timeout"):
                    continue
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                    raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
            elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, not {value!r}")

    def stricter(self, other: WebSocketSettings) -> WebSocketSettings:
        """Return settings that keep to both: of each limit and time the smaller one, compression if both have it.

        Args:
            other: The other settings.
        """
        if other == self:
            return self
        values: dict[str, Any] = {}
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "deflate":
                values["deflate"] = None if theirs is None else ours
            else:
                values[field.name] = min((each for each in (ours, theirs) if each is not None), default=None)
        return WebSocketSettings(**values)
