"""A `WebSocketProtocol` step by step: a transport that leads nowhere, and a loop whose clock a test moves.

Nothing here waits for the system, so no test depends on how long something takes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from asgi_upgrade.http.headers import parse_extensions
from asgi_upgrade.websocket.connection import Connection
from asgi_upgrade.websocket.deflate import Deflate, PerMessageDeflate
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import WebSocketProtocol
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.waiting import turns
from tests.unit.wire import BINARY, RSV1, Frame, frame, read_frames

if TYPE_CHECKING:
    from starlette.types import Message

T = TypeVar("T")
CLOSING = {"type": "websocket.close", "code": 1000}


class StandingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop. Its clock stands still.

    Attributes:
        now: The time in seconds, see `advance`.
        futures: Those of its futures that still exist.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.futures: WeakSet[asyncio.Future[Any]] = WeakSet()
        super().__init__()

    def create_future(self) -> asyncio.Future[Any]:
        future = super().create_future()
        self.futures.add(future)
        return future

    def time(self) -> float:
        return self.now


class Line(asyncio.Transport):
    """Keeps what is written, one piece for each call, and the names of the other calls.

    Args:
        ends_one_way: Whether our direction can end alone.
        extra: For `get_extra_info`.
    """

    def __init__(self, *, ends_one_way: bool = True, **extra: object) -> None:
        super().__init__(extra)
        self.written: list[bytes] = []
        self.told: list[str] = []
        self.unsent = 0
        self.limit: int | None = None
        self._closing = False
        self._ends_one_way = ends_one_way
        self._protocol: Any = None

    @property
    def frames(self) -> list[Frame]:
        """All that was written."""
        return read_frames(b"".join(self.written))

    def receive(self, data: bytes) -> None:
        """Give the protocol bytes, as a transport does."""
        while data:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                buffer = memoryview(self._protocol.get_buffer(-1))
                size = min(len(buffer), len(data))
                buffer[:size] = data[:size]
                self._protocol.buffer_updated(size)
                data = data[size:]
            else:
                self._protocol.data_received(data)
                data = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        self.told.append("set_protocol")

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[no-any-return]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limit = high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.told.append("pause_reading")

    def resume_reading(self) -> None:
        self.told.append("resume_reading")

    def can_write_eof(self) -> bool:
        return self._ends_one_way

    def write_eof(self) -> None:
        self.told.append("write_eof")

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True
        self.told.append("close")

    def abort(self) -> None:
        self._closing = True
        self.told.append("abort")


def step_by_step(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Make a test of a coroutine function, on a `StandingLoop`. What goes wrong in a callback fails too."""

    def run() -> None:
        loop = StandingLoop()
        problems: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: problems.append(context))
        try:
            loop.run_until_complete(test())
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(turns())
            loop.close()
        assert not problems, problems

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def the_loop() -> StandingLoop:
    """The one that runs."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StandingLoop)
    return loop


async def advance(seconds: float) -> None:
    """Move the clock, and let what was to happen meanwhile happen."""
    loop = the_loop()
    loop.now += seconds
    await turns(5)


def new_protocol(
    *, deflate: bool = False, counts: bool = True, handshake: Any = None, **settings: Any
) -> WebSocketProtocol:
    """One without a transport."""
    options = WebSocketSettings(**{"ping_interval": None, **settings})
    codec = None
    if deflate:
        agreed = PerMessageDeflate()
        agreement = agreed.negotiate(parse_extensions([b"permessage-deflate"]))
        assert agreement is not None
        codec = Deflate(agreement, agreed)
    connection = Connection(max_message_size=options.max_message_size, max_message_frames=16, deflate=codec)
    return WebSocketProtocol(connection, options, asyncio.get_running_loop(), counts=counts, handshake=handshake)


def opened(line: Line | None = None, **options: Any) -> tuple[WebSocketProtocol, Line]:
    """One with a transport, see `new_protocol`."""
    line = line or Line()
    protocol = new_protocol(**options)
    line.set_protocol(protocol)
    line.told.clear()
    protocol.connection_made(line)
    return protocol, line


class Opening:
    """Serves the application until the connection is open."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def soon(coroutine: Coroutine[Any, Any, T]) -> T:
    """Give the result of a coroutine that has nothing to wait for but a few turns of the loop."""
    task = asyncio.ensure_future(coroutine)
    await turns(10)
    assert task.done(), "it waits"
    return task.result()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Give the result of a coroutine that does not wait at all."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise AssertionError("it waits")


def waits(coroutine: Coroutine[Any, Any, Any]) -> bool:
    """Whether a coroutine has to wait. It goes no further."""
    try:
        coroutine.send(None)
    except StopIteration:
        return False
    coroutine.close()
    return True


def compressed(data: bytes) -> bytes:
    """A client's binary message, compressed by itself (RFC 7692)."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -12)
    return frame(BINARY, (codec.compress(data) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=RSV1)


def received(data: str | bytes) -> dict[str, Any]:
    return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}


def disconnect(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def binary(data: bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "bytes": data}


async def waiting(protocol: WebSocketProtocol) -> asyncio.Task[Message]:
    """A ``receive`` that waits."""
    task = asyncio.ensure_future(Messages(protocol).receive())
    await asyncio.sleep(0)
    return task
