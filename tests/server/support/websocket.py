"""A WebSocket client over a bare socket, for what no well-behaved library would send."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from .peer import KEY_HEADER, Peer, Response, request

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

# The key and the answer to it that RFC 6455 section 1.3 works out.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Frame(NamedTuple):
    """One frame from the server."""

    opcode: int
    payload: bytes
    fin: bool = True


def accept_for(key: str) -> str:
    """What Sec-WebSocket-Accept must say for `key`, RFC 6455 section 4.2.2."""
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"\x12\x34\x56\x78") -> bytes:
    """The bytes of a client's frame, RFC 6455 section 5.2."""
    first = opcode | (0x80 if fin else 0)
    if len(payload) < 126:
        head = struct.pack("!BB", first, 0x80 | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, len(payload))
    repeated = mask * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


class WebSocket(Peer):
    """One connection to a server, before, during and after its opening handshake."""

    def handshake(self, target: str = "/echo", headers: Mapping[str, Any] | None = None, **options: Any) -> bytes:
        """The bytes of an opening handshake; `headers` replaces lines, adds some, and removes those given as None."""
        fields = {
            "Host": self.host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
            KEY_HEADER: self.key,
            **(headers or {}),
        }
        return request(options.pop("method", "GET"), target, fields, **options)

    def open(self, target: str = "/echo", headers: Mapping[str, Any] | None = None) -> Response:
        """Shake hands; gives the 101 response."""
        self.send(self.handshake(target, headers))
        return self.receive_101()

    def receive_101(self) -> Response:
        response = self.receive_response()
        assert response.status == 101, response
        assert response.all("sec-websocket-accept") == [ACCEPT], response
        return response

    def refused(self, target: str = "/echo", headers: Mapping[str, Any] | None = None, **options: Any) -> Response:
        """Try to shake hands; gives the response that refuses it."""
        self.send(self.handshake(target, headers, **options))
        response = self.receive_response(options.get("method", "GET"))
        assert response.status != 101, response
        return response

    # Sending

    def send_text(self, text: str) -> None:
        self.send(frame(TEXT, text.encode()))

    def send_bytes(self, data: bytes) -> None:
        self.send(frame(BINARY, data))

    def send_close(self, code: int, reason: str = "") -> None:
        self.send(close_frame(code, reason))

    # Receiving

    def receive_frame(self) -> Frame:
        first, second = self.receive_exactly(2)
        assert not second & 0x80, "a server must not mask, RFC 6455 section 5.1"
        assert not first & 0x70, "no reserved bit was negotiated"
        length = second
        if length == 126:
            (length,) = struct.unpack("!H", self.receive_exactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.receive_exactly(8))
        return Frame(first & 0x0F, self.receive_exactly(length), bool(first & 0x80))

    def receive_message(self) -> str | bytes:
        """The next message, put together from its fragments; pings are answered on the way."""
        kind, parts = None, []
        while True:
            received = self.receive_frame()
            if received.opcode == PING:
                self.send(frame(PONG, received.payload))
                continue
            assert received.opcode in (CONTINUATION, TEXT, BINARY), received
            kind = kind or received.opcode
            parts.append(received.payload)
            if received.fin:
                data = b"".join(parts)
                return data.decode() if kind == TEXT else data

    def receive_text(self) -> str:
        message = self.receive_message()
        assert isinstance(message, str), message
        return message

    def receive_close(self) -> tuple[int, str]:
        """The code and reason of the close frame that comes next; a frame without a code gives 1005."""
        received = self.receive_frame()
        assert received.opcode == CLOSE, received
        if not received.payload:
            return 1005, ""
        (code,) = struct.unpack("!H", received.payload[:2])
        return code, received.payload[2:].decode()

    def finish(self, code: int = 1000) -> None:
        """Close in good order: our close frame, the server's, and the end of the connection."""
        self.send_close(code)
        assert self.receive_close()[0] == code
        assert self.receive_end() == b""
