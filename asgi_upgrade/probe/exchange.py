"""One request on a connection of its own, and the head of its answer."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio

__all__ = ["Answer", "Target", "ask"]

_MAX_HEAD = 65536
# Informational responses before the one that counts.
_MAX_INFORMATIONAL = 8
# RFC 9113 section 3.4, and an empty SETTINGS frame.
_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_HEADERS, _SETTINGS, _GOAWAY, _RST_STREAM = 1, 4, 7, 3
_MAX_FRAMES = 64
_MAX_FRAME = 16384
# A close frame with code 1000, and a mask of zeros (RFC 6455 section 5.5.1).
_CLOSE = b"\x88\x82\x00\x00\x00\x00\x03\xe8"


class Target(NamedTuple):
    """Where to ask.

    Attributes:
        host: Name or address.
        port: The port.
        path: Path and query.
        tls: Whether to speak TLS.
        authority: The value of the Host field.
        verify: Whether to check the certificate.
    """

    host: str
    port: int
    path: str
    tls: bool
    authority: str
    verify: bool = True

    @classmethod
    def from_url(cls, url: str, *, verify: bool = True) -> Target:
        """Read a URL with the scheme ``http``, ``https``, ``ws`` or ``wss``.

        Raises:
            ValueError: It is none.
        """
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is no URL: {error}") from None
        if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
            raise ValueError(f"{url!r} is no URL of a server: http, https, ws or wss, and a host")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        authority = parts.netloc.rpartition("@")[2]
        if not (path + authority).isascii() or any(character <= " " for character in path + authority):
            raise ValueError(f"{url!r} has characters that must be percent-encoded")
        tls = parts.scheme in {"https", "wss"}
        return cls(parts.hostname, port or (443 if tls else 80), path, tls, authority, verify)


@dataclass
class Answer:
    """What came back.

    Attributes:
        status: The status, ``None`` if there was no answer in HTTP.
        fields: The header fields, names in lower case.
        problem: Why there is no status, in words.
        unreachable: Whether not even a connection was made.
        spoke_http2: After a 101 to h2c: whether the request was answered over HTTP/2. ``None`` if that was not asked.
    """

    status: int | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""
    unreachable: bool = False
    spoke_http2: bool | None = None

    def get(self, name: str) -> str | None:
        """Return the value of a field, those of several lines joined; ``None`` without one."""
        values = [value for each, value in self.fields if each == name]
        return ", ".join(values) if values else None


async def ask(target: Target, request: bytes, seconds: float) -> Answer:
    """Send a request, and read the head of its answer.

    After a 101 the connection is closed as its new protocol wants it. Nothing of what the server sends raises.

    Args:
        target: Where to.
        request: The whole request.
        seconds: How long it may take, the connection included.
    """
    writer: asyncio.StreamWriter | None = None
    answer = Answer(unreachable=True)
    try:
        with anyio.fail_after(seconds):
            reader, writer = await asyncio.open_connection(
                target.host, target.port, limit=_MAX_HEAD, ssl=_context(target) if target.tls else None
            )
            answer.unreachable = False
            writer.write(request)
            await _read_head(reader, answer)
            if answer.status == 101:
                await _use(reader, writer, answer)
    except TimeoutError:
        if answer.status is None:
            answer.problem = f"no answer within {seconds:g} s"
    except (asyncio.IncompleteReadError, ConnectionError):
        if answer.status is None:
            answer.problem = "nothing accepts connections there" if answer.unreachable else _closed(target)
    except asyncio.LimitOverrunError:
        answer.problem = f"a head of more than {_MAX_HEAD} bytes"
    except ssl.SSLCertVerificationError as error:
        answer.problem = f"its certificate is not trusted ({error.verify_message}); --insecure asks all the same"
    except ssl.SSLError as error:
        answer.problem = f"it does not speak TLS as we do ({error.reason}); if it speaks plain HTTP, ask http://"
    except OSError as error:
        # asyncio gives no `strerror` if a name has several addresses, and none of them can be connected to.
        answer.problem = error.strerror or _of_each_address(error)
    finally:
        if writer is not None:
            writer.transport.abort()
    return answer


def _closed(target: Target) -> str:
    """What a connection that ends before an answer may mean: servers of TLS end those of plain HTTP."""
    words = "the connection was closed without an answer"
    return words if target.tls else f"{words}; if the server speaks TLS, ask https://"


def _of_each_address(error: OSError) -> str:
    return "none of its addresses can be connected to: " + str(error).removeprefix("Multiple exceptions: ")


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not target.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _read_head(reader: asyncio.StreamReader, answer: Answer) -> None:
    for _ in range(_MAX_INFORMATIONAL):
        head = await reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = status_line.partition(" ")
        code = rest[:3]
        if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
            answer.problem = "an answer that is no HTTP/1.1"
            return
        if code[0] != "1" or code == "101":
            answer.status = int(code)
            answer.fields = [
                (name.strip().lower(), value.strip()) for name, _, value in (x.partition(":") for x in lines if x)
            ]
            return
    answer.problem = "informational responses without end"


async def _use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    protocol = str(answer.get("upgrade")).lower()
    if protocol == "websocket":
        writer.write(_CLOSE)  # these few bytes go out at once
    elif protocol == "h2c":
        answer.spoke_http2 = False
        writer.write(_HTTP2_PREFACE)
        for number in range(_MAX_FRAMES):
            head = await reader.readexactly(9)
            length, kind, stream = int.from_bytes(head[:3], "big"), head[3], int.from_bytes(head[5:], "big")
            if length > _MAX_FRAME or (number == 0 and kind != _SETTINGS) or kind in {_GOAWAY, _RST_STREAM}:
                return
            await reader.readexactly(length)
            if kind == _HEADERS and stream == 1:
                answer.spoke_http2 = True
                return
