"""The settings of WebSocket connections: limits, times, compression, strictness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

from asgi_upgrade.system.checks import check_flags, check_integers, check_optional_seconds, check_seconds
from asgi_upgrade.websocket.deflate import PerMessageDeflate

__all__ = ["WebSocketSettings"]


class _DefaultInt(int):
    """A default that gives way to the server's own setting. The same number, if a user gives it, does not."""


class _DefaultFloat(float):
    """A default that gives way to the server's own setting. The same number, if a user gives it, does not."""


_DEFLATE: Final = PerMessageDeflate()


def _is_default(value: object) -> bool:
    return isinstance(value, (_DefaultInt, _DefaultFloat))


def _given(value: Any) -> Any:
    """Return ``value`` as if a user had given it: a plain number, which is also the fastest to compare."""
    if isinstance(value, _DefaultInt):
        return int(value)
    return float(value) if isinstance(value, _DefaultFloat) else value


@dataclass(frozen=True)
class WebSocketSettings:
    """Limits and times of each WebSocket connection (RFC 6455). All sizes are in bytes, all times in seconds.

    Four fields have a counterpart among the settings of uvicorn or hypercorn: ``max_message_size`` (``--ws-max-size``,
    ``websocket_max_message_size``), ``max_queue`` (``--ws-max-queue``), ``ping_interval`` (``--ws-ping-interval``,
    ``websocket_ping_interval``) and ``ping_timeout`` (``--ws-ping-timeout``). A value that you give here counts. If you
    give none, the server's value counts if it is not the server's default. Otherwise our default counts.

    Attributes:
        max_message_size: Longest message accepted, after inflating. A longer one ends the connection with 1009
            (RFC 6455 §7.4.1). Default: the server's, else 16 MiB.
        max_message_frames: How many frames one message may have (§5.4). More end the connection with 1008. Default:
            16384.
        max_queue: How many messages may wait for the application. Then reading from the socket pauses. Default: the
            server's, else 64.
        max_queue_size: How many bytes of messages may wait for the application. Then reading from the socket pauses.
            Default: 256 KiB.
        write_buffer_size: How many bytes may wait for a slow client. Then ``send`` waits. Default: 64 KiB.
        open_timeout: How long the application may take from the request to the switch. Then the client gets 503.
            Default: 20.
        close_timeout: How long the client may take to answer a close frame (§7.1.1). Then the connection is cut. The
            time does not run while the client still reads data from before the close frame. Default: 10.
        stop_timeout: While the server stops, this replaces ``close_timeout`` if it is shorter. Default: 1.
        answer_timeout: How long the application may still answer earlier messages after the client has sent a close
            frame or a frame that breaks a rule. Default: 1.
        ping_interval: Time between pings (§5.5.2); ``None`` sends none. Default: the server's, else 20.
        ping_timeout: How long the client may stay silent after a ping. Then the connection ends with 1011. A silent
            client sends no byte, not even a pong, and reads nothing of the data from before. ``None`` sets no limit.
            Default: the server's, else 20.
        idle_timeout: How long there may be no message in either direction. Then the connection ends with 1001.
            ``None`` sets no limit. Default: ``None``.
        deflate: Whether to agree to permessage-deflate (RFC 7692). A `PerMessageDeflate` also says how. Default:
            ``True``, with the defaults of `PerMessageDeflate`.
        allow_unoffered_subprotocols: Whether the application may accept with a subprotocol that the client has not
            offered, as with uvicorn's own WebSockets. Default: ``False``, such a client gets 400 (RFC 6455 §4.2.2).
        lenient_subprotocols: Whether names of subprotocols may have characters that a token cannot have, such as ``/``
            and ``=``. Default: ``False``, as in RFC 6455 §4.1.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    max_message_size: int = _DefaultInt(16 * 1024 * 1024)
    max_message_frames: int = 16384
    max_queue: int = _DefaultInt(64)
    max_queue_size: int = 256 * 1024
    write_buffer_size: int = 64 * 1024
    open_timeout: float = 20.0
    close_timeout: float = 10.0
    stop_timeout: float = 1.0
    answer_timeout: float = 1.0
    ping_interval: float | None = _DefaultFloat(20.0)
    ping_timeout: float | None = _DefaultFloat(20.0)
    idle_timeout: float | None = None
    deflate: bool | PerMessageDeflate = True
    allow_unoffered_subprotocols: bool = False
    lenient_subprotocols: bool = False

    def __post_init__(self) -> None:
        check_integers(
            self, "max_message_size", "max_message_frames", "max_queue", "max_queue_size", "write_buffer_size"
        )
        check_seconds(self, "open_timeout", "close_timeout", "stop_timeout", "answer_timeout")
        check_optional_seconds(self, "ping_interval", "ping_timeout", "idle_timeout")
        check_flags(self, "allow_unoffered_subprotocols", "lenient_subprotocols")
        if not isinstance(self.deflate, (bool, PerMessageDeflate)):
            raise ValueError(f"WebSocketSettings.deflate must be a bool or a PerMessageDeflate, not {self.deflate!r}")

    @cached_property
    def compression(self) -> PerMessageDeflate | None:
        """What ``deflate`` means: how to compress, or ``None`` not to."""
        return _DEFLATE if self.deflate is True else self.deflate or None

    def for_server(self, limits: Mapping[str, Any] | None) -> WebSocketSettings:
        """Return what holds on a server, with plain numbers only.

        Args:
            limits: ``websocket`` of the server's ``http.upgrade``, or ``None`` without that. Names that are unknown, or
                of fields that the user has given, are ignored.
        """
        # A process has one server, nearly always.
        known: tuple[Mapping[str, Any] | None, WebSocketSettings] | None = self.__dict__.get("_for_server")
        if known is not None and known[0] == limits:
            return known[1]
        own = limits or {}
        defaults = {name: value for name, value in vars(self).items() if _is_default(value)}
        settings = replace(self, **{name: own.get(name, _given(value)) for name, value in defaults.items()})
        object.__setattr__(self, "_for_server", (None if limits is None else dict(limits), settings))
        return settings

    def stricter(self, other: WebSocketSettings) -> WebSocketSettings:
        """Return settings that keep to both: of each limit and time the smaller one, compression if both have it.

        Args:
            other: The other settings.
        """
        if other is self:
            return self
        values: dict[str, Any] = {}
        for field in fields(self):
            ours, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "deflate":
                values["deflate"] = ours if theirs else False
            else:
                stricter = min((each for each in (ours, theirs) if each is not None), default=None)
                left_to_server = _is_default(ours) and _is_default(theirs)
                values[field.name] = stricter if left_to_server else _given(stricter)
        return WebSocketSettings(**values)
