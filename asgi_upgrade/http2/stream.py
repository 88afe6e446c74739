"""One request on a stream, and its response: the application's ``receive`` and ``send``, and how both end."""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Any

import h2.errors
from starlette.types import ASGIApp, Message, Scope

from asgi_upgrade.http.fields import CONNECTION_SPECIFIC
from asgi_upgrade.http.headers import check_response_headers
from asgi_upgrade.http2.body import RequestBody
from asgi_upgrade.http2.owner import Owner
from asgi_upgrade.system.logs import printable

__all__ = ["Phase", "Stream"]

ErrorCodes = h2.errors.ErrorCodes

# What a stream may send without waiting before other tasks get their turn: bytes, and what a message costs besides.
_SHARE = 64 * 1024
_MESSAGE_COST = 1024
_ERROR_HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"21")]


class Phase(str, Enum):
    """The phase of a response, named by the message that may come next: another is an error of the application.

    It goes down this list, and may skip lines.
    """

    START = "http.response.start"
    """Nothing has been sent."""
    BODY = "http.response.body"
    """The head has."""
    TRAILERS = "http.response.trailers"
    """The body has been given to us, and trailers follow."""
    COMPLETE = ""
    """All of it has been given to us, though some may wait yet; or there will be no more."""


class Stream:
    """Serves one request, as uvicorn does for HTTP/1.1.

    Args:
        connection: What it belongs to.
        stream_id: Its number.
        scope: The request.

    Attributes:
        body: The request's body.
        phase: How far the response is.
        task: The task that runs the application, if the connection has started it.
        outgoing: What waits to be sent.
        ending: Whether the stream ends behind that.
        queued: Whether the connection will come back to it.
        gone: Nobody takes anything any more: the client has reset the stream, or has gone.
        progressed: When the client has last taken a part of what waits, by the loop's clock.
    """

    __slots__ = (
        "_continue",
        "_length",
        "_no_content",
        "_sender",
        "_spent",
        "_trailers",
        "body",
        "connection",
        "ending",
        "gone",
        "id",
        "outgoing",
        "phase",
        "progressed",
        "queued",
        "scope",
        "task",
    )

    short_data = 64
    """A DATA frame of fewer bytes costs more than it brings, so it draws on the connection's budget."""

    progressed: float
    _continue: bool  # the client waits for 100 before it sends the body
    _no_content: bool  # a response to HEAD, 204 or 304

    def __init__(self, connection: Owner, stream_id: int, scope: Scope) -> None:
        self.connection = connection
        self.id = stream_id
        self.scope = scope
        self.task: asyncio.Task[None] | None = None
        self.outgoing: deque[memoryview] = deque()
        self.ending = False
        self.queued = False
        self.gone = False
        self.body = RequestBody()
        self.phase = Phase.START
        self._length: int | None = None  # what is missing of the declared length
        self._trailers: list[tuple[bytes, bytes]] | None = None  # a list if the response ends with some
        self._sender: asyncio.Future[None] | None = None
        self._spent = 0  # of the share

    # What the connection tells

    def start(self, app: ASGIApp) -> None:
        """Run the application in a task."""
        self._continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self.scope["headers"]
        )
        self.task = task = self.connection.loop.create_task(self.run(app))
        tasks = self.connection.server.tasks
        tasks.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self.connection.server.tasks.discard(task)
        if task.cancelled():  # perhaps before it had begun, so that `run` could not make an end
            if not self.gone:
                self._reset(ErrorCodes.INTERNAL_ERROR)
            self.finish()

    def feed(self, data: bytes) -> None:
        """A part of the body."""
        if self.phase is Phase.COMPLETE or self.gone:
            self.connection.acknowledge(self, len(data))
        else:
            self.body.feed(data)

    def feed_eof(self) -> None:
        """The body has ended."""
        self.body.feed_eof()

    def end_request(self, *, given: bool) -> None:
        """The request came whole, before the stream; ``given``: and the application has received it."""
        self.body.ended = True
        self.body.given = given

    def sent(self, size: int, *, last: bool) -> None:  # noqa: ARG002
        """``size`` bytes of `outgoing` are on their way; ``last`` tells that the stream has ended with them."""
        self.progressed = self.connection.loop.time()
        if last:
            self.ending = False
        if not (self.outgoing or self.ending) and self._sender is not None and not self._sender.done():
            self._sender.set_result(None)

    def disconnect(self) -> None:
        """The client has reset the stream, or has gone."""
        self.gone = True
        self.outgoing.clear()
        if self._sender is not None and not self._sender.done():
            self._sender.set_result(None)
        self.body.wake()

    def shutdown(self) -> None:
        """The server begins to stop: nothing to do, a response is finished."""

    # What the application does

    async def run(self, app: ASGIApp) -> None:
        """Run the application to its end, and make an end of the stream."""
        logger = self.connection.server.logger
        try:
            result: Any = await app(self.scope, self.receive, self.send)  # type: ignore[func-returns-value]
            problem = None if result is None else f"ASGI callable should return None, but returned '{result}'."
            if problem is None and not self.gone and self.phase is not Phase.COMPLETE:
                what = "starting" if self.phase is Phase.START else "completing"
                problem = f"ASGI callable returned without {what} response."
            if problem is not None:
                logger.error("%s", printable(problem))
                await self._fail()
            await self._end()
        except asyncio.CancelledError:
            self._reset(ErrorCodes.INTERNAL_ERROR)
            raise
        except BaseException as error:
            logger.error("Exception in ASGI application", exc_info=error)
            await self._fail()
            await self._end()
            if not isinstance(error, Exception):
                raise
        finally:
            self.finish()

    def finish(self) -> None:
        """The application has returned."""
        unread = len(self.body.take())
        if unread:
            self.connection.acknowledge(self, unread)
        if not self.body.ended and not self.gone:
            # RFC 9113 section 8.1: the response is whole, the rest of the request is not needed.
            self._reset(ErrorCodes.NO_ERROR)
        self.connection.forget(self)

    async def receive(self) -> Message:
        """ASGI ``receive``."""
        if self._continue and self.phase is Phase.START and not self.gone:
            self._continue = False
            self.connection.send_headers(self, [(b":status", b"100")])
        while not self.gone and self.phase is not Phase.COMPLETE:
            if self.body.readable():
                message = self.body.message()
                if message["body"]:
                    self.connection.acknowledge(self, len(message["body"]))
                return message
            await self.body.wait()
        await asyncio.sleep(0)  # somebody may ask for ever
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI ``send``.

        Raises:
            RuntimeError: The message does not fit the state, or the response's length is not the declared one.
            ValueError: A field is malformed.
        """
        self._spent += _MESSAGE_COST + len(message.get("body", b""))
        if self._spent >= _SHARE or self.gone:
            self._spent = 0
            await asyncio.sleep(0)
        if self.gone:
            return
        kind, phase = message["type"], self.phase
        if phase is Phase.COMPLETE:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        if kind != phase:
            raise RuntimeError(f"Expected ASGI message '{phase.value}', but got '{kind}'.")
        if phase is Phase.BODY:
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif phase is Phase.START:
            self._send_start(message)
        else:
            await self._send_trailers(message)

    def _send_start(self, message: Message) -> None:
        status = message["status"]
        if not 200 <= status <= 999:
            # RFC 9113 section 8.6: there is no 101.
            raise RuntimeError(f"A response cannot have status {status}.")
        fields = check_response_headers(message.get("headers", ()))
        headers = [(b":status", b"%d" % status), *self.connection.server.default_headers()]
        for field in fields:
            name = field[0]
            if name not in CONNECTION_SPECIFIC:
                headers.append(field)
                if name == b"content-length":
                    self._length = int(field[1])
        self.phase = Phase.BODY
        self._no_content = self.scope["method"] == "HEAD" or status in (204, 304)
        if self._no_content:
            self._length = None
        if message.get("trailers", False) and not self._no_content:
            self._trailers = []
        self.connection.send_headers(self, headers)
        self.connection.server.on_response(self.scope, status)

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._length is not None:
            self._length -= len(body)
            if self._length < 0:
                raise RuntimeError("Response content longer than Content-Length")
            if self._length and not more:
                raise RuntimeError("Response content shorter than Content-Length")
        if self._no_content:
            body = b""
        await self._drain()  # another task sends, or was cancelled doing that
        if self.gone:
            return
        if body:
            self.progressed = self.connection.loop.time()
            self.outgoing.append(memoryview(body))
        if not more:
            if self._trailers is None:
                self._complete()
                self.ending = True
            else:
                self.phase = Phase.TRAILERS
        if body or self.ending:
            self.connection.send_soon(self)
            await self._drain()

    async def _send_trailers(self, message: Message) -> None:
        assert self._trailers is not None
        fields = check_response_headers(message.get("headers", ()))
        self._trailers += [field for field in fields if field[0] not in CONNECTION_SPECIFIC]
        if message.get("more_trailers", False):
            return
        await self._drain()
        if self.gone:
            return
        self._complete()
        if self._trailers:
            self.connection.send_headers(self, self._trailers, end_stream=True)
        else:
            self.ending = True
            self.connection.send_soon(self)

    async def _drain(self) -> None:
        """Wait until everything is on its way, or the client has gone."""
        while (self.outgoing or self.ending) and not self.gone:
            if self._sender is None or self._sender.done():
                self._sender = self.connection.loop.create_future()
            await asyncio.shield(self._sender)  # others may wait for it too

    async def _end(self) -> None:
        """Wait for what the application has not waited for."""
        await self._drain()

    async def _fail(self) -> None:
        """Answer 500, or end the stream in a way that shows that the response is not whole."""
        if self.phase is not Phase.START:
            self._reset(ErrorCodes.INTERNAL_ERROR)
        else:
            await self.send({"type": "http.response.start", "status": 500, "headers": _ERROR_HEADERS})
            await self.send({"type": "http.response.body", "body": b"Internal Server Error"})

    def _reset(self, code: int) -> None:
        self.connection.reset(self, code)
        self.disconnect()

    def _complete(self) -> None:
        self.phase = Phase.COMPLETE
        self.body.wake()
