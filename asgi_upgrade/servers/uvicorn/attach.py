"""Finds the uvicorn that runs the application, and has it use our protocols for new connections.

uvicorn reads ``Config.http_protocol_class`` for each connection, so setting it during the lifespan's startup, which
ends before the first connection, is enough.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from uvicorn.lifespan.on import LifespanOn

from asgi_upgrade.guard.adapters import adapt_layers
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.lifespans import NOT_HERE, running_lifespans
from asgi_upgrade.servers.uvicorn.edge import edge_of
from asgi_upgrade.servers.uvicorn.internals import missing_for
from asgi_upgrade.servers.uvicorn.logs import adopt_logging
from asgi_upgrade.servers.uvicorn.upgrading_protocol import UpgradingProtocol

if TYPE_CHECKING:
    from uvicorn.config import Config

    from asgi_upgrade.guard.handshake import Policy

__all__ = ["attach", "replacement_of"]

# uvicorn's own classes, by name so that no parser is imported that the server does not use, and what replaces them.
_REPLACEMENTS = {
    "uvicorn.protocols.http.h11_impl.H11Protocol": ("h11_protocol", "H11UpgradeProtocol"),
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": ("httptools_protocol", "HttpToolsUpgradeProtocol"),
    "uvicorn.protocols.http.zttp_impl.ZttpProtocol": ("zttp_protocol", "ZttpUpgradeProtocol"),
    "uvicorn.protocols.http.auto_zttp_impl.AutoZttpProtocol": ("zttp_protocol", "AutoZttpUpgradeProtocol"),
}


def replacement_of(protocol: type) -> tuple[str, str] | None:
    """Return the room and the class that replace one of uvicorn's protocols, ``None`` for any other class."""
    return _REPLACEMENTS.get(f"{protocol.__module__}.{protocol.__qualname__}")


def attach(*, change: bool, settings: EdgeSettings | None, policy: Policy | None, in_lifespan: bool) -> str | None:
    """Extend the running uvicorn; return what stands against it, or ``None`` if new connections are extended.

    Args:
        change: ``False`` only looks.
        settings: What its connections shall do by themselves, from the next one on, if they are extended.
        policy: Who decides on handshakes; what stands around it is adapted to them if connections are extended.
        in_lifespan: Whether the middleware that asks has been called with the lifespan.
    """
    adopt_logging()
    lifespan = next(running_lifespans(LifespanOn), None)
    if lifespan is None:
        return NOT_HERE
    config = lifespan.config
    if settings:
        edge_of(config).settings = settings
        if settings.h2c is not None:
            # Now, because it takes 50 ms, for which the first client that offers h2c would keep the others waiting.
            import_module("asgi_upgrade.http2.upgrade")
    current = config.http_protocol_class
    if issubclass(current, UpgradingProtocol):
        _adapt(config, policy)
        return None
    if not in_lifespan:
        return (
            "this UpgradeMiddleware has not been called with uvicorn's lifespan, which mounted applications are not: "
            "add it to the outermost application"
        )
    lacking = missing_for(current.__module__)
    if lacking is not None:
        return lacking
    if not change:
        return "extend_server=False, and uvicorn was not started with one of our protocols"
    replacement = replacement_of(current)
    if replacement is None:
        return f"uvicorn runs with {current.__qualname__}, which is not one of its own protocols"
    room, name = replacement
    config.http_protocol_class = getattr(import_module(f"asgi_upgrade.servers.uvicorn.{room}"), name)
    _adapt(config, policy)
    return None


def _adapt(config: Config, policy: Policy | None) -> None:
    if policy is not None:
        config.loaded_app = adapt_layers(config.loaded_app, policy)
