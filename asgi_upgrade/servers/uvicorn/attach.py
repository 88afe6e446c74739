"""Finds the uvicorn that runs the application, and has it use our protocols for new connections.

uvicorn reads ``Config.http_protocol_class`` for each connection, so setting it during the lifespan's startup, which
ends before the first connection, is enough. No public path leads from a lifespan to the ``Config``: the coroutine of
the task that runs it does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib import import_module

from uvicorn.config import Config
from uvicorn.lifespan.on import LifespanOn

from asgi_upgrade.edge_settings import EdgeSettings
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
    config = next(_configs(), None)
    if config is None:
        return "no uvicorn runs this application's lifespan"
    if settings:
        edge_settings[config] = settings
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


def _configs() -> Iterator[Config]:
    """The configurations of the servers whose lifespans run on this loop; the current task's first."""
    current = asyncio.current_task()
    for task in [current, *asyncio.all_tasks()]:
        frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
        if frame is None:
            continue
        # A middleware may run the lifespan in a task of its own; several servers may run on this loop.
        receiver = getattr(frame.f_locals.get("receive"), "__self__", None)
        for lifespan in (frame.f_locals.get("self"), receiver):
            if isinstance(lifespan, LifespanOn):
                yield lifespan.config
