"""Sixteen ways to misbehave, many at once, among clients that behave: those must not notice."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
import zlib
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.messages import TAIL, client_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

RESET = struct.pack("ii", 1, 0)  # close with RST
AT_ONCE = 100  # clients
KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of RFC 6455 section 1.3
DEFLATE = b"permessage-deflate; client_max_window_bits"


class Unexpected(Exception):
    """The server did something else than it should: the message says what."""


def handshake(path: str, extensions: bytes = b"") -> bytes:
    """An opening handshake."""
    offer = b"Sec-WebSocket-Extensions: %b\r\n" % extensions if extensions else b""
    return (
        b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n%b\r\n" % (path.encode(), KEY, offer)
    )


def text(message: bytes) -> bytes:
    """A text message in one frame."""
    return client_frame(message, text=True, deflate=False)


def raw_frame(first: int, payload: bytes, announced: int | None = None) -> bytes:
    """A masked frame of any first byte, with a mask of zeros; ``announced`` is the length that it claims to have."""
    size = len(payload) if announced is None else announced
    head = bytes([first, 0xFE]) + struct.pack("!H", size) if 126 <= size < 65536 else bytes([first, 0x80 | size & 127])
    if size >= 65536:
        head = bytes([first, 0xFF]) + struct.pack("!Q", size)
    return head + bytes(4) + payload


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: random.Random) -> None:
        self.reader, self.writer, self.source = reader, writer, source
        self._inflater = zlib.decompressobj(wbits=-15)

    def send(self, data: bytes) -> None:
        if self.writer.transport.is_closing():
            raise Unexpected("the server has ended the connection")
        self.writer.write(data)

    async def open(self, path: str = "/echo", extensions: bytes = b"") -> None:
        """Shake hands."""
        self.send(handshake(path, extensions))
        await self.read_101()

    async def read_101(self) -> None:
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101") or ACCEPT not in head:
            raise Unexpected(f"no 101, but {head[:60]!r}")

    async def read_frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame that is no ping."""
        while True:
            first, size = await self.reader.readexactly(2)
            if size > 125:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self.reader.readexactly(size)
            if first & 0x40:
                payload = self._inflater.decompress(payload + TAIL)
            if first & 15 != 9:
                return first & 15, payload

    async def expect(self, opcode: int, payload: bytes) -> None:
        """Read the frame that must come next."""
        found = await self.read_frame()
        if found != (opcode, payload):
            raise Unexpected(f"not {payload[:20]!r}, but opcode {found[0]}: {found[1][:20]!r}")

    async def expect_close(self, *codes: int) -> None:
        """Read the close frame that must come next, and the end of the connection behind it; close as one should."""
        opcode, payload = await self.read_frame()
        if opcode != 8 or int.from_bytes(payload[:2], "big") not in codes:
            raise Unexpected(f"not a close frame with {codes}, but opcode {opcode}: {payload[:20]!r}")
        self.send(raw_frame(0x88, payload[:2]))
        await self.expect_end()

    async def expect_end(self) -> None:
        if rest := await self.reader.read(1):
            raise Unexpected(f"more, after the end: {rest!r}")

    async def echo(self, message: bytes) -> None:
        """Send a text message, and receive it again."""
        self.send(text(message))
        await self.expect(1, message)

    def reset(self) -> None:
        """Break the connection off."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None:  # it has not been closed yet
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


# Those who behave


async def behave(client: Client) -> None:
    """Shake hands, have a few messages echoed, and close."""
    await client.open(extensions=client.source.choice([b"", DEFLATE]))
    for _ in range(client.source.randrange(1, 8)):
        await client.echo(b"%d" % client.source.randrange(10**9))
    client.send(raw_frame(0x88, struct.pack("!H", 1000)))
    await client.expect(8, struct.pack("!H", 1000))
    await client.expect_end()


async def hurry(client: Client) -> None:
    """Send everything at once: handshake, a message, the close frame."""
    client.send(handshake("/echo") + text(b"early") + raw_frame(0x88, struct.pack("!H", 1001)))
    await client.read_101()
    await client.expect(1, b"early")
    await client.expect(8, struct.pack("!H", 1001))
    await client.expect_end()


# Those who do not


async def reset_at_once(client: Client) -> None:
    """Connect, and no more."""


async def reset_within_handshake(client: Client) -> None:
    head = handshake("/echo")
    client.send(head[: client.source.randrange(1, len(head))])
    await asyncio.sleep(client.source.random() * 0.02)


async def end_within_handshake(client: Client) -> None:
    head = handshake("/echo")
    client.send(head[: client.source.randrange(1, len(head) - 4)])
    client.writer.write_eof()
    await client.reader.read()


async def reset_before_101(client: Client) -> None:
    client.send(handshake("/echo"))
    await asyncio.sleep(client.source.random() * 0.002)


async def reset_amid_echoes(client: Client) -> None:
    """With answers that nobody reads."""
    await client.open(extensions=client.source.choice([b"", DEFLATE]))
    for _ in range(20):
        client.send(text(b"x" * client.source.randrange(2000)))
    await asyncio.sleep(client.source.random() * 0.01)


async def end_without_close(client: Client) -> None:
    """Half close: what came before is still answered."""
    await client.open()
    client.send(text(b"one") + text(b"two"))
    client.writer.write_eof()
    await client.expect(1, b"one")
    await client.expect(1, b"two")
    await client.expect_end()


async def reset_within_frame(client: Client) -> None:
    await client.open()
    client.send(raw_frame(0x82, b"part", client.source.choice([1000, 70_000, 16 * 1024 * 1024])))
    await asyncio.sleep(client.source.random() * 0.02)


async def announce_giant(client: Client) -> None:
    await client.open()
    await client.echo(b"before")
    client.send(raw_frame(client.source.choice([0x81, 0x82]), b"", 1 << 62))
    await client.expect_close(1009)


async def break_frame(client: Client) -> None:
    """Break one of the rules of framing."""
    await client.open()
    broken = (
        raw_frame(0x83, b"reserved opcode"),
        b"\x81\x04text",  # without a mask
        raw_frame(0xA1, b"reserved bit"),
        raw_frame(0x09, b"ping in fragments"),
        raw_frame(0x89, bytes(126)),
        raw_frame(0x80, b"continues nothing"),
        raw_frame(0x01, b"a message") + raw_frame(0x81, b"and another"),
        raw_frame(0x88, b"\x03"),
        raw_frame(0x88, struct.pack("!H", 1005)),
    )
    client.send(text(b"before") + client.source.choice(broken))
    await client.expect(1, b"before")
    await client.expect_close(1002)


async def send_bad_text(client: Client) -> None:
    await client.open()
    client.send(raw_frame(0x01, b"gr\xc3") + raw_frame(0x00, b"\xbc") + raw_frame(0x80, b"\xed\xa0\x80"))
    await client.expect_close(1007)


async def send_bad_deflate(client: Client) -> None:
    await client.open(extensions=DEFLATE)
    client.send(raw_frame(0xC2, b"\x07" + client.source.randbytes(100)))  # no block has this kind
    await client.expect_close(1007, 1002)  # 1007 or 1002: RFC 7692 leaves it open


async def send_slowly(client: Client) -> None:
    """A byte at a time."""
    data = handshake("/echo") + text(b"slow")
    for at in range(len(data)):
        client.send(data[at : at + 1])
        await asyncio.sleep(0.002)
    await client.read_101()
    await client.expect(1, b"slow")


async def ignore_close(client: Client) -> None:
    """Neither answer the close frame nor end: the server has to."""
    await client.open("/close")
    await client.expect(8, struct.pack("!H", 4000))
    start = time.monotonic()
    await client.reader.read()
    if time.monotonic() - start < 0.5:
        raise Unexpected("cut without waiting for an answer")


async def do_not_read(client: Client) -> None:
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.send(handshake("/push"))
    await asyncio.sleep(0.2 + client.source.random() * 0.2)


async def flood_with_pings(client: Client) -> None:
    client.send(handshake("/echo"))
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    pings = raw_frame(0x89, b"x" * 125) * 500
    for _ in range(20):
        client.send(pings)
        await asyncio.sleep(0.005)


async def never_end_message(client: Client) -> None:
    await client.open()
    client.send(raw_frame(0x01, b""))
    for _ in range(20):
        client.send(raw_frame(0x00, b"x") * 100)
        await asyncio.sleep(0.002)


GOOD = (behave, hurry)
BAD = (
    reset_at_once,
    reset_within_handshake,
    end_within_handshake,
    reset_before_101,
    reset_amid_echoes,
    end_without_close,
    reset_within_frame,
    announce_giant,
    break_frame,
    send_bad_text,
    send_bad_deflate,
    send_slowly,
    ignore_close,
    do_not_read,
    flood_with_pings,
    never_end_message,
)


@dataclass
class Storm:
    """What came of it: what the server did otherwise than it should, and how long a witness waited (milliseconds)."""

    clients: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)


@asynccontextmanager
async def _connected(port: int, source: random.Random) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    client = Client(reader, writer, source)
    try:
        yield client
    finally:
        # Also of those who have closed in good order: nothing of them is to stay in the system.
        client.reset()


async def blow(port: int, clients: int, seed: int, patience: float) -> Storm:
    """Send so many clients, a fifth of which behave; each may take ``patience`` seconds."""
    storm = Storm(clients)
    source = random.Random(seed)
    kinds: list[Callable[[Client], Awaitable[None]]] = [
        (GOOD[number // 5 % len(GOOD)] if number % 5 == 0 else BAD[number % len(BAD)]) for number in range(clients)
    ]
    source.shuffle(kinds)
    room = asyncio.Semaphore(AT_ONCE)

    async def one(kind: Callable[[Client], Awaitable[None]], number: int) -> None:
        async with room:
            try:
                async with _connected(port, random.Random(seed + number)) as client:
                    await asyncio.wait_for(kind(client), patience)
            except (Unexpected, OSError, EOFError, asyncio.TimeoutError, zlib.error) as error:
                storm.problems[f"{kind.__name__}: {type(error).__name__}: {error}"] += 1

    witness = asyncio.ensure_future(_witness(port, source, storm))
    await asyncio.gather(*(one(kind, number) for number, kind in enumerate(kinds)))
    witness.cancel()
    await asyncio.gather(witness, return_exceptions=True)
    return storm


async def _witness(port: int, source: random.Random, storm: Storm) -> None:
    """Have messages echoed all the time, on a connection that stays open."""
    try:
        async with _connected(port, source) as client:
            await client.open()
            while True:
                start = time.monotonic()
                await client.echo(b"still there?")
                storm.waits.append((time.monotonic() - start) * 1000)
                await asyncio.sleep(0.01)
    except (Unexpected, OSError, EOFError) as error:
        storm.problems[f"the witness: {error}"] += 1
