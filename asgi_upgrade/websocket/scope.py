"""Makes the ``websocket`` scope from the ``http`` scope of a handshake, and copies the route back into that."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from asgi_upgrade.switching.extension import EXTENSION
from asgi_upgrade.websocket.bridge import BRIDGE, CONVERTED, HANDSHAKE, ROUTE_KEYS

__all__ = ["tell_route", "websocket_scope"]


def websocket_scope(scope: Scope, subprotocols: tuple[str, ...], handshake: Any) -> Scope:
    """Return the scope of the WebSocket that a handshake asks for.

    Args:
        scope: The handshake. It shares what HTTP middleware has put there: session, state, user.
        subprotocols: Those that are offered.
        handshake: What marks the scope as converted.
    """
    scope = dict(scope)
    del scope["method"]
    scope["type"] = "websocket"
    scope["asgi"] = {**scope["asgi"], "spec_version": "2.4"}
    scope["scheme"] = "wss" if scope.get("scheme") in ("https", "wss") else "ws"
    scope["subprotocols"] = list(subprotocols)
    scope["extensions"] = extensions = {**scope["extensions"], "websocket.http.response": {}}
    extensions.pop(EXTENSION, None)
    extensions.pop(BRIDGE, None)
    scope.pop(HANDSHAKE, None)
    scope[CONVERTED] = handshake
    return scope


def tell_route(websocket: Scope, http: Scope) -> None:
    """Let the middleware around a handshake see where the router has taken it.

    Args:
        websocket: The scope that the router has got.
        http: The scope that the middleware has.
    """
    for key in ROUTE_KEYS.intersection(websocket):
        http[key] = websocket[key]
