"""The entrance of a Starlette or FastAPI application that has an `UpgradeMiddleware` among its middleware."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

from asgi_upgrade.guard.adapters import Adapter, adapt_layers
from asgi_upgrade.guard.building import policies_of, teach_building
from asgi_upgrade.guard.outermost import Proof, prove_outermost
from asgi_upgrade.guard.starlette_internals import lacking
from asgi_upgrade.http.offer import UpgradeOffer
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.websocket.bridge import CONVERTED, HANDSHAKE, Bridge, get_bridge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Gate", "Taker", "chain", "open_gates"]


class Gate:
    """Stands in front of the whole stack of middleware of an application.

    A WebSocket that the server delivers passes the stack as a handshake.

    Args:
        app: The stack.
        application: The application.
    """

    def __init__(self, app: ASGIApp, application: Starlette) -> None:
        self._application = application
        self._policy = policies_of(application)[-1]  # the outermost
        self.app = adapt_layers(app, self._policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        kind = scope["type"]
        if kind == "http":
            if "extensions" in scope and HANDSHAKE not in scope and is_handshake(scope):
                if self._policy.bypasses(scope):
                    await self._policy.convert(self.app, scope, receive, send)
                    return
                # Rate limits, metrics and tracing further out than the policy look for the route.
                scope[HANDSHAKE] = None
                await self._observed(scope, receive, send)
                return
        elif kind == "websocket":
            await self._serve_websocket(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if CONVERTED in scope:
            if scope[CONVERTED] is None:
                await self.app(scope, receive, send)
            else:
                await Bridge(scope, receive, send).run(self._observed)
        elif self._policy.bypasses(scope):
            await self._policy.pass_through(self.app, scope, receive, send)
        else:
            proof = prove_outermost(self._application, receive, send)
            await Bridge(scope, receive, send, guarded=proof is Proof.PROVEN).run(self._observed)

    def _observed(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # What middleware in front of the policy refuses is known nowhere else.
        return self._policy.watch(self.app, scope)(scope, receive, send)


class Taker(Adapter):
    """Stands behind the last middleware of an application: gives connections to the protocols of its middleware.

    Args:
        app: The router.
        take: Serves a request, with the application given if it offers none of the protocols.
    """

    def __init__(self, app: ASGIApp, take: Callable[[Scope, Receive, Send, ASGIApp], Awaitable[None]]) -> None:
        super().__init__(app)
        self._take = take

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and "extensions" in scope:
            await self._take(scope, receive, send, self.app)
        else:
            await self.app(scope, receive, send)


class _Stack:
    """Descriptor of `Starlette.middleware_stack`: a stack with a policy in it begins with its `Gate`.

    It only sees assignments, so reading the attribute costs what it did.
    """

    def __set__(self, application: Starlette, stack: ASGIApp | None) -> None:
        teach_building(type(application))
        if stack is not None and not isinstance(stack, Gate) and policies_of(application):
            stack = Gate(stack, application)
        vars(application)["middleware_stack"] = stack


def open_gates() -> None:
    """Have applications with a policy among their middleware begin with a `Gate`, from their next stack on.

    For all others nothing changes.
    """
    if lacking() is not None:
        return
    teach_building(Starlette)
    if "middleware_stack" not in vars(Starlette):
        Starlette.middleware_stack = _Stack()  # type: ignore[assignment]


def chain(node: Any) -> Iterator[Any]:
    """The middlewares from ``node`` inwards, and what they are for: by convention each keeps the next in ``app``."""
    seen = set[int]()
    while node is not None and id(node) not in seen:
        seen.add(id(node))
        yield node
        # Attributes of a function may be copies of those of the middleware that it wraps.
        node = None if isinstance(node, FunctionType) else getattr(node, "app", None)


def is_handshake(scope: Scope) -> bool:
    """Tell whether an ``http`` scope asks for a WebSocket, on a server that can switch."""
    if get_bridge(scope) is not None:
        return True
    extension = get_extension(scope)
    if scope["method"] != "GET" or extension is None:
        return False
    if "protocol" in extension:
        return extension["protocol"] == "websocket"
    offer = UpgradeOffer.from_scope(scope)
    return offer is not None and offer.find("websocket") is not None
