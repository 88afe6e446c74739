"""Finds the template of the route that a handshake would reach, so that refusals can be counted by route."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from starlette.routing import Match

from asgi_upgrade.websocket.watch import REST

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

__all__ = ["find_template", "flatten"]

logger = logging.getLogger("asgi_upgrade")


def find_template(routes: Iterable[Any], scope: Scope) -> str | None:
    """Return the template of the route that a router would take for a WebSocket, ``None`` without one.

    Args:
        routes: The router's.
        scope: The handshake, of either type. It is not changed.
    """
    try:
        return _find(routes, {**scope, "type": "websocket"}, "")
    except Exception:
        # Routes of the application's own may rely on what middleware would have done.
        logger.debug("The route of a handshake cannot be found.", exc_info=True)
        return None


def _find(routes: Iterable[Any], scope: Scope, prefix: str) -> str | None:
    for route in flatten(routes):
        match, child_scope = route.matches(dict(scope))
        if match is Match.FULL:
            path: str = getattr(route, "path_format", None) or ""
            if getattr(route, "endpoint", None) is not None:
                return prefix + path
            # A Mount, or a Host, which has no path.
            prefix += path.removesuffix(REST)
            inner = _find(getattr(route, "routes", None) or (), {**scope, **child_scope}, prefix)
            return inner or (prefix + REST if prefix else None)
    return None


def flatten(routes: Iterable[Any]) -> Iterable[Any]:
    """The routes with those of included routers, which FastAPI keeps in objects of their own since 0.137."""
    flatten = getattr(sys.modules.get("fastapi.routing"), "iter_route_contexts", None)
    return routes if flatten is None else flatten(list(routes))
