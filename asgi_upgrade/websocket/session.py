"""One handshake and what comes of it: an ``http`` request goes in, a ``websocket`` scope runs in the application.

Until the application accepts, its messages become an ordinary HTTP response, which travels out through the middleware
around us. Its ``websocket.accept`` becomes a 101 that travels the same way; when the server has switched, ``receive``
and ``send`` belong to `WebSocketProtocol`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade.http.headers import check_response_headers
from asgi_upgrade.http.request_line import quote_path, request_line
from asgi_upgrade.switching.extension import EXTENSION
from asgi_upgrade.switching.response import end_101, report_held_back, send_101
from asgi_upgrade.system.timers import Timer, Timers
from asgi_upgrade.websocket.bridge import BRIDGE, CONVERTED, HANDSHAKE, REFUSED, ROUTE_KEYS, Bridge
from asgi_upgrade.websocket.connection import Connection
from asgi_upgrade.websocket.deflate import Deflate, DeflateAgreement
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.handshake import check_added_headers
from asgi_upgrade.websocket.observer import Outcome
from asgi_upgrade.websocket.protocol import ClientDisconnected, WebSocketProtocol
from asgi_upgrade.websocket.watch import WATCH

if TYPE_CHECKING:
    from asgi_upgrade.switching.extension import UpgradeExtension
    from asgi_upgrade.websocket.handshake import Accept
    from asgi_upgrade.websocket.settings import WebSocketSettings
    from asgi_upgrade.websocket.watch import Watch

__all__ = ["WebSocketSession"]

logger = logging.getLogger("asgi_upgrade")

# No more of a client's words than this goes into one line.
_LOGGED_LENGTH = 300

# Seconds between two questions to a `receive` that always has an answer, at most.
_LONGEST_DELAY = 1.0


def _uncancel(task: asyncio.Task[Any]) -> int:
    """Take a cancellation of ours back; return how many others there are. Before Python 3.11 nobody counts them."""
    if sys.version_info >= (3, 11):
        return task.uncancel()
    return 0


def _is_disconnect(error: BaseException) -> bool:
    """Tell whether ``error`` only says that the client has left: also a group of nothing but such."""
    inner = getattr(error, "exceptions", None)  # those of an exception group, which Python 3.10 does not know
    if isinstance(inner, tuple) and inner:
        return all(map(_is_disconnect, inner))
    return isinstance(error, (ClientDisconnected, WebSocketDisconnect))


class Approved(Protocol):
    """A handshake that has been let pass: the part of it that a session needs.

    Attributes:
        carrier: What can switch: the server's ``http.upgrade``, or the server's own WebSocket.
        accept: What has been read of the request.
        settings: Limits, times, compression.
        subprotocols: What to choose from when the application names none.
    """

    carrier: UpgradeExtension | Bridge
    accept: Accept
    settings: WebSocketSettings
    subprotocols: tuple[str, ...]


class WebSocketSession:
    """Runs an application on the WebSocket side of one request that asked for it.

    Args:
        scope: The ``http`` scope of the handshake.
        receive: Its ``receive``.
        send: Its ``send``.
        handshake: What is known of it, and how to go on.
    """

    __slots__ = (
        "_accept",
        "_after_connect",
        "_agreement",
        "_answered",
        "_carrier",
        "_deadline",
        "_disconnected",
        "_expired",
        "_handshake",
        "_http_receive",
        "_http_send",
        "_observed",
        "_opened",
        "_opened_at",
        "_prepared",
        "_protocol",
        "_receive",
        "_scope",
        "_send",
        "_settings",
        "_stopped",
        "_subprotocols",
        "_switched",
        "_turn",
        "_watcher",
        "_websocket",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        handshake: Approved,
    ) -> None:
        self._scope = scope
        self._handshake = handshake
        self._accept = handshake.accept
        self._websocket = self._websocket_scope()
        self._http_receive = receive
        self._http_send = send
        self._carrier = carrier = handshake.carrier
        self._subprotocols = handshake.subprotocols
        settings = handshake.settings
        self._settings = settings if isinstance(carrier, Bridge) else settings.for_server(carrier.get("websocket"))
        self._deadline: Timer | None = None  # runs until it is decided what becomes of the handshake
        self._expired = False
        self._switched: asyncio.Future[bool] | None = None  # from the 101 on
        self._opened = False
        self._opened_at = 0.0  # by the clock of the loop
        self._protocol: WebSocketProtocol | None = None  # from the switch on, if we carry the messages
        self._answered = False  # a response that is not a 101 has been started
        self._disconnected = False  # there will be no switch
        self._stopped = False  # because the server stops
        self._turn: asyncio.Event | None = None  # set when it is decided whether there will be one
        self._watcher: asyncio.Task[None] | None = None
        self._observed: Watch | None = scope.get(WATCH)  # who tells observers, unless a session further out does
        # The application keeps one `receive` and one `send`; what they do changes with the state of the handshake.
        # If we carry the messages, they are the protocol's, which comes here until the handshake is over.
        self._receive: Callable[[], Awaitable[Message]] = self._receive_connect
        self._after_connect: Callable[[], Awaitable[Message]] = self._receive_before_accept
        self._send: Callable[[Message], Awaitable[None]] = self._send_before_accept
        self._agreement: DeflateAgreement | None = None
        self._prepared: WebSocketProtocol | None = None
        if not isinstance(carrier, Bridge):
            self._agreement = self._agree_on_deflate()
            self._prepared = self._prepare_protocol()

    async def run(self, app: ASGIApp) -> Any:
        """Run ``app`` until the connection is closed.

        An exception of ``app`` is raised again, after a response or a close frame has been prepared for it. What it
        has returned is returned: servers report what is not ``None``.
        """
        task = self.arm()
        result: Any = None
        error: BaseException | None = None
        try:
            result = await app(self._websocket, *self.ends)  # type: ignore[func-returns-value]
        except BaseException as raised:  # noqa: BLE001 - `finish` raises it again
            error = raised
        await self.finish(task, error)
        return result

    @property
    def ends(self) -> tuple[Receive, Send]:
        """The application's ``receive`` and ``send``."""
        # What the application calls for each message should be what serves it, without a detour.
        messages = self._prepared or self
        return messages.receive, messages.send

    def arm(self) -> asyncio.Task[Any]:
        """Begin to wait for the application's answer, in the task that runs it."""
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        self._deadline = Timers.of(loop).start(loop, self._settings.open_timeout, partial(self._expire, task))
        return task

    async def finish(self, task: asyncio.Task[Any], error: BaseException | None) -> None:
        """End the connection: the application has returned, or has raised ``error``."""
        if self._observed is not None and not self._opened:
            self._observed.outcome = self._observed.outcome or self._outcome(error)
        try:
            await self._finish(task, error)
        finally:
            if self._protocol is not None and (self._observed is not None or logger.isEnabledFor(logging.INFO)):
                self._tell_end(self._protocol, error)

    def _outcome(self, error: BaseException | None) -> Outcome | None:
        """Return the end of a handshake that was not accepted; ``None`` if the status of the response will tell."""
        if self._expired:
            return Outcome.TIMED_OUT
        if self._stopped:
            return Outcome.STOPPED
        if self._answered:
            return Outcome.REFUSED
        if self._disconnected or (error is not None and _is_disconnect(error)):
            return Outcome.CLIENT_LEFT
        return Outcome.FAILED if error is None else None  # somebody around may make an answer of it

    def _tell_end(self, protocol: WebSocketProtocol, error: BaseException | None) -> None:
        code = protocol.closed_with
        if code is None:
            # The client has not answered the close frame.
            code = CloseCode.INTERNAL_ERROR if isinstance(error, Exception) else CloseCode.ABNORMAL_CLOSURE
        if self._observed is not None:
            self._observed.closed(code)
        if not logger.isEnabledFor(logging.INFO):
            return
        client = self._scope.get("client")
        logger.info(
            "%s - WebSocket %s closed with %d after %.3f seconds; "
            "messages received: %d (%d bytes), sent: %d (%d bytes)",
            f"{client[0]}:{client[1]}" if client else "unix",
            quote_path(self._scope["path"]),
            code,
            asyncio.get_running_loop().time() - self._opened_at,
            protocol.messages_received,
            protocol.bytes_received,
            protocol.messages_sent,
            protocol.bytes_sent,
        )

    async def _finish(self, task: asyncio.Task[Any], error: BaseException | None) -> None:
        self._decide()
        if not self._opened:
            self._tell_route()
        if self._watcher is not None:
            self._watcher.cancel()
        if error is not None:
            await self._finish_after(error, task)
        if self._protocol is not None:
            self._protocol.close(CloseCode.NORMAL_CLOSURE)
            # With a close code the rest is between the transport and the client, if the server waits for that.
            if self._protocol.closed_with is None or not self._lingers():
                await self._wait_closed(task)
        elif self._expired:
            await self._time_out()
        elif self._stopped:
            await self._respond(503, "The server is stopping.")
        elif self._disconnected and self._switched is None and not self._answered:
            # Nobody will read this, but middleware around may take a request without a response for a failure.
            await self._respond(400, "The client has left before the WebSocket handshake was answered.")
        elif not (self._answered or self._disconnected or self._opened):
            logger.error("%s: the application returned without accepting the WebSocket.", self._scope["path"])
            await self._respond(500, "The application did not answer the WebSocket handshake.")
        if self._opened:
            await end_101(self._http_send)
        if isinstance(error, WebSocketDisconnect) and isinstance(self._carrier, Bridge):
            # As without us: the server, or the test client, decides what to make of it. The middleware around has seen
            # a request, which has not failed.
            self._carrier.error = error

    async def _finish_after(self, error: BaseException, task: asyncio.Task[Any]) -> None:
        """Prepare the end after ``error``; raise it again if it is one of the application."""
        if isinstance(error, asyncio.CancelledError):
            if not self._expired or _uncancel(task):
                if self._protocol is not None:
                    self._protocol.shutdown()
                raise error
        # Not an error of the application: the client may leave at any time.
        elif not ((self._disconnected or self._opened) and _is_disconnect(error)):
            if self._protocol is not None and isinstance(error, Exception):
                self._protocol.close(CloseCode.INTERNAL_ERROR)
                if not self._lingers():
                    await self._protocol.wait_closed()
            raise error

    def _lingers(self) -> bool:
        """Tell whether the server lets a connection close when the application has returned."""
        return not isinstance(self._carrier, Bridge) and self._carrier.get("lingers", False)

    async def _wait_closed(self, task: asyncio.Task[Any]) -> None:
        assert self._protocol is not None
        try:
            await self._protocol.wait_closed()
        except asyncio.CancelledError:
            # The application has ended already, so there is nothing left to cancel: a server that does not want to
            # wait any longer would report this as the application's error.
            _uncancel(task)
            self._protocol.cut()

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``."""
        return self._receive()

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""
        return self._send(message)

    def _expire(self, task: asyncio.Task[Any]) -> None:
        self._expired = True
        task.cancel()

    def _decide(self) -> None:
        """Nothing is waited for any longer."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _websocket_scope(self) -> Scope:
        scope = dict(self._scope)
        del scope["method"]
        scope["type"] = "websocket"
        scope["asgi"] = {**scope["asgi"], "spec_version": "2.4"}
        scope["scheme"] = "wss" if scope.get("scheme") in ("https", "wss") else "ws"
        scope["subprotocols"] = list(self._accept.subprotocols)
        scope["extensions"] = extensions = {**scope["extensions"], "websocket.http.response": {}}
        extensions.pop(EXTENSION, None)
        extensions.pop(BRIDGE, None)
        scope.pop(HANDSHAKE, None)
        scope[CONVERTED] = self._handshake
        return scope

    def _tell_route(self) -> None:
        """Let the middleware around us see where the router has taken the handshake."""
        for key in ROUTE_KEYS.intersection(self._websocket):
            self._scope[key] = self._websocket[key]

    # receive

    async def _receive_connect(self) -> Message:
        self._receive = self._after_connect
        if self._opened and self._prepared is not None:
            self._prepared.handshake = None
        return {"type": "websocket.connect"}

    async def _receive_before_accept(self) -> Message:
        """Wait until it is decided whether there will be a connection, and go on from there."""
        if self._turn is None:
            self._turn = asyncio.Event()
            self._watcher = asyncio.create_task(self._watch())
            on_shutdown = None if isinstance(self._carrier, Bridge) else self._carrier.get("on_shutdown")
            if on_shutdown is not None:
                on_shutdown(self._stop)
        await self._turn.wait()
        return await self._receive()

    async def _receive_disconnect(self) -> Message:
        return {"type": "websocket.disconnect", "code": int(CloseCode.ABNORMAL_CLOSURE), "reason": ""}

    async def _watch(self) -> None:
        # Middleware that has read the request may give it again and again, without ever waiting: it is asked less and
        # less often then.
        delay = 0.0
        while (await self._http_receive())["type"] != "http.disconnect":
            await asyncio.sleep(delay)
            delay = min(2 * delay + 0.001, _LONGEST_DELAY)
        if not self._opened:
            self._give_up()

    # send

    async def _send_before_accept(self, message: Message) -> None:
        kind = message["type"]
        if self._disconnected:
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "")
        self._tell_route()
        if kind == "websocket.accept":
            await self._open(message)
        elif kind == "websocket.close":
            reason = message.get("reason")  # FastAPI puts the list of its validation errors there
            text = reason if reason and isinstance(reason, str) else "The application refused the WebSocket."
            if reason and not isinstance(reason, str):
                logger.info("%s: the WebSocket is refused: %s", request_line(self._scope), str(reason)[:_LOGGED_LENGTH])
            if isinstance(self._carrier, Bridge):
                self._carrier.refuse(message)
            await self._respond(REFUSED, text)
        elif kind == "websocket.http.response.start":
            if not 200 <= message["status"] <= 599:
                raise RuntimeError(f"A WebSocket cannot be refused with status {message['status']}.")
            headers = check_response_headers(message.get("headers", ()))
            self._decide()
            self._answered = True
            self._send = self._send_denial
            await self._http_send({"type": "http.response.start", "status": message["status"], "headers": headers})
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or 'websocket.http.response.start', "
                f"but got '{kind}'."
            )

    async def _send_denial(self, message: Message) -> None:
        """The body of the denial response, in as many pieces as the application likes."""
        if message["type"] != "websocket.http.response.body":
            raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body', but got '{message['type']}'.")
        more = message.get("more_body", False)
        await self._http_send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})
        if not more:
            self._give_up()
            self._send = self._send_after_denial

    async def _send_after_denial(self, message: Message) -> None:
        raise RuntimeError(f"Unexpected ASGI message '{message['type']}', after the WebSocket was refused.")

    async def _open(self, message: Message) -> None:
        """Send the 101 and wait for the switch."""
        subprotocol = message.get("subprotocol")
        if subprotocol is None:
            subprotocol = self._accept.choose_subprotocol(self._subprotocols)
        offered_only = not self._settings.allow_unoffered_subprotocols
        if offered_only and subprotocol is not None and subprotocol not in self._accept.subprotocols:
            await self._refuse_subprotocol(subprotocol)
        if isinstance(self._carrier, Bridge):
            headers = self._accept.response_headers(
                subprotocol=subprotocol, headers=message.get("headers", ()), offered_only=offered_only
            )
            self._switched = self._carrier.connect(subprotocol)
            carrier: Bridge | WebSocketProtocol = self._carrier
        else:
            assert self._prepared is not None
            extensions = None if self._agreement is None else self._agreement.header
            handshake = self._accept.response_headers(
                subprotocol=subprotocol, extensions=extensions, offered_only=offered_only
            )
            headers = handshake + check_added_headers(message.get("headers", ()))
            carrier = self._prepared
            self._switched = self._carrier["connect"](carrier, handshake)
        await send_101(self._http_send, headers)
        if not await self._switched:
            self._give_up()
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "the handshake was not completed")
        self._decide()
        self._opened = True
        if isinstance(carrier, WebSocketProtocol):
            self._protocol = carrier
            self._opened_at = asyncio.get_running_loop().time()
        if self._observed is not None and not self._observed.opened(
            carrier.count() if isinstance(carrier, Bridge) else carrier
        ):
            self._observed = None
        self._send = carrier.send
        self._after_connect = carrier.receive
        if self._receive != self._receive_connect:
            self._receive = carrier.receive
            if self._prepared is not None:
                self._prepared.handshake = None
        if self._turn is not None:
            self._turn.set()
        if self._watcher is not None:
            self._watcher.cancel()

    def _agree_on_deflate(self) -> DeflateAgreement | None:
        deflate = self._settings.deflate
        return None if deflate is None else deflate.negotiate(self._accept.extensions)

    def _prepare_protocol(self) -> WebSocketProtocol:
        settings, agreement = self._settings, self._agreement
        connection = Connection(
            max_message_size=settings.max_message_size,
            max_message_frames=settings.max_message_frames,
            deflate=None if agreement is None or settings.deflate is None else Deflate(agreement, settings.deflate),
        )
        return WebSocketProtocol(connection, settings, asyncio.get_running_loop(), handshake=self)

    # What ends a handshake otherwise

    def _give_up(self) -> None:
        """There will be no switch: ``receive`` says so."""
        self._disconnected = True
        self._receive = self._receive_disconnect
        if self._turn is not None:
            self._turn.set()

    def _stop(self) -> None:
        """The server begins to stop, and the application waits for something else than its own decision."""
        if not (self._answered or self._disconnected) and self._switched is None:
            self._stopped = True
            self._give_up()

    async def _respond(self, status: int, text: str) -> None:
        self._answered = True
        self._send = self._send_after_denial
        self._decide()
        response = PlainTextResponse(text + "\n", status)
        await response(self._scope, self._http_receive, self._http_send)
        self._give_up()

    async def _refuse_subprotocol(self, subprotocol: str) -> NoReturn:
        """Refuse the client: it would fail the connection over a subprotocol that it has not asked for."""
        offered = ", ".join(self._accept.subprotocols) or "none"
        reason = f"The application chose the subprotocol {subprotocol}, and this handshake offers: {offered}"
        reason = ascii(reason[:_LOGGED_LENGTH])[1:-1]
        logger.warning(
            "%s: refused with 400. %s. Let it choose from scope['subprotocols'], or set "
            "allow_unoffered_subprotocols=True.",
            request_line(self._scope),
            reason,
        )
        await self._respond(400, reason)
        raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "the subprotocol was not offered")

    async def _time_out(self) -> None:
        seconds = self._settings.open_timeout
        if self._switched is None:
            logger.warning("%s: no answer to the WebSocket handshake in %g seconds.", self._scope["path"], seconds)
            await self._respond(503, "The application did not answer the WebSocket handshake in time.")
        else:
            self._switched.cancel()
            report_held_back(self._scope, seconds)
