"""Finds the hypercorn that runs the application, and has it use our protocol for new connections.

hypercorn looks its class for HTTP/1.1 connections up for each connection, so replacing it during the lifespan's startup
is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypercorn.protocol
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan

from asgi_upgrade.guard.adapters import adapt_layers
from asgi_upgrade.servers.hypercorn.internals import HYPERCORN
from asgi_upgrade.servers.hypercorn.protocol import H11UpgradeProtocol, extended
from asgi_upgrade.servers.lifespans import NOT_HERE, running_lifespans

if TYPE_CHECKING:
    from asgi_upgrade.guard.handshake import Policy

__all__ = ["attach"]


def attach(*, change: bool, policy: Policy | None = None) -> str | None:
    """Extend the hypercorn whose lifespan runs in the current task, or another one of this loop.

    Return what stands against it, or ``None`` if new connections have the extension.

    Args:
        change: ``False`` only looks whether it is.
        policy: Who decides on handshakes; what stands around it is adapted to them.
    """
    lifespan = next(running_lifespans(Lifespan), None)
    if lifespan is None:
        return NOT_HERE
    lacking = HYPERCORN.missing()
    if lacking is not None:
        return lacking
    config = lifespan.config
    if change:
        hypercorn.protocol.H11Protocol = H11UpgradeProtocol  # type: ignore[attr-defined]
        extended.add(config)
        if isinstance(lifespan.app, ASGIWrapper):
            lifespan.app.app = adapt_layers(lifespan.app.app, policy)  # type: ignore[arg-type, assignment]
    return None if config in extended else "extend_server=False"
