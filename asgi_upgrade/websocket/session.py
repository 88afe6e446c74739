"""`WebSocketSession`: runs an application on a handshake; its answer becomes a response, or a 101 and the switch.

Until the application accepts, its messages become an ordinary HTTP response, which travels out through the middleware
around us. Its ``websocket.accept`` becomes a 101 that travels the same way; when the server has switched, ``receive``
and ``send`` belong to `WebSocketProtocol`.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade.http.headers import check_response_headers
from asgi_upgrade.http.request_line import request_line
from asgi_upgrade.switching.response import end_101, report_held_back, send_101
from asgi_upgrade.system.timers import Timer, Timers
from asgi_upgrade.websocket.bridge import REFUSED, Bridge
from asgi_upgrade.websocket.connection import Connection
from asgi_upgrade.websocket.deflate import Deflate, DeflateAgreement
from asgi_upgrade.websocket.endings import is_disconnect, log_end
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.handshake import check_added_headers
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.observer import Outcome
from asgi_upgrade.websocket.protocol import WebSocketProtocol
from asgi_upgrade.websocket.scope import tell_route, websocket_scope
from asgi_upgrade.websocket.watch import WATCH

if TYPE_CHECKING:
    from asgi_upgrade.switching.extension import UpgradeExtension
    from asgi_upgrade.websocket.handshake import Accept
    from asgi_upgrade.websocket.observer import Traffic
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


class Phase(IntEnum):
    """How far the application's answer to a handshake is. It goes down this list, and may skip lines."""

    WAITING = 0
    """It has not answered."""
    SWITCHING = 1
    """It has accepted, and the 101 is on its way out."""
    OPEN = 2
    """The connection is a WebSocket."""
    DENYING = 3
    """It has begun a denial response, whose body may follow."""
    DENIED = 4
    """The response is complete: its own, or one of ours."""


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
        "_agreement",
        "_carrier",
        "_connected",
        "_deadline",
        "_handshake",
        "_http_receive",
        "_http_send",
        "_lost",
        "_observed",
        "_opened_at",
        "_phase",
        "_protocol",
        "_scope",
        "_settings",
        "_switched",
        "_task",
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
        self._accept = accept = handshake.accept
        self._websocket = websocket_scope(scope, accept.subprotocols, handshake)
        self._http_receive = receive
        self._http_send = send
        self._carrier = carrier = handshake.carrier
        self._phase = Phase.WAITING
        self._lost: Outcome | None = None  # why there will be no switch, if that is known before an answer
        self._connected = False  # the application has received `websocket.connect`
        self._switched: asyncio.Future[bool] | None = None  # from the 101 on
        self._opened_at = 0.0  # by the clock of the loop
        self._task: asyncio.Task[Any] | None = None  # runs the application
        self._deadline: Timer | None = None  # runs until it is decided what becomes of the handshake
        self._turn: asyncio.Event | None = None  # set when that is decided, if the application waits for it
        self._watcher: asyncio.Task[None] | None = None  # the same
        self._observed: Watch | None = scope.get(WATCH)  # who tells observers, unless a session further out does
        self._agreement: DeflateAgreement | None = None
        self._protocol: WebSocketProtocol | None = None  # if we carry the messages; asks us until it is open
        settings = handshake.settings
        if isinstance(carrier, Bridge):
            self._settings = settings
        else:
            self._settings = settings = settings.for_server(carrier.get("websocket"))
            if settings.compression is not None:
                self._agreement = settings.compression.negotiate(accept.extensions)
            self._protocol = self._prepare_protocol()

    def _prepare_protocol(self) -> WebSocketProtocol:
        settings, agreement = self._settings, self._agreement
        compression = settings.compression
        connection = Connection(
            max_message_size=settings.max_message_size,
            max_message_frames=settings.max_message_frames,
            deflate=None if agreement is None or compression is None else Deflate(agreement, compression),
        )
        # Nobody else looks at what is counted.
        counts = self._observed is not None or logger.isEnabledFor(logging.INFO)
        return WebSocketProtocol(connection, settings, asyncio.get_running_loop(), handshake=self, counts=counts)

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
        messages = self if self._protocol is None else Messages(self._protocol)
        return messages.receive, messages.send

    def arm(self) -> asyncio.Task[Any]:
        """Begin to wait for the application's answer, in the task that runs it."""
        self._task = task = asyncio.current_task()
        assert task is not None
        # Most answer at once: time is taken of those that wait for a turn of the event loop.
        loop = asyncio.get_running_loop()
        loop.call_soon(self._start_deadline, loop.time() + self._settings.open_timeout)
        return task

    def _start_deadline(self, when: float) -> None:
        if self._lost is None and self._phase in _UNDECIDED and self._task is not None:
            loop = asyncio.get_running_loop()
            self._deadline = Timers.of(loop).start(loop, when - loop.time(), self._expire)

    def _expire(self) -> None:
        self._lost = Outcome.TIMED_OUT
        if self._task is not None:
            self._task.cancel()

    def _stop_deadline(self) -> None:
        """The application has answered, or has returned."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _wake(self) -> None:
        """It is decided whether there is a connection."""
        if self._turn is not None:
            self._turn.set()

    # What the application calls

    def receive(self) -> Awaitable[Message]:
        """ASGI ``receive``."""
        if self._phase is Phase.OPEN:
            return self._open_end.receive() if self._connected else self._receive_connect()
        if self._connected or self._lost is not None or self._phase is Phase.DENIED:
            return self._receive_before_accept()
        return self._receive_connect()

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI ``send``."""
        if self._phase is Phase.OPEN:
            return self._open_end.send(message)
        return _SENDS[self._phase](self, message)

    @property
    def _open_end(self) -> Bridge | Messages:
        """What carries the messages of an open connection."""
        if self._protocol is not None:
            return Messages(self._protocol)
        assert isinstance(self._carrier, Bridge)
        return self._carrier

    @property
    def _traffic(self) -> Traffic:
        """Who counts for an open connection."""
        if self._protocol is not None:
            return self._protocol
        assert isinstance(self._carrier, Bridge)
        return self._carrier.count()

    async def _receive_connect(self) -> Message:
        self._connected = True
        if self._phase is Phase.OPEN and self._protocol is not None:
            self._protocol.handshake_ended()
        return {"type": "websocket.connect"}

    async def _receive_before_accept(self) -> Message:
        """Wait until it is decided whether there will be a connection, and go on from there."""
        while self._lost is None and self._phase in _UNDECIDED_OR_DENYING:
            if self._turn is None:
                self._turn = asyncio.Event()
                self._watcher = asyncio.create_task(self._watch())
                on_shutdown = None if isinstance(self._carrier, Bridge) else self._carrier.get("on_shutdown")
                if on_shutdown is not None:
                    on_shutdown(self._stop)
            await self._turn.wait()
        if self._phase is Phase.OPEN:
            return await self._open_end.receive()
        return {"type": "websocket.disconnect", "code": int(CloseCode.ABNORMAL_CLOSURE), "reason": ""}

    async def _watch(self) -> None:
        # Middleware that has read the request may give it again and again, without ever waiting: it is asked less and
        # less often then.
        delay = 0.0
        while (await self._http_receive())["type"] != "http.disconnect":
            await asyncio.sleep(delay)
            delay = min(2 * delay + 0.001, _LONGEST_DELAY)
        if self._phase is not Phase.OPEN:
            self._lose(Outcome.CLIENT_LEFT)

    def _stop(self) -> None:
        """The server begins to stop, and the application waits for something else than its own decision."""
        if self._phase is Phase.WAITING and self._switched is None:
            self._lose(Outcome.STOPPED)

    def _lose(self, outcome: Outcome) -> None:
        """There will be no switch: ``receive`` says so."""
        self._lost = self._lost or outcome
        self._wake()

    async def _send_before_accept(self, message: Message) -> None:
        kind = message["type"]
        if self._lost not in (None, Outcome.TIMED_OUT):  # it may still answer our cancellation
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "")
        tell_route(self._websocket, self._scope)
        if kind == "websocket.accept":
            await self._accept_with(message)
        elif kind == "websocket.close":
            await self._close(message)
        elif kind == "websocket.http.response.start":
            if not 200 <= message["status"] <= 599:
                raise RuntimeError(f"A WebSocket cannot be refused with status {message['status']}.")
            headers = check_response_headers(message.get("headers", ()))
            self._phase = Phase.DENYING
            self._stop_deadline()
            await self._http_send({"type": "http.response.start", "status": message["status"], "headers": headers})
        else:
            raise RuntimeError(
                "Expected ASGI message 'websocket.accept', 'websocket.close' or 'websocket.http.response.start', "
                f"but got '{kind}'."
            )

    async def _send_while_switching(self, message: Message) -> None:
        if self._lost is not None:
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "")
        raise RuntimeError(f"Unexpected ASGI message '{message['type']}', before the WebSocket is open.")

    async def _send_denial(self, message: Message) -> None:
        """The body of the denial response, in as many pieces as the application likes."""
        if message["type"] != "websocket.http.response.body":
            raise RuntimeError(f"Expected ASGI message 'websocket.http.response.body', but got '{message['type']}'.")
        more = message.get("more_body", False)
        await self._http_send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})
        if not more:
            self._phase = Phase.DENIED
            self._wake()

    async def _send_after_denial(self, message: Message) -> None:
        raise RuntimeError(f"Unexpected ASGI message '{message['type']}', after the WebSocket was refused.")

    async def _close(self, message: Message) -> None:
        """The application closes instead of accepting: the client gets 403."""
        reason = message.get("reason")  # FastAPI puts the list of its validation errors there
        text = reason if reason and isinstance(reason, str) else "The application refused the WebSocket."
        if reason and not isinstance(reason, str):
            logger.info("%s: the WebSocket is refused: %s", request_line(self._scope), str(reason)[:_LOGGED_LENGTH])
        if isinstance(self._carrier, Bridge):
            self._carrier.refuse(message)
        await self._respond(REFUSED, text)

    async def _accept_with(self, message: Message) -> None:
        """Send the 101 and wait for the switch."""
        subprotocol = message.get("subprotocol")
        if subprotocol is None and self._accept.subprotocols:
            subprotocol = self._accept.choose_subprotocol(self._handshake.subprotocols)
        offered_only = not self._settings.allow_unoffered_subprotocols
        if offered_only and subprotocol is not None and subprotocol not in self._accept.subprotocols:
            await self._refuse_subprotocol(subprotocol)
        if isinstance(self._carrier, Bridge):
            headers = self._accept.response_headers(
                subprotocol=subprotocol, headers=message.get("headers", ()), offered_only=offered_only
            )
            self._switched = switched = self._carrier.connect(subprotocol)
        else:
            extensions = None if self._agreement is None else self._agreement.header
            handshake = self._accept.response_headers(
                subprotocol=subprotocol, extensions=extensions, offered_only=offered_only
            )
            added = message.get("headers", ())
            headers = handshake + check_added_headers(added) if added else handshake
            assert self._protocol is not None
            self._switched = switched = self._carrier["connect"](self._protocol, handshake)
        self._phase = Phase.SWITCHING
        try:
            await send_101(self._http_send, headers)
            has_switched = await switched
        except BaseException:
            if switched.cancelled() or not (switched.done() and switched.result()):
                self._phase = Phase.WAITING  # it may answer in another way
            raise
        if not has_switched:
            self._lose(Outcome.CLIENT_LEFT)
            raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "the handshake was not completed")
        self._opened()

    def _opened(self) -> None:
        self._phase = Phase.OPEN
        self._switched = None
        self._stop_deadline()
        self._wake()
        self._opened_at = asyncio.get_running_loop().time()
        if self._connected and self._protocol is not None:
            self._protocol.handshake_ended()
        if self._observed is not None and not self._observed.opened(self._traffic):
            self._observed = None
        if self._watcher is not None:
            self._watcher.cancel()

    # The end

    async def finish(self, task: asyncio.Task[Any], error: BaseException | None) -> None:
        """End the connection: the application has returned, or has raised ``error``."""
        if self._observed is not None and self._phase is not Phase.OPEN:
            self._observed.outcome = self._observed.outcome or self._outcome(error)
        self._task = None
        self._stop_deadline()
        try:
            await self._finish(task, error)
        finally:
            if self._phase is Phase.OPEN and self._protocol is not None:
                self._tell_end(self._protocol, error)

    def _outcome(self, error: BaseException | None) -> Outcome | None:
        """Return the end of a handshake that was not accepted; ``None`` if the status of the response will tell."""
        if self._lost in (Outcome.TIMED_OUT, Outcome.STOPPED):
            return self._lost
        if self._phase in (Phase.DENYING, Phase.DENIED):
            return Outcome.REFUSED
        if self._lost is not None or (error is not None and is_disconnect(error)):
            return Outcome.CLIENT_LEFT
        return Outcome.FAILED if error is None else None  # somebody around may make an answer of it

    def _tell_end(self, protocol: WebSocketProtocol, error: BaseException | None) -> None:
        logs = protocol.counts is not None and logger.isEnabledFor(logging.INFO)
        if self._observed is None and not logs:
            return
        code = protocol.closed_with
        if code is None:
            # The client has not answered the close frame.
            code = CloseCode.INTERNAL_ERROR if isinstance(error, Exception) else CloseCode.ABNORMAL_CLOSURE
        if self._observed is not None:
            self._observed.closed(code)
        if logs:
            log_end(self._scope, protocol, code, asyncio.get_running_loop().time() - self._opened_at)

    async def _finish(self, task: asyncio.Task[Any], error: BaseException | None) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        if self._lost is Outcome.TIMED_OUT and not isinstance(error, asyncio.CancelledError):
            _uncancel(task)  # the application has answered our cancellation otherwise
        if self._phase is Phase.OPEN:
            await self._finish_open(task, error)
        else:
            tell_route(self._websocket, self._scope)
            if error is not None:
                self._raise_unless_ours(error, task)
            await self._answer()
        if isinstance(error, WebSocketDisconnect) and isinstance(self._carrier, Bridge):
            # As without us: the server, or the test client, decides what to make of it. The middleware around has seen
            # a request, which has not failed.
            self._carrier.error = error

    async def _finish_open(self, task: asyncio.Task[Any], error: BaseException | None) -> None:
        protocol = self._protocol
        if protocol is None:
            if error is not None:
                self._raise_unless_ours(error, task)
        else:
            if error is not None:
                await self._close_after(error, task, protocol)
            protocol.close(CloseCode.NORMAL_CLOSURE)
            # With a close code the rest is between the transport and the client, if the server waits for that.
            if protocol.closed_with is None or not self._lingers():
                await self._wait_closed(task, protocol)
        await end_101(self._http_send)

    async def _close_after(self, error: BaseException, task: asyncio.Task[Any], protocol: WebSocketProtocol) -> None:
        """Prepare the end after ``error``; raise it again if it is one of the application."""
        try:
            self._raise_unless_ours(error, task)
        except asyncio.CancelledError:
            protocol.shutdown()
            raise
        except Exception:
            protocol.close(CloseCode.INTERNAL_ERROR)
            if not self._lingers():
                await Messages(protocol).wait_closed()
            raise

    def _raise_unless_ours(self, error: BaseException, task: asyncio.Task[Any]) -> None:
        """Raise ``error``, unless it is our own cancellation, or only says that the client has left."""
        if isinstance(error, asyncio.CancelledError):
            if self._lost is not Outcome.TIMED_OUT or _uncancel(task):
                raise error
        # Not an error of the application: the client may leave at any time.
        elif not (self._may_have_left and is_disconnect(error)):
            raise error

    @property
    def _may_have_left(self) -> bool:
        """Whether the application has been told that there is no connection, or no more."""
        return self._lost is not None or self._phase in (Phase.OPEN, Phase.DENIED)

    async def _answer(self) -> None:
        """Answer the handshake in place of the application, if it has not."""
        if self._phase in (Phase.DENYING, Phase.DENIED):
            return
        if self._lost is Outcome.TIMED_OUT:
            await self._time_out()
        elif self._lost is Outcome.STOPPED:
            await self._respond(503, "The server is stopping.")
        elif self._lost is not None:
            if self._switched is None:
                # Nobody will read this, but middleware around may take a request without a response for a failure.
                await self._respond(400, "The client has left before the WebSocket handshake was answered.")
        else:
            logger.error("%s: the application returned without accepting the WebSocket.", self._scope["path"])
            await self._respond(500, "The application did not answer the WebSocket handshake.")

    async def _time_out(self) -> None:
        seconds = self._settings.open_timeout
        if self._switched is None:
            logger.warning("%s: no answer to the WebSocket handshake in %g seconds.", self._scope["path"], seconds)
            await self._respond(503, "The application did not answer the WebSocket handshake in time.")
        else:
            self._switched.cancel()
            report_held_back(self._scope, seconds)

    async def _respond(self, status: int, text: str) -> None:
        self._phase = Phase.DENYING
        self._stop_deadline()
        response = PlainTextResponse(text + "\n", status)
        await response(self._scope, self._http_receive, self._http_send)
        self._phase = Phase.DENIED
        self._wake()

    async def _refuse_subprotocol(self, subprotocol: str) -> NoReturn:
        """Refuse the client: it would fail the connection over a subprotocol that it has not asked for."""
        offered = ", ".join(self._accept.subprotocols) or "none"
        reason = f"The application chose the subprotocol {subprotocol}, and this handshake offers: {offered}"
        reason = ascii(reason[:_LOGGED_LENGTH])[1:-1]
        logger.warning(
            "%s: refused with 400. %s. Let it choose from scope['subprotocols'], or set "
            "websocket=WebSocketSettings(allow_unoffered_subprotocols=True).",
            request_line(self._scope),
            reason,
        )
        await self._respond(400, reason)
        raise ClientDisconnected(CloseCode.ABNORMAL_CLOSURE, "the subprotocol was not offered")

    def _lingers(self) -> bool:
        """Tell whether the server lets a connection close when the application has returned."""
        return not isinstance(self._carrier, Bridge) and self._carrier.get("lingers", False)

    async def _wait_closed(self, task: asyncio.Task[Any], protocol: WebSocketProtocol) -> None:
        try:
            await Messages(protocol).wait_closed()
        except asyncio.CancelledError:
            # The application has ended already, so there is nothing left to cancel: a server that does not want to
            # wait any longer would report this as the application's error.
            _uncancel(task)
            protocol.cut()


_UNDECIDED = (Phase.WAITING, Phase.SWITCHING)
_UNDECIDED_OR_DENYING = (*_UNDECIDED, Phase.DENYING)

# What takes a message of the application, by phase. That of `OPEN` goes to what carries the connection.
_SENDS = (
    WebSocketSession._send_before_accept,
    WebSocketSession._send_while_switching,
    WebSocketSession._send_while_switching,
    WebSocketSession._send_denial,
    WebSocketSession._send_after_denial,
)
