"""A server that answers each request with the bytes that a test wants, on real sockets and in a thread of its own."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.unit.waiting import PATIENCE

__all__ = ["HTTP2_PREFACE", "Scripted", "frame", "response", "serving", "switching"]

# RFC 9113 section 3.4, and an empty SETTINGS frame.
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))


def response(status: int, fields: str = "") -> bytes:
    """A response without content, with these lines of header fields."""
    return f"HTTP/1.1 {status} So\r\n{fields}Content-Length: 0\r\n\r\n".encode()


def switching(protocol: str, fields: str = "") -> bytes:
    """A 101 to a protocol."""
    return f"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n{fields}\r\n".encode()


def frame(kind: int, stream: int = 0, length: int = 0) -> bytes:
    """An HTTP/2 frame (RFC 9113 section 4.1) of zeros."""
    return length.to_bytes(3, "big") + bytes((kind, 0)) + stream.to_bytes(4, "big") + bytes(length)


class Scripted:
    """What the server has seen.

    Attributes:
        port: Where it listens, on 127.0.0.1.
        requests: The requests, in their order.
        after: What each client has sent since its answer.
        alpn: The application protocols that were agreed on (RFC 7301), for TLS.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []
        self.after: list[bytes] = []
        self.alpn: list[str | None] = []


@contextmanager
def serving(
    answer: Callable[[bytes], bytes] | bytes,
    *,
    tls: ssl.SSLContext | None = None,
    stays: bool = False,
    once: bool = False,
) -> Iterator[Scripted]:
    """Serve.

    Args:
        answer: What each request is answered with, or a function of the request. Our direction ends behind it.
        tls: To speak TLS.
        stays: Whether our direction stays open until the client ends the connection.
        once: Whether nobody listens any more after the first connection.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Scripted(listener.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listener, answer, tls, stays, once, seen), daemon=True)
        thread.start()
        try:
            yield seen
        finally:
            with suppress(OSError):  # it has been done
                listener.shutdown(socket.SHUT_RDWR)  # wakes `accept`
            thread.join(PATIENCE)


def _accept(  # noqa: PLR0917
    listener: socket.socket,
    answer: Callable[[bytes], bytes] | bytes,
    tls: ssl.SSLContext | None,
    stays: bool,
    once: bool,
    seen: Scripted,
) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        if once:
            listener.shutdown(socket.SHUT_RDWR)  # the port is still nobody else's
        connection.settimeout(PATIENCE)
        try:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
                seen.alpn.append(connection.selected_alpn_protocol())
            with connection:
                _serve(connection, answer, seen, stays)
        except OSError:
            connection.close()  # the client does not want to speak TLS with us, or has gone


def _serve(connection: socket.socket, answer: Callable[[bytes], bytes] | bytes, seen: Scripted, stays: bool) -> None:
    request = b""
    while b"\r\n\r\n" not in request or (b"Content-Length: 5" in request and not request.endswith(b"hello")):
        received = connection.recv(65536)
        if not received:
            return
        request += received
    seen.requests.append(request)
    seen.after.append(b"")
    with suppress(ConnectionError):  # a client may leave before it has read all of a long answer
        connection.sendall(answer(request) if callable(answer) else answer)
        if not stays:
            connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65536):
            seen.after[-1] += received
