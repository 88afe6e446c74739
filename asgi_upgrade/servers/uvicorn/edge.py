"""`Edge`: the settings of one running uvicorn, those of our application and its own for WebSockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uvicorn.config import Config

from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.websocket_limits import UVICORN, websocket_limits

__all__ = ["Edge", "edge_of"]

# Its attribute of uvicorn's configuration, which each connection has at hand and which ends with the server.
_ATTRIBUTE = "asgi_upgrade_edge"


class Edge:
    """One server.

    Args:
        config: Its configuration.

    Attributes:
        settings: The upgrades that connections take before the application is called, or ``None``.
        websocket_limits: The server's settings for WebSockets that are not its defaults, by our names.
    """

    __slots__ = ("settings", "websocket_limits")

    def __init__(self, config: Config) -> None:
        self.settings: EdgeSettings | None = None
        self.websocket_limits: Mapping[str, Any] = websocket_limits(config, UVICORN)


def edge_of(config: Config) -> Edge:
    """Return what belongs to the server with this configuration."""
    edge: Edge | None = config.__dict__.get(_ATTRIBUTE)
    if edge is None:
        edge = config.__dict__[_ATTRIBUTE] = Edge(config)
    return edge
