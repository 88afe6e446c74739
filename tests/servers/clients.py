"""How the tests talk to a server: a WebSocket client, and one that speaks HTTP/2."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, RemoteSettingsChanged, ResponseReceived, StreamReset
from h2.settings import SettingCodes
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.http11 import Response
    from websockets.sync.client import ClientConnection

    from .running import Running

TIMEOUT = 10.0  # seconds
GOOD = "token=good"


@contextmanager
def open_room(server: Running, name: str = "blue", **options: Any) -> Iterator[tuple[ClientConnection, dict[str, Any]]]:
    """A WebSocket, opened through no proxy and without compression, and what the application says first."""
    url = server.url(f"/rooms/{name}?{GOOD}")
    options = {"proxy": None, "compression": None, "open_timeout": TIMEOUT, "close_timeout": 1, **options}
    with connect(url, **options) as websocket:
        yield websocket, json.loads(websocket.recv(timeout=TIMEOUT))


def refusal(server: Running, query: str = GOOD, **options: Any) -> Response:
    """The response that refuses a WebSocket."""
    url = server.url(f"/rooms/blue?{query}")
    with pytest.raises(InvalidStatus) as caught:
        connect(url, proxy=None, compression=None, open_timeout=TIMEOUT, **options)
    return caught.value.response


@dataclass
class Answer:
    """What a server has answered on one HTTP/2 stream.

    Attributes:
        status: Its status, ``None`` if it has refused the stream or the connection.
        headers: Its fields.
    """

    status: int | None
    headers: dict[bytes, bytes]


class HTTP2:
    """A connection with prior knowledge, in the clear (RFC 9113 §3.3), for one stream."""

    def __init__(self, server: Running) -> None:
        # What it sends must not be checked: one test sends what HTTP/2 forbids.
        config = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self._connection = H2Connection(config)
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        self._authority = f"127.0.0.1:{server.port}"
        self._answer: Answer | None = None
        self._data = StreamReader()
        self._settled = self._has_websockets = False
        self._connection.initiate_connection()
        self._flush()

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def request(self, target: str, *, connect_websocket: bool = False, headers: dict[str, str] | None = None) -> Answer:
        """Send a GET, or open a WebSocket (RFC 8441 §4), and wait for the answer's fields."""
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", self._authority), (":path", target)]
        if connect_websocket:
            while not self._settled:
                self._read()
            assert self._has_websockets  # the server has to say so first (RFC 8441 §3)
            fields[:1] = [(":method", "CONNECT"), (":protocol", "websocket")]
            fields.append(("sec-websocket-version", "13"))
        fields += (headers or {}).items()
        self._connection.send_headers(1, fields, end_stream=not connect_websocket)
        self._flush()
        while self._answer is None:
            self._read()
        return self._answer

    def send_text(self, text: str) -> None:
        """Send a message."""
        frame = Frame(Opcode.TEXT, text.encode())
        self._connection.send_data(1, frame.serialize(mask=True))
        self._flush()

    def receive_text(self) -> str:
        """Receive a message of one frame."""
        parser = Frame.parse(self._data.read_exact, mask=False, max_size=None)
        while True:
            try:
                next(parser)
            except StopIteration as done:
                frame: Frame = done.value
                assert frame.opcode is Opcode.TEXT
                return bytes(frame.data).decode()
            self._read()

    def _flush(self) -> None:
        self._socket.sendall(self._connection.data_to_send())

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            self._refuse()
            return
        for event in self._connection.receive_data(data):
            if isinstance(event, RemoteSettingsChanged):
                self._settled = True
                self._has_websockets = SettingCodes.ENABLE_CONNECT_PROTOCOL in event.changed_settings
            elif isinstance(event, ResponseReceived):
                headers = dict(event.headers or ())
                self._answer = Answer(int(headers.pop(b":status")), headers)
            elif isinstance(event, DataReceived):
                self._data.feed_data(event.data or b"")
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
            elif isinstance(event, (StreamReset, ConnectionTerminated)):
                self._refuse()
                return
        self._flush()

    def _refuse(self) -> None:
        self._answer = self._answer or Answer(None, {})
        self._settled = True
