"""Telemetry that has seen a handshake as a request sees its WebSocket too, as on the plain server.

OpenTelemetry, Sentry and FastAPI tell of requests and of WebSockets in different words, and dashboards are made of both.
The handshake is a request to them, as to all middleware. When it becomes a WebSocket, a copy of the layer of telemetry
that it has come through is put around what answers it: so no middleware of the application runs twice, and there is a
span for the request and one for the WebSocket. The layers are found where their calls are running.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from asgi_upgrade.guard.overlooked import coroutine_frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["with_telemetry"]

logger = logging.getLogger("asgi_upgrade")

# Key of a scope whose WebSocket has its telemetry.
_TOLD = "asgi_upgrade.telemetry"
_OPENTELEMETRY = frozenset(
    (
        "opentelemetry.instrumentation.asgi",
        "opentelemetry.instrumentation.fastapi",
        "opentelemetry.instrumentation.starlette",
    )
)
_SENTRY = "sentry_sdk.integrations.asgi"
_FASTAPI = "fastapi.telemetry._asgi"
_MODULES = (*_OPENTELEMETRY, _SENTRY, _FASTAPI)
_APPLICATIONS = frozenset(("fastapi.applications", "starlette.applications"))
# What Starlette's routers add to a scope.
_ROUTE_KEYS = ("endpoint", "path_params", "route", "router")

_reported: set[str] = set()

_Run = "Callable[[ASGIApp, Scope, Receive, Send], Awaitable[Any]]"


class _Layer(NamedTuple):
    """A layer of telemetry, and what it was called with."""

    module: str
    instance: Any
    scope: Scope
    legacy: bool  # FastAPI's, and OpenTelemetry's own instrumentation is there too
    applications: list[Any]  # the application that it belongs to, if any


def with_telemetry(app: ASGIApp, scope: Scope, tasks: Sequence[asyncio.Task[Any]]) -> ASGIApp:
    """Return ``app``, inside copies of the layers of telemetry that a handshake has come through.

    Args:
        app: What gets the ``websocket`` scope.
        scope: The ``http`` scope of the handshake.
        tasks: Those that the handshake has come through.
    """
    if _TOLD in scope or sys.modules.keys().isdisjoint(_MODULES):
        return app
    try:
        layers = _find_layers(tasks)
    except Exception:
        _report("find")
        return app
    if not layers:
        return app

    async def observed(scope: Scope, receive: Receive, send: Send) -> Any:
        scope[_TOLD] = True
        return await _run(layers, app, scope, receive, send)

    return observed


def _find_layers(tasks: Sequence[asyncio.Task[Any]]) -> list[_Layer]:
    """The layers whose calls are running, the outermost first."""
    found: list[_Layer] = []
    homeless: list[_Layer] = []  # those for which no application has been met yet, on the way out
    outermost: Any = None
    for frame in coroutine_frames(tasks):
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
        if module in _APPLICATIONS and name == "__call__":
            outermost = frame.f_locals.get("self")
            for layer in homeless:
                layer.applications.append(outermost)
            homeless.clear()
        elif name == ("_run_app" if module == _SENTRY else "__call__") and module in _MODULES:
            given = frame.f_locals
            instance, scope = given.get("self"), given.get("scope")
            if instance is not None and isinstance(scope, dict) and scope["type"] == "http" and _is_layer(instance):
                layer = _Layer(str(module), instance, scope, bool(given.get("legacy_otel")), [])
                if not any(each.instance is instance for each in found):
                    found.append(layer)
                    homeless.append(layer)
    found.reverse()
    # Applications inside another one have Sentry's layer too, which does nothing there.
    seen_sentry = False
    layers = []
    for layer in found:
        if layer.module == _SENTRY:
            if seen_sentry:
                continue
            seen_sentry = True
        layers.append(layer)
    return layers


def _is_layer(instance: Any) -> bool:
    # It can be copied, and given another application; or it is FastAPI's, which is called with one.
    return hasattr(instance, "app") or type(instance).__name__ == "NativeTelemetry"


async def _run(layers: Sequence[_Layer], app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
    """Run ``app`` inside the layers."""

    async def leaf(layers_scope: Scope, receive: Receive, send: Send) -> Any:
        if "fastapi.telemetry" in layers_scope:
            scope["fastapi.telemetry"] = layers_scope["fastapi.telemetry"]
        return await app(scope, receive, send)  # type: ignore[func-returns-value]

    served: Any = leaf
    for layer in reversed(layers):
        served = _around(layer, served, scope)
    return await _without_span(served, _outer_scope(layers[0], scope), receive, send)


def _outer_scope(layer: _Layer, scope: Scope) -> Scope:
    """The ``websocket`` scope that a layer would have got from the server."""
    outer = {name: value for name, value in scope.items() if name != "fastapi.telemetry"}
    outer["root_path"] = scope.get("app_root_path", scope.get("root_path", ""))
    if layer.applications:
        outer["app"] = layer.applications[0]
    return outer


def _around(layer: _Layer, inner: ASGIApp, scope: Scope) -> ASGIApp:
    """Return a copy of a layer, around ``inner``."""
    if not hasattr(layer.instance, "app"):
        return _around_fastapi(layer, inner, scope)
    clone = copy.copy(layer.instance)
    clone.app = inner
    if layer.module != _SENTRY:
        return clone  # type: ignore[no-any-return]

    async def sentry(scope: Scope, receive: Receive, send: Send) -> Any:
        from sentry_sdk.integrations.asgi import _asgi_middleware_applied

        # It would take this for an application inside another one.
        token = _asgi_middleware_applied.set(False)
        try:
            return await clone._run_app(scope, receive, send, asgi_version=3)
        finally:
            _asgi_middleware_applied.reset(token)

    return sentry


def _around_fastapi(layer: _Layer, inner: ASGIApp, scope: Scope) -> ASGIApp:
    request = scope.get("fastapi.telemetry")

    async def named(scope: Scope, receive: Receive, send: Send) -> Any:
        told = scope.get("fastapi.telemetry")
        route = getattr(request, "route", None)
        if told is not None and route is not None:
            # The router has chosen already.
            told.route = route
            if told.span is not None:
                told.span.set_attribute("http.route", route)
                told.span.update_name(f"{told.span_method} {route}")
        return await inner(scope, receive, send)  # type: ignore[func-returns-value]

    async def fastapi(scope: Scope, receive: Receive, send: Send) -> Any:
        return await layer.instance(
            app=named, scope=scope, receive=receive, send=send, legacy_otel=layer.legacy
        )

    return fastapi


async def _without_span(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
    """Run ``app`` outside the span of the request: the WebSocket has the parent that the client names, as it has."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:
        return await app(scope, receive, send)  # type: ignore[func-returns-value]
    token = context.attach(context.Context())
    try:
        return await app(scope, receive, send)  # type: ignore[func-returns-value]
    finally:
        context.detach(token)


def _report(what: str) -> None:
    if what not in _reported:
        _reported.add(what)
        logger.warning(
            "Telemetry of WebSockets: its layers cannot be found. It sees their handshakes. This is logged once.",
            exc_info=True,
        )
