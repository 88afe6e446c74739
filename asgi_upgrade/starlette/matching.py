"""Lets HTTP middleware find the route of a handshake: rate limits, metrics and tracing ask for it."""

from __future__ import annotations

from starlette.routing import Match, WebSocketRoute
from starlette.types import Scope

from asgi_upgrade.extension import get_extension
from asgi_upgrade.offer import UpgradeOffer
from asgi_upgrade.starlette.stack import Gate
from asgi_upgrade.websocket.bridge import get_bridge

__all__ = ["match_handshakes"]


def match_handshakes() -> None:
    """Let each `WebSocketRoute` match an ``http`` scope that is a WebSocket handshake, as it does once converted."""
    original = WebSocketRoute.matches
    if getattr(original, "matches_handshakes", False):
        return

    def matches(self: WebSocketRoute, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and _will_be_converted(scope):
            scope = {**scope, "type": "websocket"}
        return original(self, scope)

    matches.matches_handshakes = True  # type: ignore[attr-defined]
    WebSocketRoute.matches = matches  # type: ignore[method-assign]


def _will_be_converted(scope: Scope) -> bool:
    # Other applications of this process may have no `UpgradeMiddleware`.
    if not isinstance(getattr(scope.get("app"), "middleware_stack", None), Gate):
        return False
    if get_bridge(scope) is not None:
        return True
    extension = get_extension(scope)
    if scope["method"] != "GET" or extension is None:
        return False
    if "protocol" in extension:
        return extension["protocol"] == "websocket"
    offer = UpgradeOffer.from_scope(scope)
    return offer is not None and offer.find("websocket") is not None
