"""Replaces `build_middleware_stack` of Starlette and FastAPI: middleware for WebSockets is built between adapters.

What must get a ``websocket`` scope is adapted there, whatever it is made of: a class, a function, compiled code.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from asgi_upgrade.guard.adapters import AsHandshake, AsWebSocket, report_unclear
from asgi_upgrade.guard.handshake import is_policy
from asgi_upgrade.guard.layers import Reading, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from asgi_upgrade.guard.handshake import Policy

__all__ = ["note_policy", "policies_of", "teach_building"]

_taught = set[type]()
# The policies that have been made for the stack that is being built.
_built: ContextVar[list[Policy] | None] = ContextVar("asgi_upgrade_built", default=None)
_adapters: ContextVar[list[AsWebSocket]] = ContextVar("asgi_upgrade_adapters")
_POLICIES = "_asgi_upgrade_policies"


def note_policy(policy: Policy) -> None:
    """Say that a policy has been made, maybe for a stack that is being built."""
    built = _built.get()
    if built is not None:
        built.append(policy)


def policies_of(application: Starlette) -> list[Policy]:
    """The policies in the stack of an application that was built last, the innermost first."""
    policies: list[Policy] = vars(application).get(_POLICIES, [])
    return policies


def teach_building(kind: type) -> None:
    """Have a class of applications, its base classes and its subclasses build adapted stacks."""
    for each in kind.__mro__:
        _teach(each)
    _teach_subclasses(kind)


def _teach_subclasses(kind: type) -> None:
    subclasses: list[type] = kind.__subclasses__()
    for each in subclasses:
        _teach(each)
        _teach_subclasses(each)


def _teach(kind: type) -> None:
    if kind in _taught:
        return
    _taught.add(kind)
    original = vars(kind).get("build_middleware_stack")
    if original is None:
        return

    def build_middleware_stack(self: Starlette) -> ASGIApp:
        """Build the stack, with adapters in front of and behind the middleware that is written for WebSockets."""
        if _built.get() is not None:
            return original(self)  # type: ignore[no-any-return]  # the method of a base class
        added = self.user_middleware
        told: list[Any] = []
        for each in added:
            layers: Any = each.kwargs.get("websocket_middleware", ())
            told += layers
        self.user_middleware = list(_adapted(added, told))
        policies: list[Policy] = []
        adapters: list[AsWebSocket] = []
        tokens = _built.set(policies), _adapters.set(adapters)
        try:
            stack: ASGIApp = original(self)
        finally:
            _built.reset(tokens[0])
            _adapters.reset(tokens[1])
            self.user_middleware = added
        for adapter in adapters:
            adapter.policy = policies[-1] if policies else None
        vars(self)[_POLICIES] = policies
        return stack

    kind.build_middleware_stack = build_middleware_stack  # type: ignore[attr-defined]


def _adapted(added: Iterable[Middleware], told: list[Any]) -> Iterable[Middleware]:
    with_policy = any(is_policy(each.cls) for each in added)
    for each in added:
        kind: Any = each.cls
        reading = Reading.WEBSOCKET if kind in told else read(kind)
        if reading is Reading.UNCLEAR and with_policy:
            report_unclear(kind)
        yield Middleware(_Adapting(kind), *each.args, **each.kwargs) if reading is Reading.WEBSOCKET else each


class _Adapting:
    """Makes a middleware between two adapters."""

    def __init__(self, kind: Callable[..., ASGIApp]) -> None:
        self._kind = kind

    def __call__(self, app: ASGIApp, *args: Any, **kwargs: Any) -> ASGIApp:
        adapter = AsWebSocket(self._kind(AsHandshake(app), *args, **kwargs), None)
        _adapters.get().append(adapter)
        return adapter
