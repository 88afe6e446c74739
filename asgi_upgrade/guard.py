"""No WebSocket handshake may pass by the HTTP middleware around an `UpgradeMiddleware`.

In a Starlette or FastAPI application all its middleware is seen to. What stands around the application, or what belongs
to a framework we do not know, cannot be: there a WebSocket that the server delivers directly is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_upgrade.edge_settings import EdgeSettings
from asgi_upgrade.servers import attach_to_server, report_unavailable
from asgi_upgrade.servers.caller import is_called_by_server
from asgi_upgrade.starlette.matching import match_handshakes
from asgi_upgrade.starlette.nested import guard_routes
from asgi_upgrade.starlette.stack import Serve, chain, convert_before_router, find_application, guard_stack
from asgi_upgrade.websocket.bridge import Bridge

__all__ = ["Guard"]

logger = logging.getLogger("asgi_upgrade")


class Guard:
    """What an `UpgradeMiddleware` does about the middleware around it.

    Args:
        middleware: The `UpgradeMiddleware`.
        serve: Its way to serve a request with an application given.
        attach: Whether to extend the server.
        allow_unguarded: Whether to let in what would be refused.
        match_routes: Whether WebSocket routes shall match handshakes that are still HTTP requests.
        edge: What the server's connections shall do by themselves.

    Attributes:
        placed: Whether `place` has been called.
        delegates: Whether handshakes are converted further inside, and not by ``middleware`` itself.
    """

    def __init__(
        self,
        middleware: ASGIApp,
        serve: Serve,
        *,
        attach: bool,
        allow_unguarded: bool,
        match_routes: bool,
        edge: EdgeSettings,
    ) -> None:
        self.placed = False
        self.delegates = False
        self._middleware = middleware
        self._serve = serve
        self._attach = attach
        self._allow_unguarded = allow_unguarded
        self._match_routes = match_routes
        self._edge = edge
        self._application: Starlette | None = None  # the one that `middleware` belongs to
        self._outermost: Any = middleware  # what the server has to call itself, for nothing to be passed by
        self._routes_guarded = False
        self._server_known = False  # whether what the server offers has been looked up, and logged
        self._warned = False

    def place(self, scope: Scope) -> None:
        """Take our place in the application, as far as it is known how.

        Args:
            scope: The first scope that the middleware is called with.
        """
        self.placed = True
        if scope["type"] != "lifespan":
            report_unavailable(self._edge)
        middleware = self._middleware
        application, inside = find_application(middleware, scope)
        if application is None:
            # The last one is the application, the others are known to be middleware.
            inside_us = (type(node) for node in list(chain(middleware))[1:-1])
            _warn_unguarded(kind.__name__ for kind in inside_us if kind is not type(middleware))
            self._routes_guarded = True
            return
        self._application = application
        if inside:
            self._outermost = application
        self.delegates = convert_before_router(application, self._serve, middleware=middleware if inside else None)
        guard_stack(application, self._deliver if inside else None)
        if self._match_routes:
            match_handshakes()
        if scope["type"] != "lifespan":
            self._guard_routes()

    async def run_lifespan(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Extend the server, and see to the routes that there are once ``app`` has started."""
        self._server_known = True
        attach_to_server(change=self._attach, settings=self._edge)

        async def send_after_startup(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._guard_routes()
            await send(message)

        try:
            await app(scope, receive, send_after_startup)
        finally:
            # An application may also raise to say that it has no lifespan.
            self._guard_routes()

    async def run_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket that the server delivers directly: the HTTP middleware has not seen its handshake."""
        application = self._application
        if application is not None and application is self._outermost and application.middleware_stack is not None:
            # The `Gate` was not there yet when this WebSocket came.
            await application.middleware_stack(scope, receive, send)
        else:
            await self._deliver(scope, receive, send, self._middleware)

    async def _deliver(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Serve it with ``app``, as a handshake, unless that would pass by what stands further out."""
        if not self._server_known:
            self._server_known = True
            attach_to_server(change=False)
        bridge = Bridge(scope, receive, send)
        if self._allow_unguarded or is_called_by_server(self._outermost):
            await bridge.run(app)
            return
        if not self._warned:
            self._warned = True
            logger.error(
                "The server delivers WebSockets, not handshakes: they are refused, because middleware around %s would "
                "not see them. Wrap the outermost application in asgi_upgrade.HandshakeMiddleware, or set "
                "allow_unguarded=True.",
                type(self._outermost).__name__,
            )
        await bridge.run(PlainTextResponse("WebSockets are not available: their handshakes cannot be checked.\n", 503))

    def _guard_routes(self) -> None:
        if self._application is not None and not self._routes_guarded:
            self._routes_guarded = True
            _warn_unguarded(guard_routes(self._application, self._serve))


def _warn_unguarded(names: Iterable[str]) -> None:
    listed = ", ".join(names)
    if listed:
        logger.warning(
            "These middlewares stand inside UpgradeMiddleware and will not see WebSocket handshakes: %s. Add "
            "UpgradeMiddleware first, so that it is innermost.",
            listed,
        )
