"""An HTTP/2 client over a bare socket, with `h2` for the frames: it begins with an upgrade."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from typing_extensions import Self

from .peer import KEY_HEADER
from .websocket import WebSocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from .peer import Peer, Response

Event = TypeVar("Event", bound=h2.events.Event)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ErrorCodes = h2.errors.ErrorCodes
SettingCodes = h2.settings.SettingCodes


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """The bytes of one frame, RFC 9113 section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def offer(settings: bytes = b"") -> dict[str, str]:
    """The fields that offer h2c, RFC 7540 section 3.2."""
    value = base64.urlsafe_b64encode(settings).rstrip(b"=").decode()
    return {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": value}


@dataclass
class Answer:
    """What has come on one stream."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None


class _Connection(h2.connection.H2Connection):
    def _receive_goaway_frame(self, frame: Any) -> Any:
        """Go on: h2 would take nothing any more, but RFC 9113 section 6.8 says that open streams go on."""
        state = self.state_machine.state
        result = super()._receive_goaway_frame(frame)  # type: ignore[no-untyped-call,unused-ignore]
        if frame.error_code == ErrorCodes.NO_ERROR:
            self.state_machine.state = state
        return result


class HTTP2Client:
    """One connection.

    Args:
        peer: The connection, which has sent nothing yet.
        settings: The client's settings.
        read: Whether to grant new windows for what has come.
    """

    def __init__(self, peer: Peer, settings: Mapping[Any, int] | None = None, *, read: bool = True) -> None:
        self.peer = peer
        self.read = read
        self.events: list[h2.events.Event] = []  # all that have come
        self.answers: dict[int, Answer] = {}
        self.goaway: h2.events.ConnectionTerminated | None = None
        self.ended = False
        config = h2.config.H2Configuration(client_side=True, header_encoding="latin-1", validate_outbound_headers=False)
        self.h2 = _Connection(config)
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=dict(settings or {}))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.peer.close()

    # The upgrade

    def offer(self) -> dict[str, str]:
        """The fields that offer h2c with our settings."""
        value = self.h2.initiate_upgrade_connection()
        assert value is not None
        return {**offer(), "HTTP2-Settings": value.rstrip(b"=").decode()}

    def ask(self, method: str = "GET", target: str = "/http", headers: Any = None, **options: Any) -> bytes:
        """The request that offers h2c."""
        return self.peer.request(method, target, {**self.offer(), **(headers or {})}, **options)

    def upgrade(self, method: str = "GET", target: str = "/http", headers: Any = None, **options: Any) -> Response:
        """Send a request that offers h2c, read the 101 and send the preface."""
        self.peer.send(self.ask(method, target, headers, **options))
        return self.begin()

    def begin(self) -> Response:
        """Read the 101 and send the preface."""
        response = self.peer.receive_response()
        assert response.status == 101, response
        self.answers[1] = Answer()
        self.flush()
        self._take(self.peer.take_unread())
        return response

    # Sending

    def flush(self) -> None:
        with suppress(ConnectionError):
            self.peer.send(self.h2.data_to_send())

    def send_raw(self, data: bytes) -> None:
        self.flush()
        self.peer.send(data)

    def request(self, method: str = "GET", path: str = "/http", headers: Any = None, *, end: bool = True) -> int:
        """Open a stream; a header whose value is a list becomes several fields."""
        stream_id = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", self.peer.host), (":path", path)]
        for name, value in {KEY_HEADER.lower(): self.peer.key, **(headers or {})}.items():
            fields += [(name, each) for each in (value if isinstance(value, list) else [value])]
        self.send_headers(stream_id, fields, end=end)
        return stream_id

    def send_headers(self, stream_id: int, fields: list[tuple[str, str]], *, end: bool = True) -> None:
        self.h2.send_headers(stream_id, fields, end_stream=end)
        self.answers.setdefault(stream_id, Answer())
        self.flush()

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send as fast as the server grants windows."""
        while data:
            size = min(len(data), self.window(stream_id), self.h2.max_outbound_frame_size)
            if size:
                self.h2.send_data(stream_id, data[:size])
                data = data[size:]
                self.flush()
            else:
                self.receive()
        if end:
            self.h2.end_stream(stream_id)
            self.flush()

    def window(self, stream_id: int) -> int:
        return self.h2.local_flow_control_window(stream_id)

    # WebSockets

    def connect(self, path: str = "/echo", headers: Any = None, **pseudo: str | None) -> int:
        """Ask for a WebSocket by an extended CONNECT, RFC 8441 section 4; `pseudo` replaces fields, `None` removes."""
        stream_id = self.h2.get_next_available_stream_id()
        fields = {"method": "CONNECT", "protocol": "websocket", "scheme": "http", "path": path}
        fields = {**fields, "authority": self.peer.host, **pseudo}  # type: ignore[dict-item]
        lines = [(f":{name}", value) for name, value in fields.items() if value is not None]
        for name, value in {
            KEY_HEADER.lower(): self.peer.key,
            "sec-websocket-version": "13",
            **(headers or {}),
        }.items():
            lines += [(name, each) for each in (value if isinstance(value, list) else [value])]
        self.send_headers(stream_id, lines, end=False)
        return stream_id

    def websocket(self, path: str = "/echo", headers: Any = None) -> WebSocket:
        """A WebSocket on a new stream."""
        stream_id = self.connect(path, headers)
        answer = self.answers[stream_id]
        self.until(lambda: answer.status)
        assert answer.status == 200, answer
        return WebSocket(cast("socket.socket", StreamSocket(self, stream_id)), self.peer.host)

    # Receiving

    def receive(self) -> bool:
        """Read once; `False` at the end of the connection."""
        try:
            data = self.peer.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self.ended = True
            return False
        self._take(data)
        return True

    def receive_soon(self, seconds: float = 0.3) -> bool:
        """Read once, if something comes soon."""
        timeout = self.peer.socket.gettimeout()
        self.peer.socket.settimeout(seconds)
        try:
            return self.receive()
        except TimeoutError:
            return False
        finally:
            self.peer.socket.settimeout(timeout)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Read until `condition()` is true, and give what it gave."""
        while not (result := condition()):
            assert self.receive(), f"the connection has ended: {self.events[-5:]}"
        return result

    def answer(self, stream_id: int) -> Answer:
        """The whole response on a stream."""
        answer = self.answers[stream_id]
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def ask_again(self, *args: Any, **options: Any) -> Answer:
        """Send a request on a new stream, and read its response."""
        return self.answer(self.request(*args, **options))

    def find(self, kind: type[Event]) -> Event:
        """The first event of this kind, which may still have to come."""
        found: Event = self.until(lambda: next((event for event in self.events if isinstance(event, kind)), None))
        return found

    def until_end(self) -> h2.events.ConnectionTerminated | None:
        """Read to the end of the connection; give the GOAWAY that came, if one did."""
        while self.receive():
            pass
        return self.goaway

    def receive_from(self, stream_id: int) -> bytes:
        """What has come on a stream since the last call; nothing at its end."""
        answer = self.answers[stream_id]
        self.until(lambda: answer.body or answer.ended or answer.reset is not None)
        data = bytes(answer.body)
        answer.body.clear()
        return data

    def _take(self, data: bytes) -> None:
        if not data:
            return
        for event in self.h2.receive_data(data):
            self.events.append(event)
            self._note(event)
        self.flush()

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
            return
        answer = self.answers.get(getattr(event, "stream_id", None) or 0)
        if answer is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            fields: Any = event.headers
            answer.status = int(fields[0][1])
            answer.headers = [tuple(each) for each in fields[1:]]
        elif isinstance(event, h2.events.InformationalResponseReceived):
            interim: Any = event.headers
            answer.interim.append(int(interim[0][1]))
        elif isinstance(event, h2.events.TrailersReceived):
            trailers: Any = event.headers
            answer.trailers = [tuple(each) for each in trailers]
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data or b""
            if self.read:
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code or 0)


class StreamSocket:
    """A stream in the place of a socket."""

    def __init__(self, client: HTTP2Client, stream_id: int) -> None:
        self.client = client
        self.stream_id = stream_id

    def sendall(self, data: bytes) -> None:
        self.client.send(self.stream_id, data)

    def recv(self, size: int) -> bytes:
        return self.client.receive_from(self.stream_id)

    def shutdown(self, how: int) -> None:
        self.client.h2.end_stream(self.stream_id)
        self.client.flush()

    def reset(self) -> None:
        self.client.h2.reset_stream(self.stream_id, ErrorCodes.CANCEL)
        self.client.flush()
