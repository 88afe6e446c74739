"""What a server gives an application for one call, made by hand: a scope, a `receive`, a `send`."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HANDSHAKE = [
    (b"host", b"example.com"),
    (b"connection", b"upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]
REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
CONNECT: Message = {"type": "websocket.connect"}
TIMEOUT = 60.0  # on a machine that does ten other things


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run `test()`; nothing in it waits for long."""

    async def limited() -> None:
        await asyncio.wait_for(test(), TIMEOUT)

    asyncio.run(limited())


def http_scope(path: Any = "/", **changes: Any) -> Scope:
    """Of a request, a handshake unless `headers` are given."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(HANDSHAKE),
        **changes,
    }


def websocket_scope(path: Any = "/", **changes: Any) -> Scope:
    """Of a WebSocket that a server delivers, with the extension for denial responses."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"example.com")],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        **changes,
    }


# What a server's module has: a call of an application, and an object that keeps one.
SERVER = """
async def serve(app, scope, receive, send):
    await app(scope, receive, send)

async def start(cycle, target):
    await target()

class Cycle:
    def __init__(self, **attributes):
        vars(self).update(attributes)

    async def receive(self):
        pass

    async def send(self, message):
        pass

class Slim:
    __slots__ = ()

def make_send(app):
    async def send(message):
        app
    return send

def make_empty():
    async def send(message):
        later
    if 0:
        later = 1
    return send
"""


def server_module(name: str) -> SimpleNamespace:
    """What stands for a module of a server, which is known by its name."""
    namespace: dict[str, Any] = {"__name__": name}
    exec(SERVER, namespace)
    return SimpleNamespace(**namespace)


class Call:
    """Gives what a server would give, and keeps what is sent.

    Args:
        received: What `receive` gives, in this order; after the last it waits.
    """

    def __init__(self, *received: Message) -> None:
        self.sent: list[Message] = []
        self._received: asyncio.Queue[Message] = asyncio.Queue()
        for message in received:
            self._received.put_nowait(message)

    def feed(self, message: Message) -> None:
        self._received.put_nowait(message)

    async def receive(self) -> Message:
        return await self._received.get()

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, app: ASGIApp, scope: Scope) -> Any:
        return await app(scope, self.receive, self.send)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]

    @property
    def status(self) -> int | None:
        """Of the response, or of the denial response."""
        starts = (message for message in self.sent if message["type"].endswith("http.response.start"))
        return next((message["status"] for message in starts), None)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent if message["type"].endswith(".body"))


class Extension(dict[str, Any]):
    """The server's `http.upgrade`: keeps what is announced, and what it says of that is for the test to decide."""

    def __init__(self, **entries: Any) -> None:
        super().__init__(version="1.2", connect=self._connect, **entries)
        self.protocol: Any = None
        self.essential: list[tuple[bytes, bytes]] = []
        self.announced = asyncio.Event()
        self.switched: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def _connect(self, protocol: Any, headers: list[tuple[bytes, bytes]]) -> asyncio.Future[bool]:
        self.protocol, self.essential = protocol, headers
        self.announced.set()
        return self.switched


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request."""
    assert scope["type"] == "http"
    assert callable(receive)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-page", b"yes")]})
    await send({"type": "http.response.body", "body": b"a page"})


class Seen:
    """An application that keeps the scopes it is called with; accepts WebSockets and closes them, answers requests."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1000})
        elif scope["type"] == "http":
            await page(scope, receive, send)
        return "returned"

    @property
    def kinds(self) -> list[str]:
        return [scope["type"] for scope in self.scopes]
