"""The client's side of a WebSocket, on a connection that HTTPX has upgraded."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import anyio
from starlette.websockets import WebSocketDisconnect
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side, State

from asgi_upgrade.testing.libraries import installed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

__all__ = ["ClientWebSocket", "WebSocketDenied", "connect_websocket"]

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_TIMEOUT = 5.0
_MAX_SIZE = 64 * 1024 * 1024
_LOST = tuple(error for each in installed for error in (each.core.ReadError, each.core.WriteError))


class WebSocketDenied(WebSocketDisconnect):
    """The handshake was answered with an HTTP response.

    This is a `WebSocketDisconnect` with code 1006. Browsers report the same code.

    Attributes:
        response: HTTPX's response: ``status_code``, ``headers``, ``text``, ``json()``.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(1006, f"HTTP {response.status_code}")
        self.response = response

    def __str__(self) -> str:
        return f"the handshake was answered with {self.response.status_code}: {self.response.text[:200]!r}"


@asynccontextmanager
async def connect_websocket(
    client: Any,
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    timeout: float = _TIMEOUT,  # noqa: ASYNC109
    **options: Any,
) -> AsyncIterator[ClientWebSocket]:
    """Open a WebSocket with an HTTPX client, in process with `UpgradeTransport` or to a real server.

    The client's cookies, authentication and headers go with the handshake. It sends an ``Origin`` only if ``headers``
    has one. At the end of the block the WebSocket is closed, and an exception of the application is raised.

    Args:
        client: An ``AsyncClient`` of ``httpx`` or ``httpx2``.
        url: The address, or a path that is added to the client's ``base_url``. You may write ``ws`` and ``wss`` instead
            of ``http`` and ``https``.
        subprotocols: The subprotocols to offer, the first choice first. Default: none.
        headers: More header fields of the handshake. Default: none.
        timeout: Seconds for the handshake, for each message, and for the close. Default: 5.
        **options: More arguments of the client's ``stream``: ``params``, ``cookies``, ``auth``, ``extensions``.

    Yields:
        The WebSocket.

    Raises:
        WebSocketDenied: The answer is not a 101.
        TimeoutError: There was no answer in time.
        ValueError: The 101 breaks RFC 6455 section 4.1; the message says how.
    """
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    fields = {
        **(headers or {}),
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    if subprotocols:
        fields["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    async with AsyncExitStack() as stack:
        with anyio.fail_after(timeout):
            response = await stack.enter_async_context(client.stream("GET", _as_http(url), headers=fields, **options))
        if response.status_code != 101:
            with anyio.fail_after(timeout):
                await response.aread()
            raise WebSocketDenied(response)
        websocket = ClientWebSocket(response, _check(response, key, subprotocols), timeout)
        yield websocket
        with suppress(TimeoutError):  # the connection ends all the same
            await websocket.close()


def _as_http(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return {"ws": "http", "wss": "https"}.get(scheme.lower(), scheme) + separator + rest


def _check(response: Any, key: str, subprotocols: Sequence[str]) -> str | None:
    """Return the subprotocol of a 101."""
    # SHA-1 is what RFC 6455 section 4.2.2 wants; nothing is kept secret by it.
    digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
    accept = response.headers.get("sec-websocket-accept")
    if accept != base64.b64encode(digest).decode():
        raise ValueError(f"Sec-WebSocket-Accept is {accept!r}, which does not belong to the key of the request")
    chosen: str | None = response.headers.get("sec-websocket-protocol")
    if chosen is not None and chosen not in subprotocols:
        raise ValueError(f"The server has chosen the subprotocol {chosen!r}, which was not offered")
    return chosen


class ClientWebSocket:
    """The client's side of a WebSocket. `connect_websocket` makes it.

    It answers pings while it waits for a message.

    Args:
        response: The 101.
        subprotocol: The subprotocol that the server has chosen.
        timeout: Seconds for each message, and for the close.

    Attributes:
        response: The 101.
        subprotocol: The subprotocol that the server has chosen, or ``None``.
        timeout: Seconds for each message, and for the close.
        close_code: The close code that was received. 1005: the close frame had no code. 1006: the connection ended
            without a close frame. ``None`` as long as the WebSocket is open.
        close_reason: The reason that came with the close code.
    """

    def __init__(self, response: Any, subprotocol: str | None, timeout: float) -> None:
        self.response = response
        self.subprotocol = subprotocol
        self.timeout = timeout
        self.close_code: int | None = None
        self.close_reason = ""
        self._stream = response.extensions["network_stream"]
        self._protocol = Protocol(Side.CLIENT, max_size=_MAX_SIZE)
        self._messages: deque[str | bytes] = deque()
        self._parts: list[bytes] = []
        self._is_text = False

    async def send_text(self, text: str) -> None:
        """Send a text message."""
        self._check_open()
        self._protocol.send_text(text.encode())
        await self._flush()

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        self._check_open()
        self._protocol.send_binary(data)
        await self._flush()

    async def send_json(self, value: Any, mode: Literal["text", "binary"] = "text") -> None:
        """Send a message in JSON, as Starlette's ``WebSocket.receive_json`` reads it."""
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        await (self.send_text(text) if mode == "text" else self.send_bytes(text.encode()))

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketDisconnect: The WebSocket has been closed, and there is no message left.
            TimeoutError: No message has come in time.
        """
        await self._fill()
        if not self._messages:
            raise WebSocketDisconnect(self.close_code or 1006, self.close_reason)
        return self._messages.popleft()

    async def receive_text(self) -> str:
        """Return the next message. It must be text, else this raises `TypeError`. See `receive`."""
        message = await self.receive()
        if not isinstance(message, str):
            raise TypeError(f"A binary message has come: {message[:100]!r}")
        return message

    async def receive_bytes(self) -> bytes:
        """Return the next message. It must be binary, else this raises `TypeError`. See `receive`."""
        message = await self.receive()
        if isinstance(message, str):
            raise TypeError(f"A text message has come: {message[:100]!r}")
        return message

    async def receive_json(self, mode: Literal["text", "binary"] = "text") -> Any:
        """Return the value that the next message has in JSON. See `receive`."""
        return json.loads(await (self.receive_text() if mode == "text" else self.receive_bytes()))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, and wait for the close frame of the server. Messages that come before it are kept.

        Raises:
            TimeoutError: The close frame has not come in time.
        """
        if self.close_code is None and self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            await self._flush()
        with self._in_time("has not closed the WebSocket"):
            while self.close_code is None:
                await self._read()

    def _check_open(self) -> None:
        if self._protocol.state is not State.OPEN:
            raise WebSocketDisconnect(self.close_code or 1006, self.close_reason)

    async def _fill(self) -> None:
        with self._in_time("has sent no message"):
            while not self._messages and self.close_code is None:
                await self._read()

    def _in_time(self, problem: str) -> _Deadline:
        return _Deadline(self.timeout, f"The server {problem} within {self.timeout:g} s.")

    async def _read(self) -> None:
        try:
            data = await self._stream.read(65536)
        except _LOST:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
            self._end(1006)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        error = self._protocol.parser_exc
        if error is not None and not isinstance(error, EOFError):
            sent = self._protocol.close_sent  # it says what is wrong
            self._end(1002 if sent is None else sent.code, str(error))
        await self._flush()

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            close = Close.parse(bytes(frame.data))
            self._end(close.code, close.reason)
        elif frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            if frame.opcode is not Opcode.CONT:
                self._is_text = frame.opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._parts)
                self._parts = []
                try:
                    self._messages.append(message.decode() if self._is_text else message)
                except UnicodeDecodeError as error:
                    self._protocol.fail(1007)
                    self._end(1007, str(error))

    def _end(self, code: int, reason: str = "") -> None:
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason

    async def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            with self._in_time("has not read what was sent"):
                try:
                    await self._stream.write(data)
                except _LOST:
                    self._end(1006)


class _Deadline:
    """`anyio.fail_after`, with words."""

    def __init__(self, seconds: float, problem: str) -> None:
        self._scope = anyio.fail_after(seconds)
        self._problem = problem

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return self._scope.__exit__(kind, error, traceback)
        except TimeoutError:
            raise TimeoutError(self._problem) from None
