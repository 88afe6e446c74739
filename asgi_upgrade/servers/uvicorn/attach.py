"""Finds the uvicorn that runs the application, and has it use our protocols for new connections.

uvicorn reads ``Config.http_protocol_class`` for each connection, so setting it during the lifespan's startup, which
ends before the first connection, is enough.
"""

from __future__ import annotations

from importlib import import_module

from uvicorn.lifespan.on import LifespanOn

from asgi_upgrade.edge_settings import EdgeSettings
from asgi_upgrade.servers.lifespans import running_lifespans
from asgi_upgrade.servers.uvicorn.edge import UpgradingProtocol, edge_settings

__all__ = ["attach"]

# uvicorn's own classes, by name so that no parser is imported that the server does not use, and what replaces them.
_REPLACEMENTS = {
    "uvicorn.protocols.http.h11_impl.H11Protocol": "h11:H11Protocol",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol": "httptools:HttpToolsProtocol",
    "uvicorn.protocols.http.zttp_impl.ZttpProtocol": "zttp:ZttpProtocol",
    "uvicorn.protocols.http.auto_zttp_impl.AutoZttpProtocol": "zttp:AutoZttpProtocol",
}


def attach(*, change: bool, settings: EdgeSettings | None = None) -> str | None:
    """Extend the running uvicorn; return what stands against it, or ``None`` if new connections are extended.

    Args:
        change: ``False`` only looks.
        settings: What its connections shall do by themselves, from the next one on, if they are extended.
    """
    lifespan = next(running_lifespans(LifespanOn), None)
    if lifespan is None:
        return "no uvicorn runs this application's lifespan"
    config = lifespan.config
    if settings:
        edge_settings[config] = settings
        if settings.h2c is not None:
            # Now, because it takes 50 ms, for which the first client that offers h2c would keep the others waiting.
            import_module("asgi_upgrade.http2.upgrade")
    current = config.http_protocol_class
    if issubclass(current, UpgradingProtocol):
        return None
    if not change:
        return "attach=False, and uvicorn was not started with one of our protocols"
    replacement = _REPLACEMENTS.get(f"{current.__module__}.{current.__qualname__}")
    if replacement is None:
        return f"uvicorn runs with {current.__qualname__}, which is not one of its own protocols"
    module, _, name = replacement.partition(":")
    config.http_protocol_class = getattr(import_module(f"asgi_upgrade.servers.uvicorn.{module}"), name)
    return None
