"""What servers need to offer ``http.upgrade``. Only these rooms know a server's internals."""

from __future__ import annotations

import logging
import sys

__all__ = ["attach_to_server"]

logger = logging.getLogger("asgi_upgrade")


def attach_to_server(*, change: bool) -> bool:
    """Extend the server whose lifespan runs in the current task, so that it offers ``http.upgrade``.

    Args:
        change: ``False`` only looks whether it does.

    Returns:
        Whether new connections will have the extension. If not, one line that says why has been logged.
    """
    if "hypercorn.asyncio.lifespan" in sys.modules:
        from asgi_upgrade.servers.hypercorn import attach as attach_to_hypercorn

        if attach_to_hypercorn(change=change):
            return True
    if "uvicorn" not in sys.modules:
        logger.info("The server does not offer http.upgrade: its own WebSockets are used.")
        return False
    from asgi_upgrade.servers.uvicorn.attach import attach

    problem = attach(change=change)
    if problem is not None:
        logger.warning(
            "uvicorn does not offer http.upgrade (%s): its own WebSockets are used, and no other protocol can be "
            "switched to. Start it with http='asgi_upgrade.servers.uvicorn:AutoProtocol'.",
            problem,
        )
    return problem is None
