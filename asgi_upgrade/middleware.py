"""`UpgradeMiddleware`: look at the offer, pick a handler, convert or fall through."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.guard.adapters import adapt
from asgi_upgrade.guard.building import note_policy, policies_of
from asgi_upgrade.guard.gate import Taker, chain, is_handshake, open_gates
from asgi_upgrade.guard.handshake import Handshake, approved
from asgi_upgrade.guard.leaves import held
from asgi_upgrade.guard.outermost import Proof, prove_outermost
from asgi_upgrade.guard.refusals import answer_unavailable, name_of, report_unguarded
from asgi_upgrade.guard.routing import teach_routes
from asgi_upgrade.guard.templates import find_template
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.servers import attach_to_server, report_unavailable
from asgi_upgrade.servers.edge_settings import EdgeSettings, check_h2c, check_tls, check_tls_required
from asgi_upgrade.streams.handlers import Handler, ProtocolTable, run_handler
from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.switching.refusal import refuse, upgrade_fields
from asgi_upgrade.switching.response import report_no_extension
from asgi_upgrade.tls.upgrade import is_about_server
from asgi_upgrade.websocket.bridge import CONVERTED, HANDSHAKE, Bridge, get_bridge
from asgi_upgrade.websocket.deflate import PerMessageDeflate
from asgi_upgrade.websocket.handshake import Accept, Reject, is_subprotocol, negotiate, read_fields
from asgi_upgrade.websocket.observer import Observer, Outcome, check_observer
from asgi_upgrade.websocket.origin import AllowedOrigins, OriginPolicy
from asgi_upgrade.websocket.settings import SERVERS, ServersChoice, WebSocketSettings
from asgi_upgrade.websocket.stray import report_stray_handshake
from asgi_upgrade.websocket.watch import WATCH, Watch

__all__ = ["UpgradeMiddleware"]

logger = logging.getLogger("asgi_upgrade")

open_gates()

# What a server that can begin TLS tells its clients: the version that each of today knows.
_TLS = "TLS/1.2, HTTP/1.1"


class UpgradeMiddleware:
    """ASGI middleware that turns WebSocket handshakes, which arrive as HTTP requests, into ``websocket`` scopes.

    Every HTTP middleware outside it sees the handshake as a request, may refuse it, and sees the 101. A request that
    asks for nothing we support goes on to ``app`` untouched.

    Other protocols come with their handlers: of what a request offers and we speak, the client's first choice is taken.

    Args:
        app: The ASGI application.
        protocols: Other protocols than WebSocket, ``name`` or ``name/version``, and their handlers: asynchronous
            functions that take an `UpgradeStream`. Names compare without regard to case, versions exactly. A handler
            with a method ``accepts(scope)`` may decline a request by that; then the next offer is tried. Default: none.
        allowed_origins: Origins that may open a WebSocket besides the page's own, such as ``"https://example.com"``
            or ``"https://*.example.com"``; ``["*"]`` admits all; or a function ``(origin, scope) -> bool``. Default:
            none besides its own.
        subprotocols: WebSocket subprotocols to choose from, in no order, where the application names none in
            ``websocket.accept``. The client's order of preference decides. Default: none.
        allow_unoffered_subprotocols: Whether the application may accept with a subprotocol that the client did not
            offer, as uvicorn's own WebSockets let it. Default: ``False``, the client gets 400.
        lenient_subprotocols: Whether names of subprotocols may have ``/``, ``=`` and other characters that RFC 6455
            does not allow there. Default: ``False``.
        websocket_only: Path patterns in Starlette's syntax (``"/rooms/{name}"``), or a predicate on the scope. Plain
            HTTP requests for them are answered with 426 (RFC 9110 §15.5.22). Default: none.
        h2c: Whether to speak HTTP/2 with clients that ask for it by ``Upgrade: h2c`` (RFC 7540 §3.2), or the networks
            that they must be in, such as ``["10.0.0.0/8"]``; ``"unix"`` among them stands for peers on a Unix socket;
            `H2CSettings` for all the rest. Needs the package ``h2``. Default: ``False``.
        tls: What to speak TLS with on a plain connection, with clients that ask for it by ``Upgrade: TLS/1.2`` or the
            like (RFC 2817). ``OPTIONS *``, which some of them do that with, is answered here. Default: ``None``, such
            offers are ignored.
        tls_required: Whether requests in the clear are refused with 426, or a predicate on the scope that tells which
            are. Default: ``False``.
        attach: Whether to extend the server that runs the application when its lifespan starts. Default: ``True``.
        allow_unguarded: Whether to let in a WebSocket that a server delivers directly although it is not proven that
            nothing stands around. Default: ``False``, it is refused.
        websocket_middleware: Middleware that gets ``websocket`` scopes, in its place in the order: classes, functions,
            or the very objects. What is inside it gets the handshake again. Middleware whose code shows that it is
            written for WebSockets alone need not be named. Default: none.
        insecure_skip_http_middleware: Path patterns in Starlette's syntax. Handshakes for them are delivered as
            ``websocket`` scopes through the whole application, as a server does it by itself: no HTTP middleware
            guards them, only the origin policy. Default: none.
        observer: Who is told what becomes of each handshake, and of each connection at its end: for metrics. Default:
            ``None``.
        deflate: Whether to agree to permessage-deflate (RFC 7692), or how. Default: ``True``.
        max_message_size: Longest message accepted, in bytes, after inflating. Default: what the server is told by
            ``--ws-max-size`` or its like, else 16 MiB.
        max_message_frames: Most frames one message may come in. Default: 16384.
        max_queue: Messages that wait for the application before reading pauses. Default: the server's, else 64.
        max_queue_size: The same in bytes. Default: 256 KiB.
        read_buffer_size: Bytes that wait for a handler of ``protocols`` before reading pauses. Default: 64 KiB.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks. Default: 64 KiB.
        open_timeout: Seconds from the request to the switch, and for a TLS handshake. Default: 20.
        close_timeout: Seconds the client may take to answer a close frame, or to end its side after a handler of
            ``protocols`` has ended. Default: 10.
        stop_timeout: The same once the server has begun to stop, if that is shorter. Default: 1.
        answer_timeout: Seconds the application may go on answering what arrived before the end. Default: 1.
        ping_interval: Seconds between pings, or ``None`` for none. Default: the server's, else 20.
        ping_timeout: Seconds a client may stay silent after a ping, or ``None`` for ever. Default: the server's, else
            20.
        keepalive_interval: Seconds without a byte from a client of ``protocols`` after which its system is asked
            whether it is still there, or ``None``. Default: 20.
        idle_timeout: Seconds without a message, or for ``protocols`` without a byte, after which a connection is
            closed, or ``None``. Default: ``None``.
        total_timeout: Seconds after which a handler of ``protocols`` is cancelled, or ``None``. Default: ``None``.
        shutdown_timeout: Seconds that a handler of ``protocols`` may go on after the server began to stop, before it is
            cancelled. Default: 10.

    Raises:
        ValueError: An argument is out of range; the message names it.
    """

    websocket_middleware: tuple[Any, ...] = ()  # by this attribute others know what we are

    def __init__(
        self,
        app: ASGIApp,
        *,
        protocols: Mapping[str, Handler] | None = None,
        allowed_origins: AllowedOrigins = (),
        subprotocols: Sequence[str] = (),
        allow_unoffered_subprotocols: bool = WebSocketSettings.allow_unoffered_subprotocols,
        lenient_subprotocols: bool = WebSocketSettings.lenient_subprotocols,
        websocket_only: Sequence[str] | Callable[[Scope], bool] = (),
        h2c: bool | Sequence[str] | H2CSettings = False,
        tls: ssl.SSLContext | None = None,
        tls_required: bool | Callable[[Scope], bool] = False,
        attach: bool = True,
        allow_unguarded: bool = False,
        websocket_middleware: Sequence[Any] = (),
        insecure_skip_http_middleware: Sequence[str] = (),
        observer: Observer | None = None,
        deflate: bool | PerMessageDeflate = True,
        max_message_size: int | ServersChoice = SERVERS,
        max_message_frames: int = WebSocketSettings.max_message_frames,
        max_queue: int | ServersChoice = SERVERS,
        max_queue_size: int = WebSocketSettings.max_queue_size,
        read_buffer_size: int = StreamSettings.read_buffer_size,
        write_buffer_size: int = WebSocketSettings.write_buffer_size,
        open_timeout: float = WebSocketSettings.open_timeout,
        close_timeout: float = WebSocketSettings.close_timeout,
        stop_timeout: float = WebSocketSettings.stop_timeout,
        answer_timeout: float = WebSocketSettings.answer_timeout,
        ping_interval: float | ServersChoice | None = SERVERS,
        ping_timeout: float | ServersChoice | None = SERVERS,
        keepalive_interval: float | None = StreamSettings.keepalive_interval,
        idle_timeout: float | None = WebSocketSettings.idle_timeout,
        total_timeout: float | None = StreamSettings.total_timeout,
        shutdown_timeout: float = StreamSettings.shutdown_timeout,
    ) -> None:
        if not callable(app):
            raise ValueError(f"app must be an ASGI application, not {app!r}")
        self.app = app
        self._protocols = ProtocolTable({} if protocols is None else protocols)
        self._origin = OriginPolicy(allowed_origins)
        self._subprotocols = _check_subprotocols(subprotocols, lenient=lenient_subprotocols)
        self._websocket_only = _path_predicate("websocket_only", websocket_only)
        for name, value in (("attach", attach), ("allow_unguarded", allow_unguarded)):
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be a bool, not {value!r}")
        self._tls = check_tls(tls) is not None
        self._tls_required = check_tls_required(tls_required, tls)
        # Whether requests that offer nothing may be ours to answer.
        self._may_refuse = self._tls or self._websocket_only is not None
        self.websocket_middleware = _check_layers(websocket_middleware)
        self._bypasses = _path_predicate("insecure_skip_http_middleware", insecure_skip_http_middleware)
        self._observer = check_observer(observer)
        self._attach = attach
        self._allow_unguarded = allow_unguarded
        self._edge = EdgeSettings(check_h2c(h2c), tls, self._tls_required, open_timeout)
        self._inner: ASGIApp | None = None  # `app`, or an adapter in front of it, from the first handshake on
        self._server_known = False  # whether what the server offers has been looked up, and logged
        self._protocols_placed = not self._protocols  # whether it is decided who speaks them
        self._delegates = False  # a `Taker` further inside does
        self._reported = False
        teach_routes()
        note_policy(self)
        self._settings = WebSocketSettings.given(
            max_message_size=max_message_size,
            max_message_frames=max_message_frames,
            max_queue=max_queue,
            max_queue_size=max_queue_size,
            write_buffer_size=write_buffer_size,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            stop_timeout=stop_timeout,
            answer_timeout=answer_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            idle_timeout=idle_timeout,
            deflate=PerMessageDeflate() if deflate is True else deflate or None,
            allow_unoffered_subprotocols=allow_unoffered_subprotocols,
            lenient_subprotocols=lenient_subprotocols,
        )
        self._stream_settings = StreamSettings(
            read_buffer_size=read_buffer_size,
            write_buffer_size=write_buffer_size,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            stop_timeout=stop_timeout,
            keepalive_interval=keepalive_interval,
            idle_timeout=idle_timeout,
            total_timeout=total_timeout,
            shutdown_timeout=shutdown_timeout,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        """Serve one connection, or the lifespan."""
        kind = scope["type"]
        if kind == "http":
            # Nearly all requests ask for nothing, and pass without a detour.
            app = self.app
            if self._may_refuse or "extensions" in scope or _may_upgrade(scope["headers"]):
                app = self._choose(scope)
            return await app(scope, receive, send)  # what is not None, servers report
        if kind == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif kind == "lifespan":
            self._server_known = True
            self._place_protocols(scope)
            attach_to_server(change=self._attach, settings=self._edge, policy=self)
            await self.app(scope, receive, send)
        else:
            return await self.app(scope, receive, send)
        return None

    def _choose(self, scope: Scope) -> Callable[[Scope, Receive, Send], Awaitable[Any]]:
        """Return what serves a request; a handshake that we let pass is marked as one."""
        if not self._server_known:
            self._server_known = True
            report_unavailable(self._edge)
        if self._tls_required is not None and not _is_secure(scope) and self._tls_required(scope):
            return _answering(_tls_required(scope))
        if self._tls and is_about_server(scope):
            return _describe_server(scope)
        offers_ours = self._protocols and get_bridge(scope) is None and self._protocols.come_first(scope)
        if offers_ours:
            self._place_protocols(scope)
            if self._delegates:
                return self.app
        if self._inner is None:
            self._inner = adapt(self.app, self, placed=True)
        return partial(self._take, app=self._inner) if offers_ours else self._pass_on(scope, self._inner)

    def _pass_on(self, scope: Scope, app: ASGIApp) -> Callable[[Scope, Receive, Send], Awaitable[Any]]:
        """Return what serves a request: ``app``, after a look at what it may ask for."""
        if self._bypasses is not None and HANDSHAKE not in scope and self.bypasses(scope) and is_handshake(scope):
            return partial(self.convert, app)
        handshake = self.judge(scope)
        if handshake is None:
            _forget(scope)
            if self._websocket_only is not None and self._websocket_only(scope):
                return _answering(_upgrade_required(scope))
            return app
        if isinstance(handshake, Reject):
            return self.watch(_answering(handshake), scope, _outcome_of(handshake))
        if self._is_unguarded(scope):
            return self.watch(answer_unavailable, scope, Outcome.UNGUARDED)
        scope[HANDSHAKE] = handshake
        handshake.arrived()
        return app if self._observer is None and WATCH not in scope else self.watch(app, scope)

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

    def _template_of(self, scope: Scope) -> str | None:
        application = self._application(scope)
        return None if application is None else find_template(application.routes, scope)

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
        if _may_upgrade(scope["headers"]):
            report_stray_handshake(scope)
            accept = negotiate(scope, lenient_subprotocols=self._settings.lenient_subprotocols)
            if isinstance(accept, Reject):
                return accept
        return None  # no handshake, or a server that cannot switch

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
        elif self._is_unguarded(scope):
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

    def _is_unguarded(self, scope: Scope) -> bool:
        """Tell whether the handshake is a WebSocket of the server that something around may not have seen as one."""
        bridge = get_bridge(scope)
        if bridge is None or bridge.guarded or self._allow_unguarded:
            return False
        if not self._reported:
            self._reported = True
            report_unguarded(scope.get("app", self))
        return True

    async def _take(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> Any:
        """Serve a request that has come to where our protocols are spoken: speak one of them, or go on."""
        if get_bridge(scope) is not None or not self._protocols.come_first(scope):
            return await app(scope, receive, send)
        if await self._speak(scope, send):
            return None
        return await self._pass_on(scope, app)(scope, receive, send)

    def _place_protocols(self, scope: Scope) -> None:
        """Have our protocols spoken behind the last middleware of our application, if that is known."""
        if self._protocols_placed:
            return
        application = self._application(scope)
        if application is not None:
            router = application.router
            router.middleware_stack = Taker(router.middleware_stack, self._take)
            self._delegates = True
        elif held(self.app):
            logger.warning(
                "%s stands inside UpgradeMiddleware and will not see requests that offer %s.",
                name_of(self.app),
                " or ".join(self._protocols.names),
            )
        self._protocols_placed = scope["type"] != "lifespan" or application is not None

    def _application(self, scope: Scope) -> Starlette | None:
        """The Starlette application that has us among its middleware, or that we stand in front of."""
        application = scope.get("app")
        if isinstance(application, Starlette) and self in policies_of(application):
            return application
        return next((node for node in chain(self.app) if isinstance(node, Starlette)), None)

    async def _speak(self, scope: Scope, send: Send) -> bool:
        """Serve a request that offers one of our protocols. ``False`` if there is none, or WebSocket comes first."""
        selected = await self._protocols.select(scope)
        if selected is None:
            return False
        offered, handler = selected
        extension = get_extension(scope)
        if extension is None:
            report_no_extension(scope, str(offered))
            return False
        await run_handler(
            handler, scope, send, extension=extension, protocol=str(offered), settings=self._stream_settings
        )
        return True


def _is_secure(scope: Scope) -> bool:
    # Middleware for proxies may have written wss into it.
    return scope.get("scheme") in ("https", "wss")


def _may_upgrade(headers: list[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request has ``Upgrade``, or fields of a handshake that has lost it."""
    # A loop, because it runs for each request. Few names come behind this one in the order of bytes.
    for name, _ in headers:
        if name > b"sec-websocket-" and (name == b"upgrade" or name.startswith(b"sec-websocket-")):
            return True
    return False


def _forget(scope: Scope) -> None:
    """Take back what was noted of a request that is no handshake after all."""
    scope.pop(HANDSHAKE, None)
    watch: Watch | None = scope.pop(WATCH, None)
    if watch is not None:
        watch.dismiss()


def _outcome_of(reject: Reject) -> Outcome:
    # Nothing but the origin policy answers 403.
    return Outcome.REFUSED_ORIGIN if reject.status == 403 else Outcome.BAD_REQUEST


async def _reject(reject: Reject, scope: Scope, receive: Receive, send: Send) -> None:
    await refuse(scope, receive, send, status=reject.status, reason=reject.reason, headers=reject.headers)


def _answering(reject: Reject) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    return partial(_reject, reject)


def _upgrade_required(scope: Scope) -> Reject:
    return Reject(426, "This path speaks WebSocket only.", upgrade_fields(scope, "websocket"))


def _tls_required(scope: Scope) -> Reject:
    # RFC 2817 §4.2.
    return Reject(426, "This service wants TLS.", upgrade_fields(scope, _TLS))


def _describe_server(scope: Scope) -> Response:
    """Return the answer to ``OPTIONS *``, which says in the clear that there is TLS (RFC 2817 §3.2, §4.1)."""
    # Without a body: CUPS never reads one here, and takes it for its next response.
    response = Response()
    if not _is_secure(scope):
        response.raw_headers.extend(upgrade_fields(scope, _TLS))
    return response


def _check_subprotocols(subprotocols: Sequence[str], *, lenient: bool) -> tuple[str, ...]:
    if isinstance(subprotocols, str) or not all(
        isinstance(name, str) and is_subprotocol(name, lenient=lenient) for name in subprotocols
    ):
        raise ValueError(f"subprotocols must be a sequence of tokens (RFC 9110 section 5.6.2), not {subprotocols!r}")
    return tuple(subprotocols)


def _check_layers(layers: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(layers, str | bytes) or not isinstance(layers, Sequence) or not all(map(callable, layers)):
        raise ValueError(f"websocket_middleware must be a list of middleware, not {layers!r}")
    return tuple(layers)


def _as_on_the_plain_server(app: ASGIApp) -> ASGIApp:
    """Return ``app``, with nothing inside that sees a WebSocket as a handshake again."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        scope[CONVERTED] = None
        await app(scope, receive, send)

    return served


def _path_predicate(name: str, patterns: Sequence[str] | Callable[[Scope], bool]) -> Callable[[Scope], bool] | None:
    if callable(patterns):
        return patterns
    if isinstance(patterns, str) or not all(isinstance(p, str) and p.startswith("/") for p in patterns):
        raise ValueError(f"{name} must be paths that start with '/', or a predicate, not {patterns!r}")
    if not patterns:
        return None
    try:
        expressions: list[re.Pattern[str]] = [compile_path(pattern)[0] for pattern in patterns]
    except (AssertionError, ValueError) as error:
        raise ValueError(f"{name} has a pattern that cannot be understood: {error}") from None

    def matches(scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return any(expression.match(path) for expression in expressions)

    return matches
