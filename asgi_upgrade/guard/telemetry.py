"""Puts copies of the telemetry layers that a handshake has passed around its WebSocket.

OpenTelemetry, Sentry and FastAPI tell of requests and of WebSockets in different words, and dashboards are made of
both. The handshake is a request to them, as to all middleware. When it becomes a WebSocket, a copy of each layer of
telemetry that it has come through is put around what answers it: so no middleware of the application runs twice, and
there is a span for the request and one for the WebSocket. The layers are found where their calls are running.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from asgi_upgrade.guard.overlooked import coroutine_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["with_telemetry"]

logger = logging.getLogger("asgi_upgrade")

# Key of a scope whose WebSocket has its telemetry.
_TOLD = "asgi_upgrade.telemetry"
_ASGI = "opentelemetry.instrumentation.asgi"
_OPENTELEMETRY = frozenset(
    (
        _ASGI,
        "opentelemetry.instrumentation.fastapi",
        "opentelemetry.instrumentation.starlette",
    )
)
_SENTRY = "sentry_sdk.integrations.asgi"
_FASTAPI = "fastapi.telemetry._asgi"
# Key of a scope: FastAPI's own telemetry of it.
_TELEMETRY = "fastapi.telemetry"
_MODULES = (*_OPENTELEMETRY, _SENTRY, _FASTAPI)
_APPLICATIONS = frozenset(("fastapi.applications", "starlette.applications"))
_reported: set[str] = set()


class _Layer(NamedTuple):
    """A layer of telemetry."""

    module: str
    instance: Any
    legacy: bool  # FastAPI's, and OpenTelemetry's own instrumentation is there too
    application: Any = None  # that it belongs to, if any
    outermost: bool = False  # that one is in no other


def with_telemetry(app: ASGIApp, scope: Scope, tasks: Sequence[asyncio.Task[Any]]) -> ASGIApp:
    """Return ``app``, inside copies of the layers of telemetry that a handshake has come through.

    Args:
        app: What gets the ``websocket`` scope.
        scope: The ``http`` scope of the handshake.
        tasks: Those that the handshake has come through.
    """
    # Most applications have none, and their handshakes need not wait. FastAPI always imports its own.
    modules = sys.modules
    if _TOLD in scope or not (_ASGI in modules or _SENTRY in modules or scope.get(_TELEMETRY) is not None):
        return app
    try:
        layers = _find_layers(tasks)
    except Exception:
        # They are made by others, and may be made otherwise some day. A WebSocket does not depend on them.
        if "layers" not in _reported:
            _reported.add("layers")
            logger.exception("Telemetry will not see WebSockets, but their handshakes only. This is logged once.")
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
    application: Any = None
    for frame in coroutine_frames(tasks):
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
        if module in _APPLICATIONS and name == "__call__":
            application = frame.f_locals.get("self")
            found = [each._replace(application=each.application or application) for each in found]
        elif module in _MODULES and name == ("_run_app" if module == _SENTRY else "__call__"):
            given = frame.f_locals
            instance, scope = given.get("self"), given.get("scope")
            if not isinstance(scope, dict) or not _is_layer(instance):
                continue
            if scope["type"] == "websocket":
                # Where the server delivers WebSockets, what stands around the entrance has seen one.
                found = [each for each in found if each.module != module]
            elif not any(each.instance is instance for each in found):
                found.append(_Layer(str(module), instance, bool(given.get("legacy_otel"))))
    found.reverse()
    # Around an application inside another one Sentry has a layer too, which does nothing.
    idle = [layer for layer in found if layer.module == _SENTRY][1:]
    # FastAPI's has two halves, and without the other one that which looks for exceptions does nothing either.
    fastapis = [layer for layer in found if layer.module == _FASTAPI]
    if not any(_is_fastapis(layer.instance) for layer in fastapis):
        idle += fastapis
    return [
        layer._replace(outermost=layer.application in (None, application))
        for layer in found
        if not any(layer is each for each in idle)
    ]


def _is_layer(instance: Any) -> bool:
    # It can be copied, and given another application; or it is FastAPI's, which is called with one.
    return hasattr(instance, "app") or _is_fastapis(instance)


def _is_fastapis(instance: Any) -> bool:
    return type(instance).__name__ == "NativeTelemetry"


async def _run(layers: Sequence[_Layer], app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
    """Run ``app`` inside the layers."""

    async def leaf(layers_scope: Scope, receive: Receive, send: Send) -> Any:
        if _TELEMETRY in layers_scope:
            scope[_TELEMETRY] = layers_scope[_TELEMETRY]
        return await app(scope, receive, send)

    served: Any = leaf
    for layer in reversed(layers):
        served = _around(layer, served, scope)
    outer = {name: value for name, value in scope.items() if name != _TELEMETRY}
    return await _without_span(served, outer, receive, send)


def _as_outside(layer: _Layer, scope: Scope, at_route: Scope) -> Scope:
    """The ``websocket`` scope as a layer would have got it on the plain server, and not as it has got to the route."""
    root_path = at_route.get("root_path", "")
    if layer.outermost:
        root_path = at_route.get("app_root_path", root_path)
    return {**scope, "app": layer.application or at_route.get("app"), "root_path": root_path}


def _around(layer: _Layer, inner: ASGIApp, at_route: Scope) -> ASGIApp:
    """Return a copy of a layer, around ``inner``."""
    if _is_fastapis(layer.instance):
        return _around_fastapi(layer, inner, at_route)
    clone = copy.copy(layer.instance)
    clone.app = inner
    if layer.module == _SENTRY:
        return _around_sentry(clone)

    async def opentelemetry(scope: Scope, receive: Receive, send: Send) -> Any:
        return await clone(_as_outside(layer, scope, at_route), receive, send)

    return opentelemetry


def _around_sentry(clone: Any) -> ASGIApp:
    from sentry_sdk import get_client
    from sentry_sdk.integrations.asgi import _asgi_middleware_applied
    from sentry_sdk.integrations.dedupe import DedupeIntegration

    async def sentry(scope: Scope, receive: Receive, send: Send) -> Any:
        # It would take this for an application inside another one.
        token = _asgi_middleware_applied.set(False)
        try:
            return await clone._run_app(scope, receive, send, asgi_version=3)
        except Exception as error:
            # It has reported this, and will see it again around the request.
            dedupe = get_client().get_integration(DedupeIntegration)
            if dedupe is not None:
                dedupe._last_seen.set(error)
            raise
        finally:
            _asgi_middleware_applied.reset(token)

    return sentry


def _around_fastapi(layer: _Layer, inner: ASGIApp, at_route: Scope) -> ASGIApp:
    request = at_route.get(_TELEMETRY)

    async def named(scope: Scope, receive: Receive, send: Send) -> Any:
        told = scope.get(_TELEMETRY)
        route = getattr(request, "route", None)
        if told is not None and route is not None:
            # The router has chosen already.
            told.route = route
            if told.span is not None:
                told.span.set_attribute("http.route", route)
                told.span.update_name(f"{told.span_method} {route}")
        return await inner(scope, receive, send)

    async def fastapi(scope: Scope, receive: Receive, send: Send) -> Any:
        scope = _as_outside(layer, scope, at_route)
        return await layer.instance(app=named, scope=scope, receive=receive, send=send, legacy_otel=layer.legacy)

    return fastapi


async def _without_span(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
    """Run ``app`` outside the span of the request: the WebSocket has the parent that the client names, as it has."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:
        return await app(scope, receive, send)
    token = context.attach(context.Context())
    try:
        return await app(scope, receive, send)
    finally:
        context.detach(token)
