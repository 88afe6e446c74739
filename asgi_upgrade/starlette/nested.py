"""Middleware behind the router: that of mounted applications, and what `Mount`, `Router` and `WebSocketRoute` take.

It gets a WebSocket that is converted already. There it passes the middleware as a handshake once more.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Router, WebSocketRoute
from starlette.types import ASGIApp

from asgi_upgrade.starlette.stack import (
    Converter,
    Gate,
    Serve,
    chain,
    convert_before_router,
    guard_stack,
    hides_application,
    overrides_call,
    put_behind,
)

__all__ = ["RouteGuard"]


class RouteGuard:
    """Guards whatever the router of an application leads to by the middleware that it has itself.

    Args:
        application: The application.
        serve: Serves a request with the application given.
    """

    def __init__(self, application: Starlette, serve: Serve) -> None:
        self._router = application.router
        self._serve = serve
        self._seen: list[
            tuple[Any, str, Any, int]
        ] = []  # the attributes that have been looked at, and how long they were
        self._reported: set[str] = set()

    def update(self) -> list[str]:
        """See to everything, if something has changed since the last time.

        Returns:
            The names of the middlewares for which that is not possible.
        """
        if self._seen and all(
            getattr(owner, name) is value and _length(value) == length for owner, name, value, length in self._seen
        ):
            return []
        self._seen.clear()
        names = [name for name in self._guard_router(self._router) if name not in self._reported]
        self._reported.update(names)
        return names

    def _guard_router(self, router: Router) -> Iterator[str]:
        if any(owner is router for owner, *_ in self._seen):
            return
        self._remember(router, "routes")
        if not isinstance(router.middleware_stack, Converter):
            stack, unguarded = _guard_chain(router.middleware_stack, router.app, self._serve)
            router.middleware_stack = stack  # type: ignore[assignment]
            yield from unguarded
        if router.default != router.not_found:
            router.default, unguarded = self._guard_application(router.default, router.default)
            yield from unguarded
        yield from self._guard_each(router.routes)

    def _guard_each(self, routes: Iterable[BaseRoute]) -> Iterator[str]:
        for route in routes:
            included = getattr(route, "original_router", None)
            if included is not None:
                # FastAPI's `include_router`: its routes, and their copies with a prefix if there are any yet.
                yield from self._guard_router(included)
                contexts = route.effective_route_contexts()  # type: ignore[attr-defined]
                yield from self._guard_each([each.starlette_route for each in contexts if each.starlette_route])
            elif isinstance(route, WebSocketRoute):
                *_, endpoint = chain(route.app)
                is_endpoint = inspect.isfunction(endpoint) or endpoint is route.endpoint
                route.app, unguarded = _guard_chain(route.app, endpoint if is_endpoint else None, self._serve)
                yield from unguarded
            elif isinstance(route, (Mount, Host)):
                route.app, unguarded = self._guard_application(route.app, getattr(route, "_base_app", route.app))
                yield from unguarded

    def _guard_application(self, app: ASGIApp, last: ASGIApp) -> tuple[ASGIApp, list[str]]:
        """Guard what routes lead to: ``app``, and ``last`` behind it if that is no application or router we know."""
        inner = next((node for node in chain(app) if isinstance(node, (Starlette, Router))), None)
        if inner is None:
            hiding = [_name(last)] if hides_application(last) else []
            app, unguarded = _guard_chain(app, last, self._serve)
            return app, unguarded + hiding
        guards_itself = overrides_call(inner)
        if guards_itself:
            # What it does stands in front of its stack.
            app, unguarded = app if isinstance(app, Gate) else Gate(app), []
        else:
            app, unguarded = _guard_chain(app, inner, self._serve)
        if isinstance(inner, Starlette):
            if inner.user_middleware or guards_itself or overrides_call(inner.router):
                convert_before_router(inner, self._serve, nested=True)
                guard_stack(inner)
            self._remember(inner, "user_middleware")
            self._remember(inner, "middleware_stack")
            inner = inner.router
        elif guards_itself and _is_same(inner.middleware_stack, inner.app):
            inner.middleware_stack = Converter(inner.app, self._serve, nested=True)
        return app, [*unguarded, *self._guard_router(inner)]

    def _remember(self, owner: Any, name: str) -> None:
        value = getattr(owner, name)
        self._seen.append((owner, name, value, _length(value)))


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


def _guard_chain(first: ASGIApp, last: Any, serve: Serve) -> tuple[ASGIApp, list[str]]:
    """Put a `Gate` before the middleware from ``first`` inwards, and a `Converter` between it and ``last``."""
    if _is_same(first, last) or isinstance(first, Gate):
        return first, []
    for outer, inner in itertools.pairwise(chain(first)):
        if _is_same(inner, last) and put_behind(outer, Converter(inner, serve, nested=True)):
            return Gate(first), []
    return first, [_name(first)]


def _name(middleware: Any) -> str:
    return str(getattr(middleware, "__name__", type(middleware).__name__))


def _is_same(one: Any, other: Any) -> bool:
    # A method is another object each time it is looked up. Routers with the same routes are equal.
    return one is other or (inspect.ismethod(one) and one == other)
