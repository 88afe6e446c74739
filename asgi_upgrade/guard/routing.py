"""Starlette's and FastAPI's routes, as far as a handshake concerns them.

Some methods of their classes are replaced once, and differ only for a scope that has the key `HANDSHAKE`. Nobody else
has such scopes, so the applications of a process that have no `UpgradeMiddleware` are as they were.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.routing import Host, Match, Mount, Route, Router, WebSocketRoute

from asgi_upgrade.guard.adapters import Adapter, adapt
from asgi_upgrade.guard.handshake import approved
from asgi_upgrade.guard.refusals import answer_unavailable
from asgi_upgrade.http.request_line import request_line
from asgi_upgrade.websocket.bridge import HANDSHAKE
from asgi_upgrade.websocket.watch import WATCH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade.guard.handshake import Handshake
    from asgi_upgrade.websocket.watch import Watch

__all__ = ["base_of", "teach_routes"]

logger = logging.getLogger("asgi_upgrade")

# Clients choose the paths, and could fill log and memory with them.
_MOST_PATHS = 64
_LOGGED_LENGTH = 200
_KNOWN_ROUTES = (Host, Mount, Route, WebSocketRoute)

_reported: set[str] = set()
_lock = threading.Lock()
_taught = set[tuple[type, str]]()
# Attribute of a route or router: what it led to when that was adapted, and the adapted one.
_ADAPTED = "_asgi_upgrade_adapted"


class UnknownPath(Adapter):
    """Answers what no route of a router matches, and says so of handshakes.

    Args:
        app: The answer.
        router: The router.
    """

    def __init__(self, app: ASGIApp, router: Router) -> None:
        super().__init__(app)
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Answer."""
        if approved(scope) is not None:
            report_unknown_path(scope, self._router)
        return await self.app(scope, receive, send)


def report_unknown_path(scope: Scope, router: Router) -> None:
    """Log, once for each path, that no WebSocket route matches it; which routes are not Starlette's is said too."""
    path = scope["path"][:_LOGGED_LENGTH]
    if path in _reported or len(_reported) >= _MOST_PATHS:
        return
    _reported.add(path)
    custom = {type(route).__name__ for route in router.routes if not isinstance(route, _KNOWN_ROUTES)}
    custom -= {"_IncludedRouter", "_FrontendRouteGroup"}  # FastAPI's
    logger.info(
        "%s: no WebSocket route has this path, the handshake is answered as a page would be.%s This is logged once for "
        "each path.",
        request_line(scope)[:_LOGGED_LENGTH],
        f" {', '.join(sorted(custom))} got a request, and no WebSocket, to match." if custom else "",
    )


def teach_routes() -> None:
    """Have routes know handshakes. Subclasses that have come since the last time learn it too."""
    with _lock:
        for kind in _with_subclasses(Route):
            _replace(kind, "matches", _matching_no_handshake)
        for kind in _with_subclasses(WebSocketRoute):
            _replace(kind, "matches", _matching_handshakes)
        for owner in (WebSocketRoute, Mount, Host):
            # Not those of subclasses, which may be guards: they call these.
            _replace(owner, "handle", _handling_handshakes)
        _replace(Router, "__call__", _preparing_default)


def _with_subclasses(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = kind.__subclasses__()
    for subclass in subclasses:
        yield from _with_subclasses(subclass)


def _replace(kind: type, name: str, make: Any) -> None:
    if name in vars(kind) and (kind, name) not in _taught:
        _taught.add((kind, name))
        setattr(kind, name, make(vars(kind)[name]))


def _matching_no_handshake(original: Any) -> Any:
    def matches(self: Route, scope: Scope) -> tuple[Match, Scope]:
        """Match requests; a page and a WebSocket may share a path."""
        if HANDSHAKE in scope:
            return Match.NONE, {}
        found: tuple[Match, Scope] = original(self, scope)
        return found

    return matches


def _matching_handshakes(original: Any) -> Any:
    def matches(self: WebSocketRoute, scope: Scope) -> tuple[Match, Scope]:
        """Match WebSockets, and handshakes that are still requests."""
        if HANDSHAKE in scope and scope["type"] == "http":
            scope = {**scope, "type": "websocket"}
        found: tuple[Match, Scope] = original(self, scope)
        return found

    return matches


def _handling_handshakes(original: Any) -> Any:
    def handle(self: Any, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Give the handshake to what the route leads to."""
        if HANDSHAKE not in scope or scope["type"] != "http":
            served: Awaitable[None] = original(self, scope, receive, send)
            return served
        handshake = approved(scope)
        if handshake is None:
            # No policy has let it pass yet. There may be one in an application that is mounted; a route ends the way.
            ended: Any = answer_unavailable if isinstance(self, WebSocketRoute) else partial(original, self)
            answered: Awaitable[None] = ended(scope, receive, send)
            return answered
        handshake.arrived()
        watch: Watch | None = scope.get(WATCH)
        if watch is not None:
            watch.passed(self)
        led: Awaitable[None] = _adapted(self, "app", handshake)(scope, receive, send)
        return led

    return handle


def _preparing_default(original: Any) -> Any:
    # Starlette's own does nothing but call the stack, which is done here. What does more, in another version or for
    # somebody who has replaced it, is called: what the router leads to is adapted all the same.
    simple = getattr(getattr(original, "__code__", None), "co_names", None) == ("middleware_stack",)

    async def call(self: Router, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, with the router's middleware around its routes."""
        handshake = approved(scope) if HANDSHAKE in scope else None
        if handshake is not None:
            if getattr(self.default, "__self__", None) is self:
                self.default = UnknownPath(self.default, self)
            else:
                self.default = _adapted(self, "default", handshake)
            if getattr(self.middleware_stack, "__self__", None) is not self:
                self.middleware_stack = _adapted(self, "middleware_stack", handshake)
        if simple:
            await self.middleware_stack(scope, receive, send)
        else:
            await original(self, scope, receive, send)

    return call


def _adapted(owner: Any, name: str, handshake: Handshake) -> Any:
    """Return the application that ``owner`` leads to, adapted; done once for each."""
    kept: dict[str, tuple[Any, Any]] = vars(owner).setdefault(_ADAPTED, {})
    app = getattr(owner, name)
    if name not in kept or (kept[name][0] is not app and kept[name][1] is not app):
        kept[name] = app, adapt(app, handshake.policy, base=base_of(owner))
    return kept[name][1]


def base_of(route: Any) -> Any:
    """What a route has inside its middleware: the endpoint, or the application that is mounted. ``None`` without."""
    if not isinstance(route, Mount):
        return getattr(route, "endpoint", None)
    base = getattr(route, "_base_app", None)
    # Of a class nobody has said that it answers WebSockets.
    return None if isinstance(base, type) else base
