"""The settings of WebSocket connections: limits, times, compression, strictness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any, Final

from asgi_upgrade.websocket.deflate import PerMessageDeflate

__all__ = ["SERVERS", "ServersChoice", "WebSocketSettings"]


class ServersChoice(Enum):
    """Stands for an argument that was not given, where the server may have a setting of its own for the same."""

    VALUE = "the server's setting, else the default"

    def __repr__(self) -> str:
        """Return what stands in signatures."""
        return "SERVERS"


SERVERS: Final = ServersChoice.VALUE

_CHOSEN_BY_SERVERS: Final = frozenset(("max_message_size", "max_queue", "ping_interval", "ping_timeout"))


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
        stop_timeout: The same once the server has begun to stop, if that is shorter.
        answer_timeout: How long the application may still answer messages that arrived before the client's close
            frame, or before the frame that broke a rule.
        ping_interval: Time between pings; ``None`` sends none.
        ping_timeout: How long the client may stay silent after a ping before the connection ends with 1011: no pong, no
            other bytes, nothing taken of what waits for it. ``None`` waits for ever.
        idle_timeout: Time without a message in either direction after which the connection ends with 1001;
            ``None`` never ends it.
        deflate: How to compress (RFC 7692); ``None`` never compresses.
        allow_unoffered_subprotocols: Whether the application may accept with a subprotocol that the client has not
            offered. If not, such a client gets 400.
        lenient_subprotocols: Whether names of subprotocols may have characters that no token has, such as ``/`` and
            ``=``.
        left_to_server: Names of fields that the user has not given, which `for_server` may therefore change.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    max_message_size: int = 16 * 1024 * 1024
    max_message_frames: int = 16384
    max_queue: int = 64
    max_queue_size: int = 256 * 1024
    write_buffer_size: int = 64 * 1024
    open_timeout: float = 20.0
    close_timeout: float = 10.0
    stop_timeout: float = 1.0
    answer_timeout: float = 1.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    idle_timeout: float | None = None
    deflate: PerMessageDeflate | None = None
    allow_unoffered_subprotocols: bool = False
    lenient_subprotocols: bool = False
    left_to_server: frozenset[str] = frozenset()

    @classmethod
    def given(cls, **arguments: Any) -> WebSocketSettings:
        """Return settings of these fields, where `SERVERS` leaves one to the server.

        Raises:
            ValueError: A value is out of range; the message names it.
        """
        given = {name: value for name, value in arguments.items() if value is not SERVERS}
        return cls(**given, left_to_server=_CHOSEN_BY_SERVERS.difference(given))

    def for_server(self, limits: Mapping[str, Any] | None) -> WebSocketSettings:
        """Return what holds on a server, given ``websocket`` of its ``http.upgrade``, or ``None`` without that.

        Names that are not left to the server, or unknown, are ignored.
        """
        if not limits or not self.left_to_server:
            return self
        # A process has one server, nearly always.
        known: tuple[Mapping[str, Any], WebSocketSettings] | None = self.__dict__.get("_for_server")
        if known is not None and known[0] == limits:
            return known[1]
        settings = replace(self, **{name: value for name, value in limits.items() if name in self.left_to_server})
        object.__setattr__(self, "_for_server", (dict(limits), settings))
        return settings

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "deflate":
                if value is not None and not isinstance(value, PerMessageDeflate):
                    raise ValueError(f"deflate must be a bool or a PerMessageDeflate, not {value!r}")
            elif name == "left_to_server":
                continue
            elif name.endswith("_subprotocols"):
                if not isinstance(value, bool):
                    raise ValueError(f"{name} must be a bool, not {value!r}")
            elif name.endswith(("_timeout", "_interval")):
                optional = name in ("ping_interval", "ping_timeout", "idle_timeout")
                if value is None and optional:
                    continue
                if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
                    none = ", or None to turn it off" if optional else ""
                    raise ValueError(f"{name} must be a positive number of seconds{none}, not {value!r}")
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
            elif field.name == "left_to_server":
                values["left_to_server"] = ours & theirs
            else:
                values[field.name] = min((each for each in (ours, theirs) if each is not None), default=None)
        return WebSocketSettings(**values)
