"""What an `UpgradeMiddleware` decides on handshakes, and how one that may pass goes on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.guard.building import note_policy, policies_of
from asgi_upgrade.guard.gate import chain, is_handshake
from asgi_upgrade.guard.handshake import Handshake, approved
from asgi_upgrade.guard.refusals import answer_unavailable, report_unguarded
from asgi_upgrade.guard.routing import teach_routes
from asgi_upgrade.guard.starlette_internals import lacking, report_lacking
from asgi_upgrade.guard.templates import find_template
from asgi_upgrade.http.offer import may_upgrade
from asgi_upgrade.http.paths import path_predicate
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.switching.refusal import refuse, upgrade_fields
from asgi_upgrade.system.checks import check_flag
from asgi_upgrade.websocket.bridge import CONVERTED, HANDSHAKE, Bridge, get_bridge
from asgi_upgrade.websocket.handshake import Accept, Reject, check_subprotocols, negotiate, read_fields
from asgi_upgrade.websocket.observer import Observer, Outcome, check_observer
from asgi_upgrade.websocket.origin import AllowedOrigins, OriginPolicy
from asgi_upgrade.websocket.settings import WebSocketSettings
from asgi_upgrade.websocket.stray import report_stray_handshake
from asgi_upgrade.websocket.watch import WATCH, Watch

__all__ = ["HandshakePolicy"]

App = Callable[[Scope, Receive, Send], Awaitable[Any]]


class HandshakePolicy:
    """Decides on handshakes: the base of `UpgradeMiddleware`, whose docstring has the arguments.

    Other rooms know it as the `asgi_upgrade.guard.handshake.Policy` that they need.
    """

    websocket_middleware: tuple[Any, ...] = ()  # by this attribute others know what we are

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_origins: AllowedOrigins,
        subprotocols: Sequence[str],
        websocket_only: Sequence[str] | Callable[[Scope], bool],
        websocket: WebSocketSettings,
        websocket_middleware: Sequence[Any],
        insecure_skip_http_middleware: Sequence[str],
        insecure_allow_unguarded: bool,
        observer: Observer | None,
    ) -> None:
        if not callable(app):
            raise ValueError(f"app must be an ASGI application, not {app!r}")
        if not isinstance(websocket, WebSocketSettings):
            raise ValueError(f"websocket must be WebSocketSettings, not {websocket!r}")
        self.app = app
        self.websocket_middleware = _check_layers(websocket_middleware)
        self._origin = OriginPolicy(allowed_origins)
        self._subprotocols = check_subprotocols(subprotocols, lenient=websocket.lenient_subprotocols)
        self._websocket_only = path_predicate("websocket_only", websocket_only)
        self._settings = websocket
        self._bypasses = path_predicate("insecure_skip_http_middleware", insecure_skip_http_middleware)
        self._allow_unguarded = check_flag("insecure_allow_unguarded", insecure_allow_unguarded)
        self._observer = check_observer(observer)
        self._reported = False
        self._available = lacking() is None  # Starlette is one that handshakes can be brought through
        if self._available:
            teach_routes()
            note_policy(self)
        else:
            report_lacking()

    def judge(self, scope: Scope) -> Handshake | Reject | None:
        """Return the handshake that a request is, or why it is refused. ``None``: it is no handshake."""
        passed = approved(scope)
        if passed is not None:
            # By another policy further out: both hold.
            passed.tighten(self, self._settings, self._subprotocols)
            return self._origin.check(scope) or passed
        extension = get_extension(scope)
        if extension is not None:
            fields = read_fields(scope)
            accept = negotiate(scope, fields, lenient_subprotocols=self._settings.lenient_subprotocols)
            if not isinstance(accept, Accept):
                return accept
            refusal = self._origin.check(scope, fields)
            return refusal or Handshake(extension, accept, self, self._settings, self._subprotocols)
        bridge = get_bridge(scope)
        if bridge is not None:
            accept = Accept(b"", bridge.subprotocols)  # the server has read the rest
            return self._origin.check(scope) or Handshake(bridge, accept, self, self._settings, self._subprotocols)
        if may_upgrade(scope["headers"]):
            report_stray_handshake(scope)
            accept = negotiate(scope, lenient_subprotocols=self._settings.lenient_subprotocols)
            if isinstance(accept, Reject):
                return accept
        return None  # no handshake, or a server that cannot switch

    def pass_on(self, scope: Scope, app: ASGIApp) -> App:
        """Return what serves a request: ``app``, after a look at what it may ask for; a handshake is marked as one.

        Args:
            scope: The request.
            app: What stands inside.
        """
        if self._bypasses is not None and HANDSHAKE not in scope and self.bypasses(scope) and is_handshake(scope):
            return partial(self.convert, app)
        handshake = self.judge(scope)
        if handshake is None:
            _forget(scope)
            if self._websocket_only is not None and self._websocket_only(scope):
                return _require_websocket
            return app
        if isinstance(handshake, Reject):
            return self.watch(_answering(handshake), scope, _outcome_of(handshake))
        if not self._available or (isinstance(handshake.carrier, Bridge) and self._is_unguarded(scope)):
            return self.watch(answer_unavailable, scope, Outcome.UNGUARDED)
        scope[HANDSHAKE] = handshake
        handshake.arrived()
        return app if self._observer is None else self.watch(app, scope)

    def bypasses(self, scope: Scope) -> bool:
        """Tell whether a handshake is to be delivered as a ``websocket`` scope through the whole application."""
        return self._bypasses is not None and self._bypasses(scope)

    async def convert(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve a handshake with ``app`` as a WebSocket, right here, if it may pass."""
        handshake = self.judge(scope)
        if handshake is None:
            _forget(scope)
            return await app(scope, receive, send)
        if isinstance(handshake, Reject):
            served = self.watch(_answering(handshake), scope, _outcome_of(handshake))
        elif self._is_unguarded(scope) or not (self._available or self.bypasses(scope)):
            served = self.watch(answer_unavailable, scope, Outcome.UNGUARDED)
        else:
            if self.bypasses(scope):
                app = _as_on_the_plain_server(app)
            served = self.watch(partial(handshake.convert, app), scope)
        return await served(scope, receive, send)

    async def pass_through(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket of the server with ``app``, as it is, if its origin may open one."""
        refusal = self._origin.check(scope)
        if refusal is not None:
            response = PlainTextResponse(f"{refusal.reason}\n", refusal.status)
            watched = self.watch(response, scope, _outcome_of(refusal))
            await Bridge(scope, receive, send).run(watched)
            return
        scope = {**scope, CONVERTED: None}
        if self._observer is None:
            await app(scope, receive, send)
        else:
            watch = Watch(scope, self._template_of)
            watch.add(self._observer)
            await watch.run_websocket(app, scope, receive, send)

    def watch(self, app: ASGIApp, scope: Scope, outcome: Outcome | None = None) -> ASGIApp:
        """Return ``app``, or what serves the handshake with it and tells our observer.

        Args:
            app: What serves the handshake.
            scope: Its scope.
            outcome: What becomes of it, if that is known already. Default: ``None``.
        """
        watch: Watch | None = scope.get(WATCH)
        if watch is None:
            if self._observer is None:
                return app
            watch = scope[WATCH] = Watch(scope, self._template_of)
            app = partial(watch.run, app)
        if self._observer is not None:
            watch.add(self._observer)
        watch.outcome = outcome or watch.outcome
        return app

    def application(self, scope: Scope) -> Starlette | None:
        """The Starlette application that has us among its middleware, or that we stand in front of."""
        application = scope.get("app")
        if isinstance(application, Starlette) and self in policies_of(application):
            return application
        return next((node for node in chain(self.app) if isinstance(node, Starlette)), None)

    def _template_of(self, scope: Scope) -> str | None:
        application = self.application(scope)
        return None if application is None else find_template(application.routes, scope)

    def _is_unguarded(self, scope: Scope) -> bool:
        """Tell whether the handshake is a WebSocket of the server that something around may not have seen as one."""
        bridge = get_bridge(scope)
        if bridge is None or bridge.guarded or self._allow_unguarded:
            return False
        if not self._reported:
            self._reported = True
            report_unguarded(scope.get("app", self))
        return True


def _check_layers(layers: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(layers, str | bytes) or not isinstance(layers, Sequence) or not all(map(callable, layers)):
        raise ValueError(f"websocket_middleware must be a list of middleware, not {layers!r}")
    return tuple(layers)


def _forget(scope: Scope) -> None:
    """Take back what was noted of a request that is no handshake after all."""
    scope.pop(HANDSHAKE, None)
    watch: Watch | None = scope.pop(WATCH, None)
    if watch is not None:
        watch.dismiss()


def _outcome_of(reject: Reject) -> Outcome:
    # Nothing but the origin policy answers 403.
    return Outcome.REFUSED_ORIGIN if reject.status == 403 else Outcome.BAD_REQUEST


def _answering(reject: Reject) -> App:
    return partial(refuse, status=reject.status, reason=reject.reason, headers=reject.headers)


async def _require_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    # RFC 9110 §15.5.22.
    fields = upgrade_fields(scope, "websocket")
    await refuse(scope, receive, send, status=426, reason="This path speaks WebSocket only.", headers=fields)


def _as_on_the_plain_server(app: ASGIApp) -> ASGIApp:
    """Return ``app``, with nothing inside that sees a WebSocket as a handshake again."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONVERTED] = None
        await app(scope, receive, send)

    return served
