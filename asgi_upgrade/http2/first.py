"""`FirstRequest`: runs the application on the request that offered h2c, while its body still arrives as HTTP/1.1.

The switch has to wait for the body's end (RFC 7540 section 3.2). The application is called at once and reads the body
as it comes; its response waits for the switch. If it responds before it has read the body, the rest is read ahead.
Where that would take too much, the request stays with HTTP/1.1: its response goes out as if there had been no offer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from asgi_upgrade.http2.stream import Stream

__all__ = ["FirstRequest"]

# Bytes of a body that are kept for an application which has begun to respond, and might still want them.
_MOST_KEPT = 64 * 1024
# Bytes that are read and thrown away when its response is complete.
_MOST_DISCARDED = 16 * 1024 * 1024
# Seconds to wait for any of them: the client may be waiting for the response.
_PATIENCE = 1.0


class FirstRequest:
    """Runs the application on a request with a body.

    Args:
        app: The application.
        scope: The request's scope, as HTTP/2.
        receive: ``receive`` of HTTP/1.1.
        send: ``send`` of HTTP/1.1.

    Attributes:
        task: The task that runs the application.
    """

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._http_receive = receive
        self._http_send = send
        self._reading = asyncio.Lock()
        self._chunks: list[bytes] = []  # what has arrived, and the application has not taken
        self._size = 0
        self._begun = False  # the body was asked for, so that a client that waits for 100 has got it
        self._ended = False  # the body has been read whole
        self._given = False  # and was taken
        self._stalled = False  # the client has not sent any of it for a while
        self._held: Message | None = None  # the start of a response that came too early
        loop = asyncio.get_running_loop()
        self._readable: asyncio.Future[bool] = loop.create_future()  # whether it has been read whole, or never will be
        self._decided = asyncio.Event()  # who sends the response
        self._stream: Stream | None = None
        self.task: asyncio.Task[None] = loop.create_task(self._run(app))

    async def read(self) -> bool:
        """Wait until the body has been read whole; ``False`` if the request has to stay with HTTP/1.1."""
        return await self._readable

    def continue_on(self, stream: Stream) -> None:
        """The connection has been switched."""
        self._stream = stream
        self._decided.set()

    def stay(self) -> None:
        """The connection is not switched."""
        self._resolve(readable=False)
        self._decided.set()

    async def join(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """The running application, as an ASGI application for the stream."""
        await self.task

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(self.scope, self._receive, self._send)
        finally:
            if not self._decided.is_set() and not self._ended:
                self.stay()
        if self._held is not None:
            await self._decided.wait()
            await self._send_held()

    def _resolve(self, *, readable: bool) -> None:
        if not self._readable.done():
            self._readable.set_result(readable)

    # receive

    async def _receive(self) -> Message:
        while not self._given:
            if self._chunks or self._ended:
                body = b"".join(self._chunks)
                self._chunks.clear()
                self._size = 0
                self._given = self._ended
                return {"type": "http.request", "body": body, "more_body": not self._ended}
            if self._decided.is_set():
                break  # the body never comes whole
            await self._read()
        await self._decided.wait()
        if self._stream is not None:
            return await self._stream.receive()
        return await self._http_receive()

    async def _read(self) -> None:
        """Read a part of the body. One task at a time: middleware waits for the end while others read."""
        self._begun = True
        async with self._reading:
            if self._chunks or self._ended or self._decided.is_set():
                return
            await self._read_part()

    async def _read_part(self) -> None:
        message = await self._http_receive()
        if message["type"] != "http.request":
            self.stay()  # the client has gone
            return
        body = message.get("body", b"")
        if body:
            self._chunks.append(body)
            self._size += len(body)
        if not message.get("more_body", False):
            self._ended = True
            self._resolve(readable=True)

    # send

    async def _send(self, message: Message) -> None:
        if not self._decided.is_set():
            if not self._ended and not await self._hurry(message):
                return
            await self._decided.wait()
        await self._send_held()
        await self._forward(message)

    async def _send_held(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            await self._forward(held)

    async def _forward(self, message: Message) -> None:
        await (self._http_send if self._stream is None else self._stream.send)(message)

    async def _hurry(self, message: Message) -> bool:
        """Come to a decision, because the application responds. ``False`` if ``message`` was kept for later."""
        start = message["type"] == "http.response.start"
        if not self._begun and any(name == b"expect" for name, _ in self.scope["headers"]):
            self.stay()  # nobody has asked the client for the body, so it need not send one, and nothing is read ahead
        if start or message.get("more_body", False):
            await self._read_ahead(_MOST_KEPT, keep=True)
            if start and not self._ended and not self._decided.is_set():
                self._held = message
                return False
        else:
            await self._read_ahead(_MOST_DISCARDED, keep=False)
        if not self._ended:
            self.stay()
        return True

    async def _read_ahead(self, limit: int, *, keep: bool) -> None:
        size = 0
        while not (self._ended or self._stalled or self._decided.is_set()) and size < limit:
            before = self._size
            try:
                await asyncio.wait_for(self._read_more(), _PATIENCE)
            except asyncio.TimeoutError:
                self._stalled = True
            if keep:
                size = self._size
            else:
                size += self._size - before
                self._chunks.clear()

    async def _read_more(self) -> None:
        async with self._reading:  # the application may be reading at the same time
            if not (self._ended or self._decided.is_set()):
                await self._read_part()
