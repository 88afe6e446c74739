"""Handlers of upgraded connections: which one serves a request, and how it is run."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

import anyio
from starlette.types import Scope, Send

from asgi_upgrade.http.headers import is_token
from asgi_upgrade.http.offer import OfferedProtocol, UpgradeOffer
from asgi_upgrade.http.request_line import request_line
from asgi_upgrade.streams.protocol import StreamProtocol
from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.streams.stream import UpgradeStream
from asgi_upgrade.switching.extension import UpgradeExtension
from asgi_upgrade.switching.response import end_101, report_held_back, send_101

__all__ = ["Handler", "ProtocolTable", "check_handler", "check_protocol", "run_handler"]

logger = logging.getLogger("asgi_upgrade")

Handler = Callable[[UpgradeStream], Awaitable[object]]
"""An asynchronous function that speaks a protocol on a connection. When it returns, the connection is closed.

For `UpgradeMiddleware` it may also have a method ``accepts(scope)``, synchronous or asynchronous. If ``accepts``
returns a false value, the handler declines the request.
"""


class ProtocolTable:
    """The protocols that an application speaks besides HTTP, and who speaks them.

    Args:
        handlers: ``name`` or ``name/version`` and what handles it.

    Raises:
        ValueError: A name is no protocol, is there twice or is not for handlers, or a handler cannot be awaited; the
            message names it.
    """

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        if not isinstance(handlers, Mapping):
            raise ValueError(f"protocols must map protocols to handlers, not be {handlers!r}")
        self._handlers: dict[str, Handler] = {}
        for name, handler in handlers.items():
            try:
                check_protocol(name)
                check_handler(handler)
            except ValueError as error:
                raise ValueError(f"protocols: {name!r}: {error}") from None
            key = _key(name)
            if key in self._handlers:
                raise ValueError(f"protocols: {name!r} is there twice, names compare without regard to case")
            self._handlers[key] = handler

    def __bool__(self) -> bool:
        return bool(self._handlers)

    @property
    def names(self) -> tuple[str, ...]:
        """The protocols."""
        return tuple(self._handlers)

    def come_first(self, scope: Scope) -> bool:
        """Tell whether a request offers one of the protocols before WebSocket. Its handler may still decline."""
        offer = UpgradeOffer.from_scope(scope)
        for offered in offer.protocols if offer is not None else ():
            key = _key(str(offered))
            if key == "websocket" or key in self._handlers:
                return key != "websocket"
        return False

    async def select(self, scope: Scope) -> tuple[OfferedProtocol, Handler] | None:
        """Return the first protocol that the request offers and a handler takes.

        ``None`` if there is none, or if WebSocket comes before it: the client's order decides.
        """
        offer = UpgradeOffer.from_scope(scope)
        for offered in offer.protocols if offer is not None else ():
            key = _key(str(offered))
            if key == "websocket":
                return None
            handler = self._handlers.get(key)
            if handler is not None and await _accepts(handler, scope):
                return offered, handler
        return None


def check_protocol(name: Any) -> None:
    """Check that handlers may speak a protocol of this name, with or without a version (RFC 9110 §7.8).

    Raises:
        ValueError: It is no such name, or one whose protocol the package speaks by itself.
    """
    if not isinstance(name, str) or name.count("/") > 1 or not all(is_token(part) for part in name.split("/")):
        raise ValueError(f"protocol must be 'name' or 'name/version' (RFC 9110 section 7.8), not {name!r}")
    if _key(name) == "websocket":
        raise ValueError("protocol 'websocket' is what UpgradeMiddleware itself speaks: use a WebSocket endpoint")
    if _key(name) == "h2c":
        raise ValueError("protocol 'h2c' is HTTP/2, for which UpgradeMiddleware has the argument h2c")


def check_handler(handler: Any) -> None:
    """Check that ``handler`` can be awaited, as far as that is known before it is called: after the 101 it is too late.

    Raises:
        ValueError: It is not callable, or a plain function or generator.
    """
    if not callable(handler):
        raise ValueError(f"handler must be a coroutine function (async def), not {handler!r}")
    function = handler
    while isinstance(function, partial):
        function = function.func
    if inspect.iscoroutinefunction(function):
        return
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function).__call__
        if inspect.iscoroutinefunction(function):
            return
    # Whoever wraps a handler need not be a coroutine function, and compiled functions do not tell.
    may_return_one = hasattr(function, "__wrapped__") or getattr(function, "__name__", "") == "<lambda>"
    if (
        (inspect.isclass(function) and not hasattr(function, "__await__"))
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
        or ((inspect.isfunction(function) or inspect.ismethod(function)) and not may_return_one)
    ):
        raise ValueError(f"handler must be a coroutine function (async def), which {handler!r} is not")


def _key(protocol: str) -> str:
    # Names compare without regard to case, versions exactly (RFC 9110 §7.8 and §16.7).
    name, slash, version = protocol.partition("/")
    return name.lower() + slash + version


async def _accepts(handler: Handler, scope: Scope) -> bool:
    accepts = getattr(handler, "accepts", None)
    if accepts is None:
        return True
    answer = accepts(scope)
    return bool(await answer if inspect.isawaitable(answer) else answer)


async def run_handler(
    handler: Handler,
    scope: Scope,
    send: Send,
    *,
    extension: UpgradeExtension,
    protocol: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    settings: StreamSettings,
) -> None:
    """Answer a request with 101 and run ``handler`` on the connection; returns when that is closed.

    Errors of the handler are logged, not raised: HTTP has nothing left to do with them.

    Args:
        handler: What owns the connection.
        scope: The request.
        send: Its ``send``.
        extension: The server's ``http.upgrade``.
        protocol: The protocol to switch to, as the client offered it.
        headers: Fields of the 101 besides ``Upgrade``. ``Content-Type`` reaches the client, as Docker's needs it.
        settings: Limits and times.
    """
    headers = list(headers)
    upgrade = (b"upgrade", protocol.encode())
    # What describes a body would not leave the server otherwise.
    essential = [upgrade, *(field for field in headers if field[0] == b"content-type")]
    stream_protocol = StreamProtocol(settings, asyncio.get_running_loop())
    switched = extension["connect"](stream_protocol, essential)
    with anyio.move_on_after(settings.open_timeout) as opening:
        await send_101(send, [upgrade, (b"connection", b"Upgrade"), *headers])
        if not await switched:
            return
    if opening.cancelled_caught:
        switched.cancel()
        report_held_back(scope, settings.open_timeout)
        return
    stream = UpgradeStream(stream_protocol, scope, protocol)
    limits = _Limits(stream_protocol, settings)
    with limits.scope:
        limits.start()
        try:
            await handler(stream)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection only
            _report(error, scope, protocol, stream_protocol)
        except BaseException:
            if not limits.exceeded:
                stream_protocol.cut()
            raise
        finally:
            limits.stop()
    if limits.exceeded:
        logger.info("%s: %s, the %s connection is closed.", request_line(scope), limits.exceeded, protocol)
    await stream.aclose()
    await end_101(send)


class _Limits:
    """Cancels a handler that has run for too long, was idle for too long, or does not end when the server stops."""

    def __init__(self, protocol: StreamProtocol, settings: StreamSettings) -> None:
        self.exceeded = ""
        self._protocol = protocol
        self._settings = settings
        self.scope = anyio.CancelScope()
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        settings = self._settings
        if settings.total_timeout is not None:
            self._start("total", settings.total_timeout, self._exceed, f"open for {settings.total_timeout:g} seconds")
        if settings.idle_timeout is not None:
            self._start("idle", settings.idle_timeout, self._check_idle)
        self._protocol.on_shutdown = self._shut_down
        if self._protocol.shutdown_requested.is_set():
            self._shut_down()

    def stop(self) -> None:
        self._protocol.on_shutdown = None
        for timer in self._timers.values():
            timer.cancel()

    def _start(self, name: str, delay: float, callback: Callable[..., None], *args: Any) -> None:
        self._timers[name] = self._loop.call_later(delay, callback, *args)

    def _check_idle(self) -> None:
        timeout = self._settings.idle_timeout
        assert timeout is not None
        idle = self._protocol.idle_time()
        if idle >= timeout:
            self._exceed(f"no byte for {timeout:g} seconds")
        else:
            self._start("idle", timeout - idle, self._check_idle)

    def _shut_down(self) -> None:
        timeout = self._settings.shutdown_timeout
        reason = f"still open {timeout:g} seconds after the server began to stop"
        self._start("shutdown", timeout, self._exceed, reason)

    def _exceed(self, reason: str) -> None:
        self.exceeded = reason
        self.scope.cancel()


def _report(error: Exception, scope: Scope, protocol: str, stream_protocol: StreamProtocol) -> None:
    if _is_end(error, stream_protocol):
        logger.debug("%s: the client ended the %s connection.", request_line(scope), protocol, exc_info=error)
    else:
        logger.error("%s: the handler of %s raised an exception.", request_line(scope), protocol, exc_info=error)


def _is_end(error: BaseException, stream_protocol: StreamProtocol) -> bool:
    """Tell whether a handler was only surprised that the client has ended its input, or has gone."""
    inner = getattr(error, "exceptions", None)  # those of an exception group, which Python 3.10 does not know
    if inner is not None:
        return all(_is_end(each, stream_protocol) for each in inner)
    return stream_protocol.explains(error)
