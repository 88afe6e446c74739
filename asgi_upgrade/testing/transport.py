"""`UpgradeTransport`: an HTTPX transport that runs an ASGI application in process and offers it ``http.upgrade``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import anyio
from starlette.types import ASGIApp, Message, Scope

from asgi_upgrade.guard.in_place import InPlace
from asgi_upgrade.http.headers import check_response_headers
from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.streams.protocol import StreamProtocol
from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.streams.stream import UpgradeStream
from asgi_upgrade.switching.owner import shut_down
from asgi_upgrade.switching.switchover import Switchover
from asgi_upgrade.testing.libraries import Library, installed, library_of
from asgi_upgrade.testing.lifespan import Lifespan
from asgi_upgrade.testing.network_stream import NetworkStream

__all__ = ["UpgradeTransport"]

# How long an application may go on after the client has closed its response, in seconds.
_END_TIMEOUT = 5.0


if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Transport(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: Any) -> Any: ...

else:
    _Transport = type("_Transport", tuple(each.httpx.AsyncBaseTransport for each in installed), {})


class UpgradeTransport(_Transport):
    """Answers the requests of an ``AsyncClient`` of ``httpx`` or ``httpx2`` with an ASGI application.

    Upgrades work: every request that offers one has the ASGI extension ``http.upgrade``, as on a server.

    After a 101, ``response.extensions["network_stream"]`` is the connection, as with HTTPX's own transport. Open such a
    response with ``client.stream(...)``, because ``client.get(...)`` closes it at once.

    Args:
        app: The ASGI application.
        raise_app_exceptions: Whether an exception of the application is raised in the client. Otherwise the client gets
            500, or the response ends. Default: ``True``.
        root_path: The scope's ``root_path``. Default: ``""``.
        client: The scope's ``client``. Default: ``("127.0.0.1", 123)``.
        lifespan: Whether to run the application's lifespan. It starts with ``async with``, and ends when the client is
            closed. Default: ``False``.

    Attributes:
        state: The ``state`` that the lifespan has filled. Each request gets a copy. Empty without a lifespan.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        raise_app_exceptions: bool = True,
        root_path: str = "",
        client: tuple[str, int] = ("127.0.0.1", 123),
        lifespan: bool = False,
    ) -> None:
        self.app = app
        self.raise_app_exceptions = raise_app_exceptions
        self.root_path = root_path
        self.client = client
        self.state: dict[str, Any] = {}
        self.stopping = False
        self._lifespan = Lifespan(app) if lifespan else None
        self._exchanges: set[_Exchange] = set()

    async def __aenter__(self) -> Any:
        if self._lifespan is not None:
            self.state = await self._lifespan.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()
        if self._lifespan is not None:
            await self._lifespan.stop()

    async def handle_async_request(self, request: Any) -> Any:
        """Run the application for one request, up to the start of its response."""
        exchange = _Exchange(self, request)
        self._exchanges.add(exchange)
        try:
            return await exchange.respond()
        except BaseException:
            await exchange.cancel()
            raise

    def shutdown(self) -> None:
        """Do what a server does when it begins to stop: tell all connections, and all handshakes that wait."""
        self.stopping = True
        for exchange in list(self._exchanges):
            exchange.shutdown()

    async def aclose(self) -> None:
        """Cancel the requests that are still running."""
        for exchange in list(self._exchanges):
            await exchange.cancel()

    def forget(self, exchange: _Exchange) -> None:
        """Called when the application has returned."""
        self._exchanges.discard(exchange)


class _Body:
    """The body of a response, as far as the libraries do not differ."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._exchange.body()

    async def aclose(self) -> None:
        await self._exchange.aclose()


@cache
def _body_of(library: Library) -> Any:
    return type("_Body", (_Body, library.httpx.AsyncByteStream), {})


class _Exchange:
    """One request and its response: the server's side of a `Switchover`."""

    def __init__(self, transport: UpgradeTransport, request: Any) -> None:
        self._transport = transport
        self._request = request
        self._library = library_of(request)
        assert isinstance(request.stream, self._library.httpx.AsyncByteStream)
        self._request_body = aiter(request.stream)
        self._request_lock = asyncio.Lock()
        self._request_read = False
        self._response: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send_body, self._receive_body = anyio.create_memory_object_stream[bytes](0)
        self._left = asyncio.Event()  # the client has closed the response, or it is complete
        self._switchover = Switchover(self, InPlace)
        self._protocol: Any = None  # the owner of the connection, from the switch on
        self._upgraded: asyncio.Transport | None = None  # the server's end of the connection
        self._stream: NetworkStream | None = None  # the client's
        self._ended = asyncio.Event()  # the application has returned
        self._task = asyncio.create_task(self._run())

    # The client's side

    async def respond(self) -> Any:
        return await self._response

    async def body(self) -> AsyncIterator[bytes]:
        if self._stream is not None:
            return
        async for data in self._receive_body:
            yield data

    async def aclose(self) -> None:
        self._left.set()
        self._receive_body.close()
        if self._stream is not None:
            await self._stream.aclose()
        with anyio.move_on_after(_END_TIMEOUT):
            await self._finish()
        await self.cancel()

    async def cancel(self) -> None:
        self._left.set()
        self._receive_body.close()
        self._task.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # asyncio would complain that nobody has looked

    async def _finish(self) -> None:
        """Wait until the application has returned."""
        await asyncio.wait([self._task])
        if self._transport.raise_app_exceptions and not self._task.cancelled():
            self._task.result()

    # The server's side

    async def _run(self) -> None:
        try:
            await self._switchover.serve(self._transport.app, self._scope())
            if not self._response.done():
                raise RuntimeError("The application returned without starting a response.")
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._end()

    def _scope(self) -> Scope:
        request, transport = self._request, self._transport
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": {"ws": "http", "wss": "https"}.get(request.url.scheme, request.url.scheme),
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": transport.root_path,
            "headers": headers,
            "client": transport.client,
            "server": (request.url.host, request.url.port),
        }
        if transport.state:
            scope["state"] = dict(transport.state)
        if has_upgrade(headers) and request.method != "CONNECT":
            self._switchover.offer(scope, None)
        return scope

    # What the switchover asks for, see `Side`

    def is_gone(self) -> bool:
        return self._left.is_set()

    def is_stopping(self) -> bool:
        return self._transport.stopping

    async def receive(self) -> Message:
        async with self._request_lock:
            if not self._request_read:
                try:
                    return {"type": "http.request", "body": await anext(self._request_body), "more_body": True}
                except StopAsyncIteration:
                    self._request_read = True
                    return {"type": "http.request", "body": b"", "more_body": False}
        # After a switch only the end of the connection is a disconnect, and that is the end of the application.
        await (self._left if self._upgraded is None else self._ended).wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._left.is_set():
            return
        if message["type"] == "http.response.start":
            if self._response.done():
                raise RuntimeError("The response has been started before.")
            self._start(message["status"], check_response_headers(message.get("headers", ())))
        else:
            if not self._response.done():
                raise RuntimeError("The response has not been started.")
            await self._send(message)

    async def _send(self, message: Message) -> None:
        body = message.get("body")
        with suppress(anyio.BrokenResourceError):  # the client has left
            if body and self._request.method != "HEAD":
                await self._send_body.send(bytes(body))
        if not message.get("more_body"):
            self._left.set()

    async def complete_request(self) -> None:
        while not self._request_read:
            await self.receive()

    async def give_away(self, protocol: Any, fields: list[tuple[bytes, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        client = StreamProtocol(StreamSettings(), loop)
        await loop.connect_accepted_socket(lambda: client, theirs)
        self._stream = NetworkStream(UpgradeStream(client, {}, ""), client, theirs, self._library.core)
        self._protocol = protocol
        self._upgraded, _ = await loop.connect_accepted_socket(lambda: protocol, ours)
        self._start(101, fields)

    def end(self) -> None:
        """Nothing to do: `_run` knows that the application has returned."""

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if not self._response.done():
            extensions: dict[str, Any] = {"http_version": b"HTTP/1.1"}
            if self._stream is not None:
                extensions["network_stream"] = self._stream
            body = _body_of(self._library)(self)
            response = self._library.httpx.Response(status, headers=headers, stream=body, extensions=extensions)
            self._response.set_result(response)

    def _fail(self, error: Exception) -> None:
        if self._response.done():
            return
        if self._transport.raise_app_exceptions:
            self._response.set_exception(error)
        else:
            self._start(500, [])

    def _end(self) -> None:
        self._transport.forget(self)
        self._ended.set()
        self._send_body.close()
        if self._upgraded is not None:
            self._upgraded.close()
        if not self._response.done():
            self._response.cancel()

    def shutdown(self) -> None:
        if self._upgraded is not None:
            shut_down(self._protocol, self._upgraded)
        else:
            self._switchover.shut_down()
