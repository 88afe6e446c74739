"""What we know of the insides of Starlette and FastAPI, and change there: nothing else relies on them.

Three things: the handshake is converted right before the router, wherever `UpgradeMiddleware` stands in the stack; a
WebSocket that a server delivers directly passes the stack as a handshake; a `WebSocketRoute` matches a handshake that
is still an HTTP request, so that middleware which looks for the route of a request finds it.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Match, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.extension import get_extension
from asgi_upgrade.offer import UpgradeOffer
from asgi_upgrade.websocket.bridge import HandshakeMiddleware, get_bridge

__all__ = ["Converter", "convert_before_router", "find_application", "guard_websockets", "match_handshakes"]

Serve = Callable[[Scope, Receive, Send, ASGIApp], Awaitable[None]]


class Converter:
    """Stands between the last HTTP middleware and the router in place of an `UpgradeMiddleware` further out."""

    def __init__(self, app: ASGIApp, serve: Serve) -> None:
        self.app = app
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Convert a handshake; let everything else pass."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send, self.app)
        else:
            await self.app(scope, receive, send)


def find_application(middleware: Any, scope: Scope) -> Starlette | None:
    """Return the application whose stack ``middleware`` belongs to, or that it wraps; ``None`` if it is not Starlette.

    ``scope`` is one that ``middleware`` was called with.
    """
    application = scope.get("app")
    if isinstance(application, Starlette):
        return application
    return next((node for node in _chain(middleware) if isinstance(node, Starlette)), None)


def convert_before_router(application: Starlette, middleware: Any, serve: Serve) -> tuple[bool, list[str]]:
    """Have handshakes converted right before the router of ``application``.

    Args:
        application: Its stack is built if it is not yet.
        middleware: The `UpgradeMiddleware` that asks.
        serve: Its way to serve a request with the application given.

    Returns:
        Whether ``middleware`` shall leave the conversion to what was put in place, and if that was not possible, the
        names of the middlewares inside it, which will not see handshakes.
    """
    stack = list(_chain(_stack(application)))
    for outer, inner in itertools.pairwise(stack):
        # ExceptionMiddleware is always the last one that Starlette puts around the router.
        if isinstance(inner, ExceptionMiddleware):
            if outer is middleware:
                return False, []
            if not isinstance(outer, Converter):
                outer.app = Converter(inner, serve)
            return True, []
    inside = [type(node).__name__ for node in _chain(middleware) if node is not middleware]
    return False, inside


def guard_websockets(application: Starlette) -> None:
    """Send WebSockets that a server delivers to ``application`` through its HTTP middleware, as handshakes."""
    stack = _stack(application)
    if not isinstance(stack, HandshakeMiddleware):
        # Starlette looks this attribute up for each connection.
        application.middleware_stack = HandshakeMiddleware(stack)


def match_handshakes() -> None:
    """Let each `WebSocketRoute` match an ``http`` scope that is a WebSocket handshake, as it does once converted."""
    original = WebSocketRoute.matches
    if getattr(original, "matches_handshakes", False):
        return

    def matches(self: WebSocketRoute, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "http" and _is_handshake(scope):
            scope = {**scope, "type": "websocket"}
        return original(self, scope)

    matches.matches_handshakes = True  # type: ignore[attr-defined]
    WebSocketRoute.matches = matches  # type: ignore[method-assign]


def _is_handshake(scope: Scope) -> bool:
    if get_bridge(scope) is not None:
        return True
    if scope["method"] != "GET" or get_extension(scope) is None:
        return False
    offer = UpgradeOffer.from_scope(scope)
    return offer is not None and offer.find("websocket") is not None


def _stack(application: Starlette) -> ASGIApp:
    if application.middleware_stack is None:
        application.middleware_stack = application.build_middleware_stack()
    return application.middleware_stack


def _chain(node: Any) -> Iterator[Any]:
    """The middlewares from ``node`` inwards: by convention each keeps the next one in ``app``."""
    while node is not None:
        yield node
        node = getattr(node, "app", None)
