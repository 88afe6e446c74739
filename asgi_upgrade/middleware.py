"""`UpgradeMiddleware`: look at the offer, pick a handler, convert or fall through."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence

from starlette.responses import PlainTextResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.extension import get_extension
from asgi_upgrade.headers import is_token
from asgi_upgrade.servers import attach_to_server
from asgi_upgrade.websocket.deflate import PerMessageDeflate
from asgi_upgrade.websocket.handshake import Reject, negotiate
from asgi_upgrade.websocket.origin import OriginPolicy
from asgi_upgrade.websocket.session import WebSocketSession
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["UpgradeMiddleware"]

logger = logging.getLogger("asgi_upgrade")


class UpgradeMiddleware:
    """ASGI middleware that turns WebSocket handshakes, which arrive as HTTP requests, into ``websocket`` scopes.

    Every HTTP middleware outside it sees the handshake as a request, may refuse it, and sees the 101. A request that
    asks for nothing we support goes on to ``app`` untouched.

    Args:
        app: The ASGI application.
        allowed_origins: Origins that may open a WebSocket besides the page's own, such as ``"https://example.com"``
            or ``"https://*.example.com"``; ``["*"]`` admits all. Default: none besides its own.
        subprotocols: WebSocket subprotocols to choose from, in no order, where the application names none in
            ``websocket.accept``. The client's order of preference decides. Default: none.
        websocket_only: Path patterns in Starlette's syntax (``"/rooms/{name}"``), or a predicate on the scope. Plain
            HTTP requests for them are answered with 426 (RFC 9110 §15.5.22). Default: none.
        attach: Whether to extend the server that runs the application when its lifespan starts. Default: ``True``.
        deflate: Whether to agree to permessage-deflate (RFC 7692), or how. Default: ``True``.
        max_message_size: Longest message accepted, in bytes, after inflating. Default: 1 MiB.
        max_message_frames: Most frames one message may come in. Default: 16384.
        max_queue: Messages that wait for the application before reading pauses. Default: 64.
        max_queue_size: The same in bytes. Default: 256 KiB.
        write_buffer_size: Bytes that wait for a slow client before ``send`` blocks. Default: 64 KiB.
        open_timeout: Seconds from the request to the switch. Default: 20.
        close_timeout: Seconds the client may take to answer a close frame. Default: 10.
        answer_timeout: Seconds the application may go on answering what arrived before the end. Default: 1.
        ping_interval: Seconds between pings, or ``None``. Default: 20.
        ping_timeout: Seconds a pong may take, or ``None``. Default: 20.
        idle_timeout: Seconds without a message after which a connection is closed, or ``None``. Default: ``None``.

    Raises:
        ValueError: An argument is out of range; the message names it.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed_origins: Sequence[str] = (),
        subprotocols: Sequence[str] = (),
        websocket_only: Sequence[str] | Callable[[Scope], bool] = (),
        attach: bool = True,
        deflate: bool | PerMessageDeflate = True,
        max_message_size: int = WebSocketSettings.max_message_size,
        max_message_frames: int = WebSocketSettings.max_message_frames,
        max_queue: int = WebSocketSettings.max_queue,
        max_queue_size: int = WebSocketSettings.max_queue_size,
        write_buffer_size: int = WebSocketSettings.write_buffer_size,
        open_timeout: float = WebSocketSettings.open_timeout,
        close_timeout: float = WebSocketSettings.close_timeout,
        answer_timeout: float = WebSocketSettings.answer_timeout,
        ping_interval: float | None = WebSocketSettings.ping_interval,
        ping_timeout: float | None = WebSocketSettings.ping_timeout,
        idle_timeout: float | None = WebSocketSettings.idle_timeout,
    ) -> None:
        self.app = app
        self._origin = OriginPolicy(allowed_origins)
        self._subprotocols = _check_subprotocols(subprotocols)
        self._websocket_only = _path_predicate(websocket_only)
        if not isinstance(attach, bool):
            raise ValueError(f"attach must be a bool, not {attach!r}")
        self._attach = attach
        self._attached = False
        self._settings = WebSocketSettings(
            max_message_size=max_message_size,
            max_message_frames=max_message_frames,
            max_queue=max_queue,
            max_queue_size=max_queue_size,
            write_buffer_size=write_buffer_size,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            answer_timeout=answer_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            idle_timeout=idle_timeout,
            deflate=PerMessageDeflate() if deflate is True else deflate or None,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            extension = get_extension(scope)
            if extension is not None:
                handshake = negotiate(scope)
                if handshake is not None:
                    reject = handshake if isinstance(handshake, Reject) else self._origin.check(scope)
                    if reject is not None:
                        await _response(reject)(scope, receive, send)
                        return
                    assert not isinstance(handshake, Reject)
                    session = WebSocketSession(
                        scope,
                        receive,
                        send,
                        extension=extension,
                        accept=handshake,
                        subprotocols=self._subprotocols,
                        settings=self._settings,
                    )
                    await session.run(self.app)
                    return
            if self._websocket_only is not None and self._websocket_only(scope):
                await _response(_upgrade_required(scope))(scope, receive, send)
                return
        elif kind == "lifespan":
            self._attached = attach_to_server(change=self._attach)
        elif kind == "websocket" and not self._attached:
            self._attached = True
            logger.warning(
                "%s arrived as a WebSocket, not as an HTTP request: the server does not offer http.upgrade, so HTTP "
                "middleware did not see it and no origin was checked. Run the application under uvicorn with its "
                "lifespan on, or with http='asgi_upgrade.servers.uvicorn:AutoProtocol'.",
                scope["path"],
            )
        await self.app(scope, receive, send)


def _response(reject: Reject) -> PlainTextResponse:
    response = PlainTextResponse(reject.body, reject.status)
    response.raw_headers.extend(reject.headers)
    return response


def _upgrade_required(scope: Scope) -> Reject:
    # The two fields belong to HTTP/1.1; HTTP/2 and later forbid them (RFC 9113 §8.2.2).
    http1 = scope["http_version"] in ("1.0", "1.1")
    headers = ((b"upgrade", b"websocket"), (b"connection", b"Upgrade")) if http1 else ()
    return Reject(426, "This path speaks WebSocket only.", headers)


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
