"""The server's own settings for WebSockets, for connections that we carry in its place."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["HYPERCORN", "UVICORN", "websocket_limits"]

_MEBIBYTE = 1024 * 1024

# Our names, and the server's attribute with its default. Who leaves a default as it is has told the server nothing.
UVICORN: Mapping[str, tuple[str, float | None]] = {
    "max_message_size": ("ws_max_size", 16 * _MEBIBYTE),
    "max_queue": ("ws_max_queue", 32),
    "ping_interval": ("ws_ping_interval", 20.0),
    "ping_timeout": ("ws_ping_timeout", 20.0),
}
HYPERCORN: Mapping[str, tuple[str, float | None]] = {
    "max_message_size": ("websocket_max_message_size", 16 * _MEBIBYTE),
    "ping_interval": ("websocket_ping_interval", None),
}

# They are asked for with each handshake, and were read when the first one came.
_known: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def websocket_limits(config: Any, names: Mapping[str, tuple[str, float | None]]) -> dict[str, Any]:
    """Return the settings of a server that differ from its defaults, named and measured as ours.

    Args:
        config: The server's configuration.
        names: `UVICORN` or `HYPERCORN`.
    """
    known = _known.get(config)
    if known is None:
        known = _known[config] = _read(config, names)
    return known


def _read(config: Any, names: Mapping[str, tuple[str, float | None]]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    for name, (attribute, default) in names.items():
        value: Any = getattr(config, attribute, default)
        if value == default:
            continue
        if name.startswith("ping_"):
            # uvicorn takes 0 for None, which turns pings off.
            limits[name] = value if _is_positive(value) else None
        elif value is None and name == "max_message_size":
            limits[name] = sys.maxsize
        elif _is_positive(value):
            limits[name] = max(1, int(value))
    return limits


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
