"""`UpgradeMiddleware`: settings in, a look at what each request offers, and on to what serves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.guard.adapters import adapt
from asgi_upgrade.guard.gate import open_gates
from asgi_upgrade.guard.outermost import Proof, prove_outermost
from asgi_upgrade.guard.policy import App, HandshakePolicy
from asgi_upgrade.guard.spoken import SpokenProtocols
from asgi_upgrade.http.offer import may_upgrade
from asgi_upgrade.http2.settings import H2CSettings, check_h2c
from asgi_upgrade.servers import attach_to_server, report_unavailable
from asgi_upgrade.servers.edge_settings import EdgeSettings
from asgi_upgrade.streams.handlers import Handler
from asgi_upgrade.streams.settings import StreamSettings, check_streams
from asgi_upgrade.system.checks import check_flag
from asgi_upgrade.tls.answers import describe_server, is_secure, refuse_in_the_clear
from asgi_upgrade.tls.settings import TLSSettings, check_tls
from asgi_upgrade.tls.upgrade import is_about_server
from asgi_upgrade.websocket.bridge import CONVERTED, Bridge
from asgi_upgrade.websocket.observer import Observer
from asgi_upgrade.websocket.origin import AllowedOrigins
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["UpgradeMiddleware"]

_WEBSOCKET = WebSocketSettings()
_STREAMS = StreamSettings()

open_gates()


class UpgradeMiddleware(HandshakePolicy):
    """ASGI middleware that makes ``websocket`` scopes of WebSocket handshakes, which arrive as HTTP requests.

    Every HTTP middleware outside it sees the handshake as a request, may refuse it, and sees the 101 (RFC 6455 §4.2).
    A request that offers no protocol we support goes on to ``app`` unchanged (RFC 9110 §7.8).

    You can add handlers for other protocols. If a request offers several protocols that are supported, the client's
    first choice is taken.

    Args:
        app: The ASGI application.
        allowed_origins: Origins that may open a WebSocket besides the page's own (RFC 6455 §10.2), such as
            ``"https://example.com"`` or ``"https://*.example.com"``. ``["*"]`` admits all. A function
            ``(origin, scope) -> bool`` decides by itself. Default: none besides its own.
        subprotocols: WebSocket subprotocols (RFC 6455 §1.9), in any order. If the application names none in
            ``websocket.accept``, one of these is chosen. The client's order of preference decides. Default: none.
        websocket_only: Path patterns in Starlette's syntax (``"/rooms/{name}"``), or a predicate on the scope. Plain
            HTTP requests for them are answered with 426 (RFC 9110 §15.5.22). Default: none.
        protocols: Other protocols than WebSocket, ``name`` or ``name/version``, and their handlers. A handler is an
            asynchronous function that takes an `UpgradeStream`. Case does not count in names, but it counts in
            versions. A handler may have a method ``accepts(scope)``. If it returns false, the next offer is tried.
            Default: none.
        websocket: Limits and times of each WebSocket, and compression. Default: those of `WebSocketSettings`.
        streams: Limits and times of the connections of ``protocols``. Default: those of `StreamSettings`.
        h2c: Which clients may speak HTTP/2 after ``Upgrade: h2c`` (RFC 7540 §3.2), and the limits for them. Needs the
            package ``h2``. Default: ``None``, such offers are ignored.
        tls: TLS on a plain connection, for clients that ask for it with ``Upgrade: TLS/1.2`` or a similar protocol
            (RFC 2817). Some clients ask with ``OPTIONS *``. The middleware answers that request itself. Default:
            ``None``, such offers are ignored.
        websocket_middleware: Middleware that shall get ``websocket`` scopes: classes, functions or objects. It keeps
            its place in the order. Layers inside it get the handshake as a request again. You need not name middleware
            that is written for WebSockets only: its code shows that. Default: none.
        insecure_skip_http_middleware: Path patterns in Starlette's syntax. Handshakes for these paths go through the
            whole application as ``websocket`` scopes. No HTTP middleware guards them, only the origin policy.
            Default: none.
        insecure_allow_unguarded: Whether to accept a WebSocket that a server delivers directly, if other layers may
            stand around the application. HTTP middleware in these layers has not seen the handshake. Default:
            ``False``, it is refused with 503.
        extend_server: Whether to extend the server that runs the application, when its lifespan starts. The server
            then offers handshakes as requests. Default: ``True``.
        observer: Gets told how each handshake and each connection ends, for metrics. Default: ``None``.

    Raises:
        ValueError: An argument is out of range, or ``h2c`` is given and the package ``h2`` is missing; the message
            names the argument.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_origins: AllowedOrigins = (),
        subprotocols: Sequence[str] = (),
        websocket_only: Sequence[str] | Callable[[Scope], bool] = (),
        protocols: Mapping[str, Handler] | None = None,
        websocket: WebSocketSettings = _WEBSOCKET,
        streams: StreamSettings = _STREAMS,
        h2c: H2CSettings | None = None,
        tls: TLSSettings | None = None,
        websocket_middleware: Sequence[Any] = (),
        insecure_skip_http_middleware: Sequence[str] = (),
        insecure_allow_unguarded: bool = False,
        extend_server: bool = True,
        observer: Observer | None = None,
    ) -> None:
        self._extend_server = check_flag("extend_server", extend_server)
        self._tls = check_tls(tls)
        self._edge = EdgeSettings(check_h2c(h2c), tls)
        self._protocols = SpokenProtocols(protocols, check_streams(streams), self)
        self._inner: ASGIApp | None = None  # `app`, or an adapter in front of it, from the first handshake on
        self._server_known = False  # whether what the server offers has been looked up, and logged
        super().__init__(
            app,
            allowed_origins=allowed_origins,
            subprotocols=subprotocols,
            websocket_only=websocket_only,
            websocket=websocket,
            websocket_middleware=websocket_middleware,
            insecure_skip_http_middleware=insecure_skip_http_middleware,
            insecure_allow_unguarded=insecure_allow_unguarded,
            observer=observer,
        )
        # Whether requests that offer nothing may be ours to answer.
        self._may_refuse = tls is not None or self._websocket_only is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection, or the lifespan."""
        kind = scope["type"]
        if kind == "http":
            # Nearly all requests ask for nothing, and pass without a detour.
            app: App = self.app
            if self._may_refuse or "extensions" in scope or may_upgrade(scope["headers"]):
                app = self._choose(scope)
            return await app(scope, receive, send)  # what is not None, servers report
        if kind == "websocket":
            return await self._serve_websocket(scope, receive, send)
        if kind == "lifespan":
            self._server_known = True
            self._protocols.place(scope)
            attach_to_server(change=self._extend_server, settings=self._edge, policy=self)
        return await self.app(scope, receive, send)

    def _choose(self, scope: Scope) -> App:
        """Return what serves a request; a handshake that we let pass is marked as one."""
        if not self._server_known:
            self._server_known = True
            report_unavailable(self._edge)
        if self._tls is not None:
            if not is_secure(scope) and self._tls.refuses(scope):
                return refuse_in_the_clear
            if is_about_server(scope):
                return describe_server(scope)
        offers_ours = self._protocols.exist and self._protocols.come_first(scope)
        if offers_ours and self._protocols.place(scope):
            return self.app  # a room further inside takes it
        if self._inner is None:
            self._inner = adapt(self.app, self, placed=True)
        return partial(self._protocols.take, app=self._inner) if offers_ours else self.pass_on(scope, self._inner)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket: one of the server, unless something further out has made it of a handshake."""
        if CONVERTED in scope:
            await self.app(scope, receive, send)
        elif self.bypasses(scope):
            await self.pass_through(self.app, scope, receive, send)
        else:
            if not self._server_known:
                self._server_known = True
                attach_to_server(change=False, in_lifespan=False)
                report_unavailable(self._edge)
            guarded = prove_outermost(self, receive, send) is Proof.PROVEN
            await Bridge(scope, receive, send, guarded=guarded).run(self)
