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
from asgi_upgrade.starlette.nested import RouteGuard
from asgi_upgrade.starlette.stack import (
    Serve,
    chain,
    convert_before_router,
    find_application,
    guard_stack,
    hides_application,
    is_guarded,
    overrides_call,
)
from asgi_upgrade.websocket.bridge import CONVERTED, Bridge

__all__ = ["Guard", "refuse_unguarded", "report_unguarded"]

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
        delegates: Whether handshakes are converted further inside, and not by ``middleware`` itself.
        may_move: Whether `is_placed` has to be asked: `place` has not been called, or has once found an
            application, which may build its stack anew.
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
        self.delegates = False
        self.may_move = True
        self._middleware = middleware
        self._serve = serve
        self._attach = attach
        self._allow_unguarded = allow_unguarded
        self._match_routes = match_routes
        self._edge = edge
        self._application: Starlette | None = None  # the one that `middleware` belongs to
        self._outermost: Any = middleware  # what the server has to call itself, for nothing to be passed by
        self._routes: RouteGuard | None = None
        self._server_known = False  # whether what the server offers has been looked up, and logged
        self._reported = False

    def is_placed(self) -> bool:
        """Tell whether the application is known, and still as `place` has left it."""
        return self._application is not None and is_guarded(self._application)

    def place(self, scope: Scope) -> None:
        """Take our place in the application, as far as it is known how.

        Args:
            scope: One that the middleware is called with.
        """
        if scope["type"] != "lifespan":
            report_unavailable(self._edge)
        middleware = self._middleware
        application, inside = find_application(middleware, scope)
        if application is None:
            # The last one is the application, the others are known to be middleware.
            *inside_us, last = list(chain(middleware))[1:]
            if hides_application(last):
                inside_us.append(last)
            _warn_unguarded(_name(node) for node in inside_us if type(node) is not type(middleware))
            self.may_move = self._application is not None
            return
        self._application = application
        if inside:
            self._outermost = application
        self.delegates = convert_before_router(application, self._serve, middleware=middleware if inside else None)
        guard_stack(application, self._deliver if inside else None)
        if self._match_routes:
            match_handshakes()
        self._routes = RouteGuard(application, self._serve)
        if scope["type"] != "lifespan":
            self.guard_routes()

    def guard_routes(self) -> None:
        """See to the routes that have been added since the last time."""
        if self._routes is not None:
            _warn_unguarded(self._routes.update())

    async def run_lifespan(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Extend the server, and see to the routes that there are once ``app`` has started."""
        self._server_known = True
        attach_to_server(change=self._attach, settings=self._edge)

        async def send_after_startup(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.guard_routes()
            await send(message)

        try:
            await app(scope, receive, send_after_startup)
        finally:
            # An application may also raise to say that it has no lifespan.
            self.guard_routes()

    async def run_websocket(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Serve a WebSocket, which HTTP middleware around us has not seen as a handshake unless it is converted."""
        application = self._application
        if application is not None and application is self._outermost and application.middleware_stack is not None:
            # The `Gate` was not there yet when this WebSocket came.
            await application.middleware_stack(scope, receive, send)
        elif CONVERTED in scope:
            await app(scope, receive, send)
        else:
            await self._deliver(scope, receive, send, self._middleware)

    async def _deliver(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Serve a WebSocket with ``app``, as a handshake, unless that would pass by what stands further out."""
        application = self._application
        if application is not None and application is self._outermost:
            if not is_guarded(application):
                # The stack has been wrapped since.
                self.place(scope)
                await self.run_websocket(scope, receive, send, app)
                return
            if overrides_call(application):
                app = application
        if not self._server_known:
            self._server_known = True
            attach_to_server(change=False)
        if self._allow_unguarded or is_called_by_server(self._outermost):
            await Bridge(scope, receive, send).run(app)
            return
        if not self._reported:
            self._reported = True
            report_unguarded(self._outermost)
        await refuse_unguarded(scope, receive, send)


def report_unguarded(outermost: Any) -> None:
    """Log that WebSockets pass by what stands around ``outermost``."""
    logger.error(
        "The server delivers WebSockets, not handshakes: they are refused, because middleware around %s would not see "
        "them. Wrap the outermost application in asgi_upgrade.HandshakeMiddleware, or set allow_unguarded=True.",
        type(outermost).__name__,
    )


async def refuse_unguarded(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket that has passed by HTTP middleware."""
    response = PlainTextResponse("WebSockets are not available: their handshakes cannot be checked.\n", 503)
    await Bridge(scope, receive, send).run(response)


def _name(middleware: Any) -> str:
    return str(getattr(middleware, "__name__", type(middleware).__name__))


def _warn_unguarded(names: Iterable[str]) -> None:
    listed = ", ".join(names)
    if listed:
        logger.warning(
            "These middlewares stand inside UpgradeMiddleware and will not see WebSocket handshakes: %s. Add "
            "UpgradeMiddleware first, so that it is innermost.",
            listed,
        )
