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

from asgi_upgrade.starlette.stack import Converter, Gate, Serve, chain, convert_before_router, guard_stack, put_behind

__all__ = ["guard_routes"]


def guard_routes(application: Starlette, serve: Serve) -> list[str]:
    """Guard whatever the router of ``application`` leads to by the middleware that it has itself.

    Args:
        application: Routes that it gets later are not seen to.
        serve: Serves a request with the application given.

    Returns:
        The names of the middlewares for which that is not possible.
    """
    return list(_guard_router(application.router, serve, set()))


def _guard_router(router: Router, serve: Serve, seen: set[int]) -> Iterator[str]:
    if id(router) in seen:
        return
    seen.add(id(router))
    if not isinstance(router.middleware_stack, Converter):
        stack, unguarded = _guard_chain(router.middleware_stack, router.app, serve)
        router.middleware_stack = stack  # type: ignore[assignment]
        yield from unguarded
    yield from _guard_each(router.routes, serve, seen)


def _guard_each(routes: Iterable[BaseRoute], serve: Serve, seen: set[int]) -> Iterator[str]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            # FastAPI's `include_router`: its routes, and their copies with a prefix if there are any yet.
            yield from _guard_router(included, serve, seen)
            contexts = route.effective_route_contexts()  # type: ignore[attr-defined]
            yield from _guard_each([each.starlette_route for each in contexts if each.starlette_route], serve, seen)
        elif isinstance(route, WebSocketRoute):
            *_, endpoint = chain(route.app)
            is_endpoint = inspect.isfunction(endpoint) or endpoint is route.endpoint
            route.app, unguarded = _guard_chain(route.app, endpoint if is_endpoint else None, serve)
            yield from unguarded
        elif isinstance(route, (Mount, Host)):
            inner = next((node for node in chain(route.app) if isinstance(node, (Starlette, Router))), None)
            route.app, unguarded = _guard_chain(route.app, inner or getattr(route, "_base_app", route.app), serve)
            yield from unguarded
            if isinstance(inner, Starlette):
                if inner.user_middleware:
                    convert_before_router(inner, serve, nested=True)
                    guard_stack(inner)
                inner = inner.router
            if inner is not None:
                yield from _guard_router(inner, serve, seen)


def _guard_chain(first: ASGIApp, last: Any, serve: Serve) -> tuple[ASGIApp, list[str]]:
    """Put a `Gate` before the middleware from ``first`` inwards, and a `Converter` between it and ``last``."""
    if _is_same(first, last) or isinstance(first, Gate):
        return first, []
    for outer, inner in itertools.pairwise(chain(first)):
        if _is_same(inner, last) and put_behind(outer, Converter(inner, serve, nested=True)):
            return Gate(first), []
    return first, [type(first).__name__]


def _is_same(one: Any, other: Any) -> bool:
    # A method is another object each time it is looked up. Routers with the same routes are equal.
    return one is other or (inspect.ismethod(one) and one == other)
