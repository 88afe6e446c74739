"""Our HTTP/2 connection and a client with `h2` for its frames, joined in memory; the test itself is the application."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from asgi_upgrade import H2CSettings
from asgi_upgrade.http2.connection import HTTP2Protocol
from asgi_upgrade.http2.scope import ScopeTemplate
from asgi_upgrade.http2.server import ServerSide

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ErrorCodes = h2.errors.ErrorCodes
SettingCodes = h2.settings.SettingCodes

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS = 4
PADDED = 8

FIRST: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "scheme": "http",
    "method": "GET",
    "path": "/first",
    "raw_path": b"/first",
    "query_string": b"a=b",
    "headers": [
        (b"host", b"example.com"),
        (b"connection", b"Upgrade, HTTP2-Settings"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b""),
        (b"x-first", b"yes"),
    ],
    "extensions": {"http.upgrade": {}, "other": {}},
    "state": {"shared": 1},
}


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """The bytes of one frame, RFC 9113 section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of each frame; `data` must be nothing but whole frames."""
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + size, "the last frame is cut off"
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


class Wire(asyncio.Transport):
    """The server's transport. What was written waits until the client takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.writes: list[bytes] = []  # all there were
        self.unsent = bytearray()
        self.high = 64 * 1024
        self.paused = False  # the protocol was told to write no more
        self.reading = True
        self.unread: list[bytes] = []
        self.ended = False  # by `write_eof`
        self.closing = False
        self.aborted = False
        self.lost = False
        self.can_end = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return "in memory" if name == "kind" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return self.can_end

    def write(self, data: Any) -> None:
        assert not self.ended, "written behind the end"
        assert not self.lost, "written when it is gone"
        self.writes.append(bytes(data))
        self.unsent += data
        if len(self.unsent) > self.high and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True
        while self.unread and self.reading and not self.lost:
            self.protocol.data_received(self.unread.pop(0))

    def close(self) -> None:
        self.closing = True
        if not self.unsent:
            self._lose(None)

    def abort(self) -> None:
        self.closing = self.aborted = True
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, error)

    # The client's end

    def take(self) -> bytes:
        """All that was written."""
        data = bytes(self.unsent)
        self.unsent.clear()
        if self.paused:
            self.paused = False
            self.protocol.resume_writing()
        if self.closing:
            self._lose(None)
        return data

    def deliver(self, data: bytes) -> None:
        """Bytes for the server."""
        if self.lost:
            return
        if self.reading:
            self.protocol.data_received(data)
        else:
            self.unread.append(data)

    def reset(self) -> None:
        """The client has gone."""
        self.closing = True
        self._lose(ConnectionResetError())

    def end(self) -> None:
        """The client has ended its direction."""
        if not self.protocol.eof_received():
            self.close()


@dataclass
class Answer:
    """What has come on one stream."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[bytes] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(dict(self.headers).get(b":status", b"0"))


class Call:
    """One call of the application, which does what the test says."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.end: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def respond(self, status: int = 200, data: bytes = b"") -> None:
        await self.send(start(status))
        await self.send(body(data))

    def done(self, result: Any = None) -> None:
        """Let the application return."""
        self.end.set_result(result)

    def fail(self, error: BaseException) -> None:
        """Let the application raise."""
        self.end.set_exception(error)

    def announce(self, protocol: asyncio.BaseProtocol, *headers: tuple[bytes, bytes]) -> asyncio.Future[bool]:
        """The extension's ``connect``."""
        connect = self.scope["extensions"]["http.upgrade"]["connect"]
        switched: asyncio.Future[bool] = connect(protocol, [(b"upgrade", b"websocket"), *headers])
        return switched


class _Client(h2.connection.H2Connection):
    def _receive_goaway_frame(self, frame: Any) -> Any:
        """Go on: h2 would take nothing any more, but RFC 9113 section 6.8 says that open streams go on."""
        state, prepared = self.state_machine.state, self.data_to_send()
        result = super()._receive_goaway_frame(frame)  # type: ignore[no-untyped-call,unused-ignore]
        self.state_machine.state = state
        self._data_to_send += prepared
        return result


class Pair:
    """Both ends.

    Args:
        app: The application; without one the test is it, see `called`.
        settings: The client's.
        limits: Of `H2CSettings`.
        server: Of `ServerSide`.
    """

    def __init__(
        self,
        app: ASGIApp | None = None,
        *,
        settings: Mapping[Any, int] | None = None,
        limits: H2CSettings | None = None,
        server: ServerSide | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.app = app or self._run
        self.limits = limits or H2CSettings()
        self.server = server or ServerSide()
        config = h2.config.H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False)
        self.client = _Client(config)
        self.client.local_settings = h2.settings.Settings(client=True, initial_values=dict(settings or {}))
        offered = self.client.initiate_upgrade_connection()
        assert offered is not None
        self.protocol = HTTP2Protocol(
            self.app,
            template=ScopeTemplate(FIRST),
            client_settings=urlsafe_b64decode(offered),
            settings=self.limits,
            server=self.server,
        )
        self.wire = Wire()
        self.wire.protocol = self.protocol
        self.answers: dict[int, Answer] = {}
        self.events: list[h2.events.Event] = []
        self.goaways: list[tuple[int, int]] = []
        self.received = bytearray()  # all that the client has taken
        self.taking = True  # the client takes what the server sends
        self.grants = True  # and grants windows for it
        self.calls: list[Call] = []
        self._taken_calls = 0

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> Any:
        call = Call(scope, receive, send)
        self.calls.append(call)
        return await call.end

    def switch(self, *, body_given: bool = False) -> None:
        """Begin: the server has written its 101."""
        stream = self.protocol.open_first(self.protocol.template.first(), body_given=body_given)
        self.protocol.connection_made(self.wire)
        stream.start(self.app)

    async def settle(self) -> None:
        """Let both sides do what they have to do now. No time passes."""
        quiet = 0
        while quiet < 4:
            await asyncio.sleep(0)
            quiet = 0 if self._exchange() else quiet + 1

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, while the client takes and answers."""
        end = self.loop.time() + seconds
        await self.settle()
        while (left := end - self.loop.time()) > 1e-9:
            await asyncio.sleep(min(left, 0.05))
            await self.settle()

    def _exchange(self) -> bool:
        moved = False
        if self.taking and (data := self.wire.take()):
            moved = True
            self.received += data
            for event in self.client.receive_data(data):
                self.events.append(event)
                self._note(event)
        if self.taking and (answer := self.client.data_to_send()):
            moved = True
            self.wire.deliver(answer)
        return moved

    def _note(self, event: Any) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
            return
        stream_id = getattr(event, "stream_id", None)
        if not stream_id:
            return
        answer = self.answers.setdefault(stream_id, Answer())
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = [(bytes(name), bytes(value)) for name, value in event.headers]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(bytes(event.headers[0][1]))
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = [(bytes(name), bytes(value)) for name, value in event.headers]
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.grants:
                self.client.acknowledge_received_data(event.flow_controlled_length, stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)

    # The client

    def ask(
        self,
        path: bytes = b"/",
        *headers: tuple[bytes, bytes],
        method: bytes = b"GET",
        end: bool = True,
        **pseudo: bytes,
    ) -> int:
        """Open a stream."""
        fields = {"method": method, "scheme": b"http", "authority": b"example.com", "path": path}
        return self.open([(b":" + name.encode(), value) for name, value in fields.items() if value], headers, end=end)

    def connect(self, path: bytes = b"/", *headers: tuple[bytes, bytes], **pseudo: bytes) -> int:
        """Open a stream by an extended CONNECT, RFC 8441 section 4."""
        fields = {"method": b"CONNECT", "protocol": b"websocket", "scheme": b"http", "authority": b"example.com"}
        given = {**fields, "path": path, **pseudo}
        lines = [(b":" + name.encode(), value) for name, value in given.items() if value]
        return self.open(lines, [(b"sec-websocket-version", b"13"), *headers], end=False)

    def open(
        self, pseudo: Iterable[tuple[bytes, bytes]], headers: Iterable[tuple[bytes, bytes]] = (), *, end: bool
    ) -> int:
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, [*pseudo, *headers], end_stream=end)
        self.answers[stream_id] = Answer()
        return stream_id

    def flush(self) -> None:
        """Deliver what the client has prepared."""
        self.wire.deliver(self.client.data_to_send())

    def send_raw(self, data: bytes) -> None:
        self.flush()
        self.wire.deliver(data)

    async def called(self) -> Call:
        """The next call of the application."""
        await self.settle()
        assert len(self.calls) > self._taken_calls, "the application was not called"
        self._taken_calls += 1
        return self.calls[self._taken_calls - 1]

    async def answer_first(self) -> None:
        """Serve the first stream."""
        call = await self.called()
        await call.respond()
        call.done()
        await self.settle()
        assert self.answers[1].ended


@asynccontextmanager
async def joined(app: ASGIApp | None = None, *, first: bool = False, **options: Any) -> AsyncIterator[Pair]:
    """A connection; `first`: the first stream waits for the test, else it has been answered."""
    limits = {name: options.pop(name) for name in tuple(options) if name in H2CSettings.__dataclass_fields__}
    pair = Pair(app, limits=H2CSettings(**limits), **options)
    pair.switch()
    closed = asyncio.ensure_future(pair.protocol.wait_closed())
    if not first and app is None:
        await pair.answer_first()
    try:
        yield pair
    finally:
        for call in pair.calls:
            if not call.end.done():
                call.end.cancel()
        if not pair.wire.lost:
            pair.protocol.abort()
        await asyncio.wait_for(closed, 30)
        assert all(task.done() for task in pair.server.tasks)


async def stays(future: asyncio.Future[Any]) -> bool:
    """Whether something still waits when everything else has run."""
    for _ in range(8):
        await asyncio.sleep(0)
    return not future.done()
