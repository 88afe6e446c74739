"""`UpgradeMiddleware`: look at the offer, pick a handler, convert or fall through."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping, Sequence

from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.edge_settings import EdgeSettings, check_h2c, check_tls, check_tls_required
from asgi_upgrade.extension import UpgradeExtension, get_extension
from asgi_upgrade.guard import Guard
from asgi_upgrade.handlers import Handler, ProtocolTable, run_handler
from asgi_upgrade.headers import is_token
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.refusal import refuse, upgrade_fields
from asgi_upgrade.stream_settings import StreamSettings
from asgi_upgrade.switch import report_no_extension
from asgi_upgrade.websocket.bridge import get_bridge
from asgi_upgrade.websocket.deflate import PerMessageDeflate
from asgi_upgrade.websocket.handshake import Accept, Reject, negotiate
from asgi_upgrade.websocket.origin import OriginPolicy
from asgi_upgrade.websocket.session import WebSocketSession
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["UpgradeMiddleware"]

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
            or ``"https://*.example.com"``; ``["*"]`` admits all. Default: none besides its own.
        subprotocols: WebSocket subprotocols to choose from, in no order, where the application names none in
            ``websocket.accept``. The client's order of preference decides. Default: none.
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
        allow_unguarded: Whether to let in a WebSocket that a server delivers directly although the HTTP middleware
            around cannot be made to see its handshake. Default: ``False``, it is refused.
        match_routes: Whether Starlette's WebSocket routes also match handshakes that are still HTTP requests, so that
            rate limits, metrics and tracing find the route. Default: ``True``.
        deflate: Whether to agree to permessage-deflate (RFC 7692), or how. Default: ``True``.
        max_message_size: Longest message accepted, in bytes, after inflating. Default: 1 MiB.
        max_message_frames: Most frames one message may come in. Default: 16384.
        max_queue: Messages that wait for the application before reading pauses. Default: 64.
        max_queue_size: The same in bytes. Default: 256 KiB.
        read_buffer_size: Bytes that wait for a handler of ``protocols`` before reading pauses. Default: 64 KiB.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks. Default: 64 KiB.
        open_timeout: Seconds from the request to the switch, and for a TLS handshake. Default: 20.
        close_timeout: Seconds the client may take to answer a close frame, or to end its side after a handler of
            ``protocols`` has ended. Default: 10.
        stop_timeout: The same once the server has begun to stop, if that is shorter. Default: 1.
        answer_timeout: Seconds the application may go on answering what arrived before the end. Default: 1.
        ping_interval: Seconds between pings, or ``None``. Default: 20.
        ping_timeout: Seconds a client may stay silent after a ping, or ``None``. Default: 20.
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

    def __init__(
        self,
        app: ASGIApp,
        *,
        protocols: Mapping[str, Handler] | None = None,
        allowed_origins: Sequence[str] = (),
        subprotocols: Sequence[str] = (),
        websocket_only: Sequence[str] | Callable[[Scope], bool] = (),
        h2c: bool | Sequence[str] | H2CSettings = False,
        tls: ssl.SSLContext | None = None,
        tls_required: bool | Callable[[Scope], bool] = False,
        attach: bool = True,
        allow_unguarded: bool = False,
        match_routes: bool = True,
        deflate: bool | PerMessageDeflate = True,
        max_message_size: int = WebSocketSettings.max_message_size,
        max_message_frames: int = WebSocketSettings.max_message_frames,
        max_queue: int = WebSocketSettings.max_queue,
        max_queue_size: int = WebSocketSettings.max_queue_size,
        read_buffer_size: int = StreamSettings.read_buffer_size,
        write_buffer_size: int = WebSocketSettings.write_buffer_size,
        open_timeout: float = WebSocketSettings.open_timeout,
        close_timeout: float = WebSocketSettings.close_timeout,
        stop_timeout: float = WebSocketSettings.stop_timeout,
        answer_timeout: float = WebSocketSettings.answer_timeout,
        ping_interval: float | None = WebSocketSettings.ping_interval,
        ping_timeout: float | None = WebSocketSettings.ping_timeout,
        keepalive_interval: float | None = StreamSettings.keepalive_interval,
        idle_timeout: float | None = WebSocketSettings.idle_timeout,
        total_timeout: float | None = StreamSettings.total_timeout,
        shutdown_timeout: float = StreamSettings.shutdown_timeout,
    ) -> None:
        self.app = app
        self._protocols = ProtocolTable({} if protocols is None else protocols)
        self._origin = OriginPolicy(allowed_origins)
        self._subprotocols = _check_subprotocols(subprotocols)
        self._websocket_only = _path_predicate(websocket_only)
        for name, value in (("attach", attach), ("allow_unguarded", allow_unguarded), ("match_routes", match_routes)):
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be a bool, not {value!r}")
        self._tls = check_tls(tls) is not None
        self._tls_required = check_tls_required(tls_required, tls)
        # Whether requests that offer nothing may be ours to answer.
        self._may_refuse = self._tls or self._websocket_only is not None
        self._guard = Guard(
            self,
            self._serve,
            attach=attach,
            allow_unguarded=allow_unguarded,
            match_routes=match_routes,
            edge=EdgeSettings(check_h2c(h2c), tls, self._tls_required, open_timeout),
        )
        self._settings = WebSocketSettings(
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the lifespan."""
        guard = self._guard
        if guard.may_move and not guard.is_placed():
            guard.place(scope)
        kind = scope["type"]
        if kind == "http":
            # Nearly all requests ask for nothing, and pass without a detour.
            if guard.delegates or not (self._may_refuse or "extensions" in scope or _names_upgrade(scope["headers"])):
                await self.app(scope, receive, send)
            else:
                await self._serve(scope, receive, send, self.app)
        elif kind == "websocket":
            await guard.run_websocket(scope, receive, send, self.app)
        elif kind == "lifespan":
            await guard.run_lifespan(scope, receive, send, self.app)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> None:
        """Serve a request with ``app``, which gets a ``websocket`` scope if the request is a handshake we accept."""
        if self._tls_required is not None and scope.get("scheme") != "https" and self._tls_required(scope):
            await _reject(_tls_required(scope), scope, receive, send)
            return
        if self._tls and _is_about_server(scope):
            await _describe_server(scope)(scope, receive, send)
            return
        extension = get_extension(scope)
        bridge = get_bridge(scope) if extension is None else None
        if bridge is None and self._protocols and await self._speak(scope, send, extension):
            return
        handshake: Accept | Reject | None = None
        if bridge is not None:
            handshake = Accept(b"", bridge.subprotocols)  # the server has read the rest
        elif extension is not None or _names_upgrade(scope["headers"]):
            handshake = negotiate(scope)
            if extension is None and isinstance(handshake, Accept):
                handshake = None  # a server that cannot switch
        if handshake is not None:
            if isinstance(handshake, Accept):
                handshake = self._origin.check(scope) or handshake
            if isinstance(handshake, Reject):
                await _reject(handshake, scope, receive, send)
                return
            carrier = extension or bridge
            assert carrier is not None
            self._guard.guard_routes()
            session = WebSocketSession(
                scope,
                receive,
                send,
                carrier=carrier,
                accept=handshake,
                subprotocols=self._subprotocols,
                settings=self._settings,
            )
            await session.run(app)
        elif self._websocket_only is not None and self._websocket_only(scope):
            await _reject(_upgrade_required(scope), scope, receive, send)
        else:
            await app(scope, receive, send)

    async def _speak(self, scope: Scope, send: Send, extension: UpgradeExtension | None) -> bool:
        """Serve a request that offers one of our protocols. ``False`` if there is none, or WebSocket comes first."""
        selected = await self._protocols.select(scope)
        if selected is None:
            return False
        offered, handler = selected
        if extension is None:
            report_no_extension(scope, str(offered))
            return False
        await run_handler(
            handler, scope, send, extension=extension, protocol=str(offered), settings=self._stream_settings
        )
        return True


def _is_about_server(scope: Scope) -> bool:
    # RFC 9110 §9.3.7: OPTIONS * asks about the server, not about a resource.
    return scope["method"] == "OPTIONS" and bool(scope["path"] == scope.get("root_path", "") + "*")


def _names_upgrade(headers: list[tuple[bytes, bytes]]) -> bool:
    # A loop, because it runs for each request.
    for name, _ in headers:  # noqa: SIM110
        if name == b"upgrade":
            return True
    return False


async def _reject(reject: Reject, scope: Scope, receive: Receive, send: Send) -> None:
    await refuse(scope, receive, send, status=reject.status, reason=reject.reason, headers=reject.headers)


def _upgrade_required(scope: Scope) -> Reject:
    return Reject(426, "This path speaks WebSocket only.", upgrade_fields(scope, "websocket"))


def _tls_required(scope: Scope) -> Reject:
    # RFC 2817 §4.2.
    return Reject(426, "This service wants TLS.", upgrade_fields(scope, _TLS))


def _describe_server(scope: Scope) -> Response:
    """Return the answer to ``OPTIONS *``, which says in the clear that there is TLS (RFC 2817 §3.2, §4.1)."""
    # Without a body: CUPS never reads one here, and takes it for its next response.
    response = Response()
    if scope.get("scheme") != "https":
        response.raw_headers.extend(upgrade_fields(scope, _TLS))
    return response


def _check_subprotocols(subprotocols: Sequence[str]) -> tuple[str, ...]:
    if isinstance(subprotocols, str) or not all(isinstance(name, str) and is_token(name) for name in subprotocols):
        raise ValueError(f"subprotocols must be a sequence of tokens (RFC 9110 section 5.6.2), not {subprotocols!r}")
    return tuple(subprotocols)


def _path_predicate(patterns: Sequence[str] | Callable[[Scope], bool]) -> Callable[[Scope], bool] | None:
    if callable(patterns):
        return patterns
    if isinstance(patterns, str) or not all(isinstance(p, str) and p.startswith("/") for p in patterns):
        raise ValueError(f"websocket_only must be paths that start with '/', or a predicate, not {patterns!r}")
    if not patterns:
        return None
    try:
        expressions: list[re.Pattern[str]] = [compile_path(pattern)[0] for pattern in patterns]
    except (AssertionError, ValueError) as error:
        raise ValueError(f"websocket_only has a pattern that cannot be understood: {error}") from None

    def matches(scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return any(expression.match(path) for expression in expressions)

    return matches
