"""ASGI adapters in front of applications and middleware: each decides in which form its app gets a handshake."""

from __future__ import annotations

import logging
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from asgi_upgrade.guard.handshake import Handshake, approved, is_policy
from asgi_upgrade.guard.in_place import InPlace, without_policy
from asgi_upgrade.guard.layers import Reading, module_of, nested, qualified_name, read
from asgi_upgrade.guard.leaves import Kind, held, holds_router, is_endpoint, is_framework, kind_of, named_by, next_of
from asgi_upgrade.guard.links import Adapter, LeadingBack, Rebuilding, is_next, keeps_as_function
from asgi_upgrade.guard.refusals import answer_unavailable, name_of
from asgi_upgrade.guard.starlette_internals import lacking
from asgi_upgrade.websocket.bridge import CONVERTED, Bridge, get_bridge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade.guard.handshake import Policy

__all__ = ["Adapter", "AsHandshake", "AsWebSocket", "adapt", "adapt_layers", "report_unclear"]

logger = logging.getLogger("asgi_upgrade")

# By these an application says that it does not know what a handshake is, and not that this one may not pass.
_UNKNOWING = frozenset((200, 204, 400, 404, 405, 426, 500, 501))
# Links between an application and the last one inside it.
_DEPTH = 64

# They assert that they are given a WebSocket.
_ASSERTING = tuple(getattr(kind.__init__, "__code__", None) for kind in (WebSocket, WebSocketEndpoint))

_unclear: set[str] = set()


class Leaf(Adapter):
    """Gives the application a ``websocket`` scope: it answers, and nothing else is inside."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Convert a handshake."""
        handshake = approved(scope)
        if handshake is None:
            return self.app(scope, receive, send)
        app = self._handle_exceptions if "starlette.exception_handlers" in scope else self.app
        return handshake.convert(app, scope, receive, send)

    async def _handle_exceptions(self, scope: Scope, receive: Receive, send: Send) -> Any:
        # Those of the routes' functions are handled there. For others it is Starlette's ExceptionMiddleware, further
        # out, which has seen a request. Imported here, because it is private: `starlette_internals` looks for it.
        from starlette._exception_handler import wrap_app_handling_exceptions

        app = wrap_app_handling_exceptions(self.app, WebSocket(scope, receive, send))
        return await app(scope, receive, send)


class PagesOnly(Adapter):
    """Answers a handshake with 404: the application answers requests only."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Refuse a handshake."""
        return await (self.app if approved(scope) is None else PlainTextResponse("Not Found", 404))(
            scope, receive, send
        )


class Unknown(Adapter):
    """Gives the handshake to an application that may have a guard inside. Its answer is final.

    It may answer in WebSocket messages.
    """

    def __init__(self, app: ASGIApp, *, may_hide: bool) -> None:
        super().__init__(app)
        self._unreported = may_hide

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Pass a handshake on."""
        handshake = approved(scope)
        if handshake is None:
            return await self.app(scope, receive, send)
        in_place = InPlace(scope, receive, send, handshake)
        try:
            result = await in_place.run(self.app)
        except AssertionError as error:
            if in_place.status is not None or not _is_of_endpoint(error):
                raise
            logger.error(
                "%s leads to a WebSocket endpoint, and where it keeps the next application cannot be found, so that "
                "the endpoint would get a request: handshakes are refused. Let it keep the next application in `app`, "
                "or deliver its path as it is: insecure_skip_http_middleware.",
                name_of(self.app),
            )
            return await answer_unavailable(scope, receive, send)
        if self._unreported and in_place.status in _UNKNOWING:
            self._unreported = False
            name = name_of(self.app)
            logger.warning(
                "%s has answered a WebSocket handshake with %s. It may have a guard inside, so it was given the "
                "handshake, and no WebSocket. If it serves WebSockets, wrap what serves them, inside all guards: "
                "UpgradeMiddleware(application). Or name it: websocket_middleware=[%s].",
                name,
                in_place.status,
                name,
            )
        return result


def _is_of_endpoint(error: AssertionError) -> bool:
    """Tell whether an endpoint of Starlette has said that it got no WebSocket."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and any(trace.tb_frame.f_code is code for code in _ASSERTING)


class AsWebSocket(Adapter):
    """Gives a middleware that is written for ``websocket`` scopes one, in its place in the order.

    Args:
        app: The middleware.
        policy: Who decides about handshakes that nobody has decided about yet: one that stands further inside. If it is
            not known, ``None``, that one decides when they get there.

    Attributes:
        policy: See above.
    """

    def __init__(self, app: ASGIApp, policy: Policy | None) -> None:
        super().__init__(app)
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Convert a handshake."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if (handshake := approved(scope)) is not None:
            return await handshake.convert(self.app, scope, receive, send)
        if self.policy is not None:
            return await self.policy.convert(self.app, scope, receive, send)
        if isinstance(undecided := without_policy(scope), Handshake):
            return await undecided.convert(self.app, scope, receive, send)
        return await self.app(scope, receive, send)


class AsHandshake(Adapter):
    """Gives what stands behind such a middleware the handshake again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Turn a WebSocket back into a handshake."""
        if scope["type"] == "websocket" and scope.get(CONVERTED) is not None:
            return await Bridge(scope, receive, send).run(self.app)
        return await self.app(scope, receive, send)


class Unadaptable(Adapter):
    """Refuses handshakes: the middleware must get a WebSocket, and what is behind it cannot be given the handshake."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        logger.error(
            "%s is written for WebSockets, and where it keeps the next application cannot be found, so that what is "
            "behind it would not see handshakes: they are refused. Let it keep the next application in `app`, or "
            "deliver its path as it is: insecure_skip_http_middleware.",
            name_of(app),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Refuse a handshake."""
        if scope["type"] == "http" and (approved(scope) is not None or get_bridge(scope) is not None):
            return await answer_unavailable(scope, receive, send)
        return await self.app(scope, receive, send)


def is_told(app: Any, policy: Policy | None) -> bool:
    """Tell whether ``websocket_middleware`` names ``app``, its class or the function that has made it."""
    return policy is not None and any(
        each is app or each is type(app) or _is_made_by(app, each) for each in policy.websocket_middleware
    )


def _is_made_by(app: Any, maker: Any) -> bool:
    if not (isinstance(app, FunctionType) and isinstance(maker, FunctionType)):
        return False
    return any(code is app.__code__ for code in nested(maker.__code__))


def adapt(
    app: ASGIApp, policy: Policy | None, *, placed: bool = False, depth: int = _DEPTH, base: Any = None
) -> ASGIApp:
    """Return what to give a handshake for ``app``: ``app`` itself, a copy, or an adapter in front of one of them.

    What stands inside ``app``, each kept by the one before, is adapted too. See `links` for where it is found.

    Args:
        app: A middleware or an application.
        policy: Who converts; names what shall get ``websocket`` scopes.
        placed: See `kind_of`. Default: ``False``.
        depth: How many may stand inside each other.
        base: What a route has inside its middleware, if that is known. Default: ``None``.
    """
    return _Adapting(policy, base).adapt(app, depth, placed=placed)


def adapt_layers(app: ASGIApp, policy: Policy | None, *, depth: int = _DEPTH) -> ASGIApp:
    """Like `adapt`, for what stands around the place of ``policy``: only what must get a WebSocket is adapted."""
    return _Adapting(policy, None).adapt_layers(app, depth)


def _once(
    app: ASGIApp, known: dict[int, tuple[ASGIApp, ASGIApp]], depth: int, adapted: Callable[[LeadingBack], ASGIApp]
) -> ASGIApp:
    """Return what ``app`` becomes: from ``known``, or else what ``adapted`` makes of it."""
    if isinstance(app, Adapter) or is_policy(app):
        return app
    if id(app) not in known:
        if depth == 0:
            return app
        back = LeadingBack(app)
        known[id(app)] = app, back
        back.app = adapted(back)
        known[id(app)] = app, back.app
    return known[id(app)][1]


class _Adapting:
    """Goes through applications that stand inside each other.

    Each is looked at once: they may refer to each other in circles. What leads back to one that is not adapted yet gets
    what it becomes, so that a guard is passed in the same form each time.
    """

    def __init__(self, policy: Policy | None, base: Any) -> None:
        self._policy = policy
        self._base = base
        self._running = dict[int, LeadingBack]()
        # With what was adapted, so that no other object gets its identity.
        self._adapted: dict[int, tuple[ASGIApp, ASGIApp]] = {}
        self._layers: dict[int, tuple[ASGIApp, ASGIApp]] = {}

    def adapt(self, app: ASGIApp, depth: int, *, placed: bool = False) -> ASGIApp:
        """See `adapt`."""
        return _once(app, self._adapted, depth, lambda back: self._adapt(app, depth, back, placed=placed))

    def _adapt(self, app: ASGIApp, depth: int, back: LeadingBack, *, placed: bool) -> ASGIApp:
        if wants_websocket(app, self._policy):
            return self._as_websocket(app, depth, back)
        # A class that is a route's endpoint answers WebSockets.
        kind = kind_of(app, placed=placed or (app is self._base and isinstance(app, type)))
        if kind is Kind.STARLETTE:
            if isinstance(app, Starlette) and lacking() is None:
                adapt_stack(app, self._policy)
            return app
        if kind is Kind.LEAF:
            return Leaf(app)
        if kind is Kind.PAGES:
            return PagesOnly(app)
        new: ASGIApp
        new, found, hidden = self._with_next(app, lambda inner: self.adapt(inner, depth - 1))
        if (found and not hidden) or (kind is Kind.LAYER and holds_router(app)):
            return new
        return Unknown(new, may_hide=kind is Kind.LAYER)

    def adapt_layers(self, app: ASGIApp, depth: int) -> ASGIApp:
        """See `adapt_layers`."""
        return _once(app, self._layers, depth, lambda back: self._adapt_layers(app, depth, back))

    def _adapt_layers(self, app: ASGIApp, depth: int, back: LeadingBack) -> ASGIApp:
        if wants_websocket(app, self._policy):
            return self._as_websocket(app, depth, back)
        if kind_of(app) is Kind.STARLETTE:
            return app
        new: ASGIApp = self._with_next(app, lambda inner: self.adapt_layers(inner, depth - 1))[0]
        return new

    def _as_websocket(self, app: Any, depth: int, back: LeadingBack) -> ASGIApp:
        def handshake_again(inner: ASGIApp) -> ASGIApp:
            adapted = self.adapt(inner, depth - 1)
            # A leaf is to get a WebSocket, and gets it.
            return inner if isinstance(adapted, Leaf) else AsHandshake(adapted)

        new, found, hidden = self._with_next(app, handshake_again, back)
        if is_told(app, self._policy):
            # If nothing was found inside, it was named by somebody who knows what is.
            return AsWebSocket(new, self._policy)
        if keeps_as_function(app):
            hidden = [*hidden, *named_by(app)]  # it may go on to these too
        if (found or hidden) and all(kind_of(each) in {Kind.LEAF, Kind.PAGES} for each in hidden):
            # They have nothing inside: nothing that should see the handshake is left out.
            return AsWebSocket(new, self._policy)
        return Unadaptable(app)

    def _with_next(
        self, app: Any, adapted: Callable[[ASGIApp], ASGIApp], back: LeadingBack | None = None
    ) -> tuple[Any, bool, list[Any]]:
        """Put adapters between a middleware and the next application.

        Args:
            app: The middleware.
            adapted: Returns what to put in the place of the next application.
            back: See `Rebuilding.rebuild`. Default: ``None``, the copy itself.

        Returns:
            The middleware, or a copy; whether anything was found; what else a function or method keeps that may be
            an application.
        """

        def once(inner: ASGIApp) -> ASGIApp:
            return inner if isinstance(inner, AsHandshake) else adapted(inner)

        if keeps_as_function(app):
            rebuilding = Rebuilding(once, self._base, self._running)
            new = rebuilding.rebuild(app, back)
            return new, bool(rebuilding.found), rebuilding.hidden(app)
        found, hidden, owner = next_of(app), [], app
        if isinstance(app, MethodType):
            # Its object may be more than a middleware: what it has in attributes is no convention.
            hidden = [inner for inner in found.values() if not is_next(inner, self._base)]
            found = {name: inner for name, inner in found.items() if is_next(inner, self._base)}
            owner = app.__self__
        for name, inner in found.items():
            if (new := once(inner)) is not inner:
                object.__setattr__(owner, name, new)  # frozen dataclasses too
        return app, bool(found), hidden


def wants_websocket(app: Any, policy: Policy | None) -> bool:
    """Tell whether a middleware must get a ``websocket`` scope."""
    if is_told(app, policy):
        return True
    if isinstance(app, type) or is_endpoint(app) or is_framework(app) or not held(app):
        return False  # no middleware
    reading = read(app)
    if reading is Reading.UNCLEAR:
        report_unclear(app)
    return reading is Reading.WEBSOCKET


def report_unclear(middleware: Any) -> None:
    """Log, once for each class or function, what a middleware will see whose code is not clear about it."""
    if isinstance(middleware, FunctionType):
        # A function that is made by another is named by its maker.
        name = qualified_name(middleware).partition(".<locals>")[0]
        key = f"{module_of(middleware)}.{name}"
    else:
        kind = middleware if isinstance(middleware, type) else type(middleware)
        name, key = kind.__name__, f"{kind.__module__}.{kind.__qualname__}"
    if key not in _unclear:
        _unclear.add(key)
        logger.warning(
            "%s treats WebSockets in its own way. It sees their handshakes as HTTP requests, as all middleware does. "
            "If it is to get WebSockets instead: websocket_middleware=[%s].",
            key,
            name,
        )


def adapt_stack(application: Starlette, policy: Policy | None) -> None:
    """Adapt the middleware of an application inside another one, if it has any and that is not done."""
    if application.user_middleware:
        if application.middleware_stack is None:
            application.middleware_stack = application.build_middleware_stack()
        stack = adapt_layers(application.middleware_stack, policy)
        if stack is not application.middleware_stack:
            application.middleware_stack = stack
