"""An HTTP/1.1 client over a bare socket: it sends exactly what a test says and parses strictly."""

from __future__ import annotations

import secrets
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from .kernel import unread

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 60.0  # seconds for anything that has to come: a busy machine is no reason to fail
KEY_HEADER = "X-Note-Key"  # under which the applications note what they see


@dataclass(frozen=True)
class Response:
    """An HTTP response; header names are lower case."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        """The values of all lines called `name`, in order."""
        return [value for field, value in self.headers if field == name]

    def header(self, name: str) -> str | None:
        """The value of the only line called `name`, or None if there is none."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} is repeated: {values}"
        return values[0] if values else None


def request(
    method: str = "GET",
    target: str = "/http",
    headers: Mapping[str, Any] | None = None,
    body: bytes = b"",
    *,
    version: str = "HTTP/1.1",
) -> bytes:
    """The bytes of a request: a header whose value is a list becomes several lines, None becomes no line."""
    lines = [f"{method} {target} {version}"]
    for name, value in (headers or {}).items():
        values = value if isinstance(value, list) else [] if value is None else [value]
        lines += [f"{name}: {each}" for each in values]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def chunked(*chunks: bytes) -> bytes:
    """`chunks` in the chunked transfer coding, RFC 9112 section 7.1."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


class Peer:
    """One connection to a server."""

    def __init__(self, sock: socket.socket, host: str) -> None:
        self.socket = sock
        self.host = host
        self.key = secrets.token_hex(8)
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Vanish: end the connection with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Sending

    def request(
        self, method: str = "GET", target: str = "/http", headers: Mapping[str, Any] | None = None, **options: Any
    ) -> bytes:
        """The bytes of a request to this peer's server, see `request`; Host is added."""
        return request(method, target, {"Host": self.host, KEY_HEADER: self.key, **(headers or {})}, **options)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def wait_until_read(self) -> None:
        """Wait until the server's process has read all that was sent, so that what is sent now comes by itself."""
        deadline = time.monotonic() + PATIENCE
        while left := unread(self.socket):
            assert time.monotonic() < deadline, f"the server does not read: {left}"
            time.sleep(0.001)

    def send_in_pieces(self, data: bytes, size: int, pause: float = 0.001) -> None:
        """Send `data` in segments of `size` bytes, `pause` seconds apart."""
        for start in range(0, len(data), size):
            self.socket.sendall(data[start : start + size])
            time.sleep(pause)

    def send_until_blocked(self, data: bytes, seconds: float = 0.4) -> bytes:
        """Send what the other side takes of `data`; gives the rest once it has taken nothing for `seconds`."""
        rest = memoryview(data)
        timeout = self.socket.gettimeout()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        self.socket.settimeout(seconds)
        with suppress(TimeoutError):
            while rest:
                rest = rest[self.socket.send(rest) :]
        self.socket.settimeout(timeout)
        return bytes(rest)

    def ask(self, method: str = "GET", *args: Any, **options: Any) -> Response:
        """Send a request, see `request`, and read its response."""
        self.send(self.request(method, *args, **options))
        return self.receive_response(method)

    # Receiving

    def receive_response(self, method: str = "GET") -> Response:
        """The next response, an interim one (1xx) included."""
        head = self.receive_head()
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, reason = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        fields = [line.partition(":") for line in lines]
        headers = [(name.lower(), value.strip()) for name, _, value in fields]
        response = Response(int(status), reason, headers, b"")
        return Response(response.status, reason, headers, self._receive_body(response, method))

    def receive_head(self) -> bytes:
        """The next response up to its empty line, as it came."""
        head, _, self._unread = self._receive_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        return head

    def receive_exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            self._receive_more()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def take_unread(self) -> bytes:
        """What has been read behind the last response."""
        data, self._unread = self._unread, b""
        return data

    def receive_end(self) -> bytes:
        """Everything up to the end of the connection."""
        data, self._unread = self._unread, b""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more

    def receive_until_silence(self, seconds: float = 0.2) -> bytes:
        """Everything up to the end of the connection, or until nothing has come for `seconds`."""
        data, self._unread = self._unread, b""
        self.socket.settimeout(seconds)
        with suppress(TimeoutError, ConnectionResetError):
            while more := self.socket.recv(65536):
                data += more
        return data

    def _receive_body(self, response: Response, method: str) -> bytes:
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            return b""
        if response.header("transfer-encoding") == "chunked":
            return self._receive_chunks()
        if (length := response.header("content-length")) is not None:
            return self.receive_exactly(int(length))
        return self.receive_end()

    def _receive_chunks(self) -> bytes:
        body = b""
        while True:
            line, _, self._unread = self._receive_until(b"\r\n").partition(b"\r\n")
            size = int(line, 16)
            body += self.receive_exactly(size)
            assert self.receive_exactly(2) == b"\r\n"
            if size == 0:
                return body

    def _receive_until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            self._receive_more()
        return self._unread

    def _receive_more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended after {self._unread!r}"
        self._unread += data
