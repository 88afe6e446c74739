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
        Whether new connections will have the extension. If not, one warning has been logged.
    """
    if "uvicorn" in sys.modules:
        from asgi_upgrade.servers.uvicorn.attach import attach

        problem = attach(change=change)
    else:
        problem = "the server is not uvicorn"
    if problem is not None:
        logger.warning(
            "Upgrades are not available, and HTTP middleware will not see WebSocket handshakes: %s. "
            "Run under uvicorn, with http='asgi_upgrade.servers.uvicorn:AutoProtocol' if need be.",
            problem,
        )
    return problem is None
