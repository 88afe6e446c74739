"""Places the conversion of handshakes in an application's stack of middleware."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.references import reaches
from asgi_upgrade.websocket.bridge import CONVERTED, Bridge, get_bridge

__all__ = [
    "Converter",
    "Gate",
    "Serve",
    "chain",
    "convert_before_router",
    "find_application",
    "guard_stack",
    "hides_application",
    "is_guarded",
    "overrides_call",
    "put_behind",
]

Serve = Callable[[Scope, Receive, Send, ASGIApp], Awaitable[None]]


class Converter:
    """Stands behind the last HTTP middleware, in place of an `UpgradeMiddleware` further out.

    Args:
        app: What a handshake is for.
        serve: Converts it, and serves any other request too.
        nested: Whether only what a `Gate` has made a handshake is to be converted.
    """

    def __init__(self, app: ASGIApp, serve: Serve, *, nested: bool = False) -> None:
        self.app = app
        self.serve = serve
        self.nested = nested

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Convert a handshake; let everything else pass."""
        if scope["type"] == "http" and not (self.nested and get_bridge(scope) is None):
            await self.serve(scope, receive, send, self.app)
        else:
            await self.app(scope, receive, send)


class Gate:
    """Stands in front of a stack of HTTP middleware that has a `Converter` at its end.

    Args:
        app: The stack.
        deliver: Serves a WebSocket that the server delivers directly. ``None`` lets it pass as it is.
    """

    def __init__(self, app: ASGIApp, deliver: Serve | None = None) -> None:
        self.app = app
        self.deliver = deliver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a WebSocket through the stack as a handshake; let everything else pass."""
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
        elif CONVERTED in scope:
            # An application around this one has converted it, and its own middleware has seen the handshake.
            await Bridge(scope, receive, send).run(self.app)
        elif self.deliver is not None:
            await self.deliver(scope, receive, send, self.app)
        else:
            await self.app(scope, receive, send)


def find_application(middleware: Any, scope: Scope) -> tuple[Starlette | None, bool]:
    """Find the application that ``middleware`` belongs to.

    Args:
        middleware: An `UpgradeMiddleware`.
        scope: One that it was called with.

    Returns:
        The application, or ``None`` if there is none or it is not Starlette; and whether ``middleware`` stands in its
        stack. If not, it wraps the application.
    """
    application = scope.get("app")
    if not isinstance(application, Starlette):
        application = None
    elif any(node is middleware for node in chain(_stack(application))):
        return application, True
    wrapped = next((node for node in chain(middleware) if isinstance(node, Starlette)), None)
    if wrapped is not None:
        return wrapped, False
    added: list[Any] = [] if application is None else [each.cls for each in application.user_middleware]
    if type(middleware) in added:
        # Some middleware around this one does not keep the next one in `app`.
        return application, True
    return None, False


def convert_before_router(
    application: Starlette, serve: Serve, *, middleware: Any = None, nested: bool = False
) -> bool:
    """Have handshakes converted right before the router of ``application``.

    Args:
        application: Its stack is built if it is not yet.
        serve: Serves a request with the application given.
        middleware: The `UpgradeMiddleware` in the stack that ``serve`` belongs to, if it stands there.
        nested: See `Converter`.

    Returns:
        Whether a `Converter` does it now. If not, ``middleware`` stands right there.
    """
    for outer, inner in itertools.pairwise(chain(_stack(application) if middleware is None else middleware)):
        # ExceptionMiddleware is always the last one that Starlette puts around the router.
        if isinstance(inner, ExceptionMiddleware):
            if not _leads_to_router(inner):
                break
            if outer is middleware:
                return False
            if not isinstance(outer, Converter):
                if not put_behind(outer, Converter(inner, serve, nested=nested)):
                    break
            elif outer.nested:
                # Placed by the application around this one, before this one's own middleware was called.
                outer.serve, outer.nested = serve, nested
            return True
    # Some middleware hides the next one, holds on to it, or stands behind that. The router looks this attribute up for
    # each connection.
    router = application.router
    if not isinstance(router.middleware_stack, Converter):
        router.middleware_stack = Converter(router.middleware_stack, serve, nested=nested)
    return True


def guard_stack(application: Starlette, deliver: Serve | None = None) -> None:
    """Put a `Gate` in front of the stack of ``application``, or have the one that is there deliver."""
    stack = _stack(application)
    if not isinstance(stack, Gate):
        # Starlette looks this attribute up for each connection.
        application.middleware_stack = Gate(stack, deliver)
    elif stack.deliver is None:
        stack.deliver = deliver


def is_guarded(application: Starlette) -> bool:
    """Tell whether there is a `Gate` in front of the whole stack: it may have been built anew, or wrapped."""
    return isinstance(application.middleware_stack, Gate)


def overrides_call(application: Starlette | Router) -> bool:
    """Tell whether ``application`` is of a class of the user's that does something itself before its middleware."""
    kind = next(each for each in type(application).__mro__ if "__call__" in vars(each))
    return not _is_known(kind)


def hides_application(node: Any) -> bool:
    """Tell whether ``node``, which keeps no next one in ``app``, has an application or router inside all the same."""
    return not isinstance(node, (Starlette, Router)) and reaches(
        [node],
        lambda each: isinstance(each, (Starlette, Router)),
        through=lambda each: not isinstance(each, (type, ModuleType)),
        depth=2,
    )


def put_behind(middleware: Any, app: ASGIApp) -> bool:
    """Have ``middleware`` call ``app`` from now on. ``False`` if its attribute ``app`` cannot be set."""
    try:
        middleware.app = app
    except AttributeError:
        return False
    return True


def chain(node: Any) -> Iterator[Any]:
    """The middlewares from ``node`` inwards, and what they are for: by convention each keeps the next in ``app``."""
    while node is not None:
        yield node
        node = getattr(node, "app", None)


def _leads_to_router(node: Any) -> bool:
    """Tell whether only what Starlette and FastAPI themselves put there stands between ``node`` and the router."""
    for each in chain(node):
        if isinstance(each, Router):
            return not overrides_call(each)
        if not _is_known(type(each)):
            return False
    return False


def _is_known(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in ("fastapi", "starlette")


def _stack(application: Starlette) -> ASGIApp:
    if application.middleware_stack is None:
        application.middleware_stack = application.build_middleware_stack()
    return application.middleware_stack
