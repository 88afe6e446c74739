"""A proxy for clients that begin with HTTP/2 at once: it upgrades a connection for each of theirs.

The request that it upgrades with is the first stream, so their streams get the next numbers, and back. What answers it
is dropped. It has the server compress without a table: what the client would have missed of one does not matter then.
"""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.server.support.peer import request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_PUSH_PROMISE, _GOAWAY = 5, 7
_NO_TABLE = bytes.fromhex("000100000000")


class _Reader:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._unread = b""

    def exactly(self, size: int) -> bytes:
        while len(self._unread) < size:
            data = self._socket.recv(65536)
            if not data:
                raise EOFError
            self._unread += data
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def head(self) -> bytes:
        """Up to an empty line."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.exactly(1)
        return head

    def frame(self) -> tuple[bytes, int, bytes]:
        """Length, type and flags; the stream; the payload."""
        head = self.exactly(9)
        return head[:5], int.from_bytes(head[5:], "big"), self.exactly(int.from_bytes(head[:3], "big"))


def _forward(source: _Reader, sink: socket.socket, shift: int) -> None:
    with suppress(OSError, EOFError):
        while True:
            head, stream_id, payload = source.frame()
            if shift < 0 and stream_id == 1:
                continue
            if stream_id:
                stream_id += shift
            if head[3] == _GOAWAY and 1 < int.from_bytes(payload[:4], "big") < 2**31 - 1:
                payload = (int.from_bytes(payload[:4], "big") + shift).to_bytes(4, "big") + payload[4:]
            sink.sendall(head + stream_id.to_bytes(4, "big") + payload)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _serve(client: socket.socket, server: Server, path: str) -> None:
    with client, server.connect() as upstream:
        upstream.settimeout(30)
        fields = {
            "Host": server.host,
            "Connection": "Upgrade, HTTP2-Settings",
            "Upgrade": "h2c",
            "HTTP2-Settings": base64.urlsafe_b64encode(_NO_TABLE).decode(),
        }
        upstream.sendall(request("GET", path, fields))
        reader = _Reader(upstream)
        assert reader.head().startswith(b"HTTP/1.1 101 ")
        answers = threading.Thread(target=_forward, args=(reader, client, -2), daemon=True)
        answers.start()
        theirs = _Reader(client)
        with suppress(OSError, EOFError):
            upstream.sendall(theirs.exactly(_PREFACE))
            _forward(theirs, upstream, 2)
        answers.join(10)


@contextmanager
def prior_knowledge(server: Server, path: str = "/request") -> Iterator[int]:
    """Run the proxy until the block ends; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.settimeout(30)
                    threading.Thread(target=_serve, args=(client, server, path), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
