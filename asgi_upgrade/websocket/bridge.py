"""`Bridge`: presents a server's ``websocket`` scope as an ``http`` handshake, where the server does the handshake.

A `Bridge` turns the scope into an ``http`` request, so that HTTP middleware sees the handshake; `UpgradeMiddleware`
turns it back, and the server's own WebSocket carries the messages.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_upgrade.http.fields import NOT_IN_101
from asgi_upgrade.websocket.frames import CloseCode
from asgi_upgrade.websocket.handshake import Accept

__all__ = ["BRIDGE", "CONVERTED", "HANDSHAKE", "REFUSED", "ROUTE_KEYS", "Bridge", "CountedMessages", "get_bridge"]

# Key of a scope's extensions: the `Bridge` whose handshake the http scope is.
BRIDGE = "asgi_upgrade.bridge"
# Key of a websocket scope that was an http handshake before, so that it has passed the HTTP middleware: its
# `Handshake`, or `None` where nothing inside shall see it as one again.
CONVERTED = "asgi_upgrade.converted"
# Key of an http scope that is a handshake on its way: its `Handshake`, or `None` until a policy has let it pass.
HANDSHAKE = "asgi_upgrade.handshake"
# What Starlette's router adds to a scope; metrics and tracing look for it when the response starts.
ROUTE_KEYS = frozenset(("endpoint", "path_params", "route", "router"))
# The status of an application's own refusal.
REFUSED = 403

# What an HTTP middleware would make of a handshake belongs to the server here.
_HANDSHAKE_PREFIX = b"sec-websocket-"
_HANDSHAKE_FIELDS = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
# Bytes of a refusal that are held back until its end.
_DENIAL_SIZE = 64 * 1024


def get_bridge(scope: Scope) -> Bridge | None:
    """Return the `Bridge` whose handshake this ``http`` scope is, or ``None``."""
    extensions = scope.get("extensions")
    return extensions.get(BRIDGE) if extensions else None


class Bridge:
    """One WebSocket of the server, presented as an HTTP handshake until it is accepted.

    Args:
        scope: The ``websocket`` scope.
        receive: Its ``receive``.
        send: Its ``send``.
        guarded: Whether everything around has seen a handshake, or nothing is around. If not, whoever is to accept
            the handshake must refuse it. Default: ``True``.

    Attributes:
        guarded: See above.
        error: What the application has raised because the client has left, if it has; `run` raises it at its end.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, guarded: bool = True) -> None:
        self.guarded = guarded
        self.error: BaseException | None = None
        self._scope = scope
        self._server_receive = receive
        self._server_send = send
        self._can_deny = "websocket.http.response" in (scope.get("extensions") or {})
        self._request_given = False
        self._started = False
        self._denial: Denial | None = None
        self._switched: asyncio.Future[bool] | None = None
        self._subprotocol: str | None = None
        self._refusal: Message | None = None  # the application's own, before it is accepted
        self._accepted = False
        self._ended = asyncio.Event()
        self._reader: asyncio.Task[Message] | None = None
        self._counted: CountedMessages | None = None
        self._request: Scope = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Bridge:
        # Some middlewares copy the scope deeply; the connection stays the one there is.
        return self

    async def run(self, app: ASGIApp) -> None:
        """Run ``app`` on the ``http`` side.

        Raises:
            WebSocketDisconnect: The application on the other side has let it out.
            RuntimeError: The event loop is not asyncio's.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            message = "asgi-upgrade needs asyncio: it does not work with trio, nor with TestClient(backend='trio')"
            raise RuntimeError(message) from None
        if (await self._server_receive())["type"] != "websocket.connect":
            return
        # Test clients leave things out.
        defaults = {"asgi": {"version": "3.0"}, "http_version": "1.1"}
        scope = {**defaults, **self._scope, "type": "http", "method": "GET"}
        scope["headers"] = _complete(scope)
        scope.pop("subprotocols", None)
        handshake = scope.pop(CONVERTED, None)
        # It may have been an HTTP handshake further out, and is one again.
        scope[HANDSHAKE] = None if handshake is None else handshake.carried_by(self, Accept(b"", self.subprotocols))
        # Middleware for proxies may have written https into it.
        scope["scheme"] = "https" if scope.get("scheme") in ("https", "wss") else "http"
        extensions = {name: entry for name, entry in (scope.get("extensions") or {}).items() if "websocket" not in name}
        scope["extensions"] = {**extensions, BRIDGE: self}
        self._request = scope
        try:
            await app(scope, self._http_receive, self._http_send)
            if self._denial is not None:
                await self._denial.end()
            if self.error is not None:
                raise self.error
        finally:
            self._withdraw()
            self._ended.set()
            if self._reader is not None:
                self._reader.cancel()

    # What `UpgradeMiddleware` uses

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols that the client offers, in its order."""
        return tuple(self._scope.get("subprotocols") or ())

    def connect(self, subprotocol: str | None) -> asyncio.Future[bool]:
        """Announce that the WebSocket is to be accepted; the application sends a 101 afterwards."""
        self._subprotocol = subprotocol
        self._switched = asyncio.get_running_loop().create_future()
        if self._started:
            self._switched.set_result(False)
        return self._switched

    def refuse(self, message: Message) -> None:
        """Note the ``websocket.close`` with which the application refuses; the response for it is sent afterwards.

        If that response arrives here as it was, the server gets the message, with its code and its reason.
        """
        self._refusal = message

    def count(self) -> CountedMessages:
        """Count the messages of the WebSocket from now on."""
        counted = CountedMessages(self._server_receive, self._server_send)
        self._server_receive, self._server_send = counted.receive, counted.send
        self._counted = counted
        return counted

    async def receive(self) -> Message:
        """ASGI ``receive`` of the accepted WebSocket."""
        reader = self._reader
        if reader is not None:
            message = await asyncio.shield(reader)
            if self._reader is reader:
                self._reader = None
                if self._counted is not None:
                    self._counted.note_received(message)
                return message
        return await self._server_receive()

    async def send(self, message: Message) -> None:
        """ASGI ``send`` of the accepted WebSocket."""
        if not message["type"].startswith("websocket.http."):
            await self._server_send(message)
            return
        raise RuntimeError(f"Unexpected ASGI message '{message['type']}', after the WebSocket was accepted.")

    # What the HTTP middleware sees

    async def _http_receive(self) -> Message:
        if not self._request_given:
            self._request_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        if not self._accepted:
            # Only a disconnect can come before the accept. What comes after it is kept for `receive`.
            if self._reader is None:
                self._reader = asyncio.create_task(self._read())
            await asyncio.wait([self._reader])
        if self._accepted:
            await self._ended.wait()
        return {"type": "http.disconnect"}

    async def _read(self) -> Message:
        return await self._server_receive()

    async def _http_send(self, message: Message) -> None:
        if self._accepted:
            return
        if message["type"] == "http.response.start" and not self._started:
            self._started = True
            # What has seen the server's scope looks there for the route.
            for key in ROUTE_KEYS:
                if key in self._request:
                    self._scope[key] = self._request[key]
            headers = list(message.get("headers", ()))
            if message["status"] != 101:
                await self._deny(message["status"], headers)
                self._withdraw()
            elif self._switched is not None and not self._switched.done():
                await self._accept(headers)
            else:
                # A 101 that nobody announced, or that came too late.
                await self._deny(500, [(b"content-type", b"text/plain; charset=utf-8")])
                if self._denial is not None:
                    await self._denial.add(b"The connection could not be switched to another protocol.\n")
                    await self._denial.end()
        elif message["type"] == "http.response.body" and self._denial is not None:
            await self._denial.add(message.get("body", b""))
            if not message.get("more_body", False):
                await self._denial.end()

    async def _accept(self, headers: list[tuple[bytes, bytes]]) -> None:
        assert self._switched is not None
        self._accepted = True
        await self._server_send(
            {
                "type": "websocket.accept",
                "subprotocol": self._subprotocol,
                "headers": [
                    (name.lower(), value)
                    for name, value in headers
                    if name.lower() not in NOT_IN_101 and not name.lower().startswith(_HANDSHAKE_PREFIX)
                ],
            }
        )
        self._switched.set_result(True)

    async def _deny(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if self._refusal is not None and status == REFUSED:
            await self._server_send(self._refusal)
        elif self._can_deny:
            self._denial = Denial(self._server_send, status, headers)
        else:
            await self._server_send({"type": "websocket.close", "code": CloseCode.POLICY_VIOLATION})

    def _withdraw(self) -> None:
        if self._switched is not None and not self._switched.done():
            self._switched.set_result(False)


def _complete(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The fields of a handshake (RFC 6455 §4.1), by which middleware may know it: test clients leave some out."""
    headers = list(scope["headers"])
    if scope["http_version"] == "1.1":
        names = {name for name, _ in headers}
        headers += [field for field in _HANDSHAKE_FIELDS if field[0] not in names]
    return headers


class CountedMessages:
    """Counts what passes a server's ``receive`` and ``send``.

    Args:
        receive: The server's.
        send: The server's.

    Attributes:
        messages_received: Messages that the application has taken.
        bytes_received: Their bytes.
        messages_sent: Messages that the application has sent.
        bytes_sent: Their bytes.
        closed_with: The close code, ``None`` as long as there is none.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.messages_received = self.bytes_received = self.messages_sent = self.bytes_sent = 0
        self.closed_with: int | None = None
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        """ASGI ``receive``."""
        message = await self._receive()
        self.note_received(message)
        return message

    def note_received(self, message: Message) -> None:
        """Count what the server's ``receive`` has given."""
        if message["type"] == "websocket.receive":
            self.messages_received += 1
            self.bytes_received += _size(message)
        elif message["type"] == "websocket.disconnect" and self.closed_with is None:
            self.closed_with = int(message.get("code") or CloseCode.NO_STATUS)

    async def send(self, message: Message) -> None:
        """ASGI ``send``."""
        try:
            await self._send(message)
        except OSError:
            # Thus servers tell that the client has gone.
            if self.closed_with is None:
                self.closed_with = CloseCode.ABNORMAL_CLOSURE
            raise
        if message["type"] == "websocket.send":
            self.messages_sent += 1
            self.bytes_sent += _size(message)
        elif message["type"] == "websocket.close" and self.closed_with is None:
            self.closed_with = int(message.get("code") or CloseCode.NORMAL_CLOSURE)


def _size(message: Message) -> int:
    data = message.get("bytes")
    return len(data if data is not None else (message.get("text") or "").encode())


class Denial:
    """A response that refuses a WebSocket.

    It is sent in one go, up to a size: some servers end it when they next get to run, wherever its body has got to.
    """

    def __init__(self, send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._start: Message | None = {"type": "websocket.http.response.start", "status": status, "headers": headers}
        self._body = b""
        self._ended = False

    async def add(self, body: bytes) -> None:
        """Send ``body``, or keep it for a while."""
        if self._ended:
            return
        self._body += body
        if len(self._body) > _DENIAL_SIZE:
            await self._flush(more=True)

    async def end(self) -> None:
        """Send what is left, if that has not been done."""
        if not self._ended:
            self._ended = True
            await self._flush(more=False)

    async def _flush(self, *, more: bool) -> None:
        body, self._body = self._body, b""
        if self._start is not None:
            start, self._start = self._start, None
            try:
                await self._send(start)
            except RuntimeError:
                # Something around has accepted the WebSocket already.
                self._ended = True
                await self._send({"type": "websocket.close", "code": CloseCode.POLICY_VIOLATION})
                return
        await self._send({"type": "websocket.http.response.body", "body": body, "more_body": more})
