"""Extends the running uvicorn or hypercorn, so that it offers ``http.upgrade``, and logs it if that cannot be done."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.servers.lifespans import NOT_HERE
from asgi_upgrade.switching.lifespan import IN_PROCESS, note_lifespan
from asgi_upgrade.system.internals import Missing, version_of
from asgi_upgrade.websocket.compiled import compiled

if TYPE_CHECKING:
    from asgi_upgrade.guard.handshake import Policy

__all__ = ["attach_to_server", "report_unavailable"]

logger = logging.getLogger("asgi_upgrade")


def attach_to_server(
    *, change: bool, settings: EdgeSettings | None = None, policy: Policy | None = None, in_lifespan: bool = True
) -> None:
    """Extend the server whose lifespan runs in the current task, so that it offers ``http.upgrade``.

    One line says whether new connections will have the extension. Another one says so if they cannot do what
    ``settings`` ask for.

    Args:
        change: ``False`` only looks whether it does.
        settings: What new connections of this server shall do by themselves, also where ``change`` is ``False``.
        policy: Who decides on handshakes, if what stands around it is to be adapted to them.
        in_lifespan: Whether the middleware that asks has been called with the lifespan. Default: ``True``.
    """
    if IN_PROCESS.get():
        return
    if in_lifespan:
        note_lifespan()
    server = "hypercorn"
    problem: str | None = NOT_HERE
    if "hypercorn.asyncio.lifespan" in sys.modules:
        problem = _attach(server, change=change, policy=policy)
    if problem is NOT_HERE and "uvicorn" in sys.modules:
        server = "uvicorn"
        problem = _attach(server, change=change, settings=settings, policy=policy, in_lifespan=in_lifespan)
    if problem is not None or server != "uvicorn":
        report_unavailable(settings)
    if problem is None:
        logger.info("%s offers http.upgrade now; the engine is %s.", server, "compiled" if compiled else "pure Python")
    elif server == "uvicorn" or isinstance(problem, Missing):
        logger.warning(
            "%s does not offer http.upgrade (%s): its own WebSockets are used, and no other protocol can be "
            "switched to. %s.",
            server,
            problem,
            "Use a version of it that this package knows, or tell us"
            if isinstance(problem, Missing)
            else "Start it with http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'",
        )
    else:
        logger.info("The server does not offer http.upgrade: its own WebSockets are used.")


def _attach(server: str, **options: Any) -> str | None:
    """Extend a server if it runs here; return what stands against it, `NOT_HERE` if that is another server."""
    try:
        attach = import_module(f"asgi_upgrade.servers.{server}.attach").attach
    except (ImportError, AttributeError) as error:
        return Missing(f"{server} {version_of(server)}: {error}")
    problem: str | None = attach(**options)
    return problem


def report_unavailable(settings: EdgeSettings | None) -> None:
    """Log that the server cannot do what ``settings`` ask for, if they ask for anything."""
    if settings:
        required = settings.tls is not None and settings.tls.required
        logger.warning(
            "%s cannot be offered: that takes uvicorn, with its lifespan on.%s",
            " and ".join(name for name, asked in (("h2c", settings.h2c), ("TLS", settings.tls)) if asked),
            " Requests in the clear are refused all the same, as TLSSettings.required says." if required else "",
        )
