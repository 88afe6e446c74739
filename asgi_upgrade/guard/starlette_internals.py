"""What is used of Starlette's insides, to bring handshakes through its applications.

The rooms `adapters`, `building`, `gate` and `routing` use no more. Where something of it is missing, nothing
is changed in Starlette, and handshakes are refused: what guards them could not be told.
"""

from __future__ import annotations

import logging
from functools import cache

from asgi_upgrade.system.internals import Internals, Missing

__all__ = ["STARLETTE", "lacking", "report_lacking"]

logger = logging.getLogger("asgi_upgrade")

STARLETTE = Internals(
    "starlette",
    {
        # The stack of middleware is built adapted, and has an entrance.
        "starlette.applications:Starlette": ("build_middleware_stack", "middleware_stack", "router", "user_middleware"),
        "starlette.middleware:Middleware": ("args", "cls", "kwargs"),
        # Routes match handshakes, and give them to what they lead to.
        "starlette.routing:Route": ("matches",),
        "starlette.routing:WebSocketRoute": ("app", "handle", "matches"),
        "starlette.routing:Mount": ("app", "handle"),
        "starlette.routing:Host": ("app", "handle"),
        "starlette.routing:Match": ("NONE",),
        # So does a router that has no route for them.
        "starlette.routing:Router": ("__call__", "default", "middleware_stack", "routes"),
        "starlette.routing": ("compile_path",),
        # Functions that answer WebSockets have the handlers of exceptions that routes have.
        "starlette._exception_handler": ("wrap_app_handling_exceptions",),
    },
)


@cache
def lacking() -> Missing | None:
    """Return what Starlette lacks, as words; ``None`` if all is there."""
    return STARLETTE.missing()


@cache
def report_lacking() -> None:
    """Log, once, that handshakes are refused because Starlette is not the one that we know."""
    logger.error(
        "%s: handshakes cannot be brought through its applications, so all are refused with 503. Plain requests are "
        "not concerned. Use a version of it that this package knows.",
        lacking(),
    )
