"""The client of numbered messages: as many connections at once as wanted, all that RFC 6455 allows, all the time.

``websockets`` makes and reads the frames, which knows nothing of our engine. Each message goes out in one frame or in
several, with pings between; bytes are written in pieces that respect no frame; reading and writing pause now and then.
"""

from __future__ import annotations

import asyncio
import random
import socket
from dataclasses import dataclass, field
from typing import cast

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.soak.numbered import Ledger, Totals, messages

MOST_FRAGMENTS = 6
PIECE = 1400  # bytes, or less, where writes are cut up: a segment of most networks
PATIENCE = 120.0  # seconds for one connection to do something: enough on a machine that is busy with other things


class Broken(Exception):
    """A connection has ended otherwise than it should: the message says how."""


@dataclass
class Exchange:
    """What was done and what came.

    Attributes:
        pings: Those that we have sent.
        pongs: The answers to them.
        server_pings: Those that the server has sent.
    """

    totals: Totals = field(default_factory=Totals)
    pings: int = 0
    pongs: int = 0
    server_pings: int = 0
    fragments: int = 0
    deflated: int = 0  # connections with permessage-deflate
    problems: list[str] = field(default_factory=list)


class Peer(asyncio.Protocol):
    """One connection.

    Args:
        port: Of the server on this machine.
        owner: Number of the sender of our messages; the server's have the next one.
        count: Messages in each direction.
        exchange: Where to add what has been done.
        patience: Seconds without a message after which what has not come is lost.
    """

    transport: asyncio.Transport

    def __init__(self, port: int, owner: int, count: int, exchange: Exchange, patience: float) -> None:
        self._patience = patience
        self._source = random.Random(owner)
        self._exchange = exchange
        self._owner, self._count = owner, count
        self._ledger = Ledger(owner + 1, count)
        self._sent = 0
        deflate = [ClientPerMessageDeflateFactory(client_max_window_bits=True)] if self._source.random() < 0.5 else None
        uri = parse_uri(f"ws://127.0.0.1:{port}/numbered/{owner}/{count}")
        self._websocket = ClientProtocol(uri, extensions=deflate, max_size=None)
        self._parts: list[bytes] = []
        self._text = False
        self._pings: list[bytes] = []
        self._may_write = asyncio.Event()
        self._open = asyncio.Event()
        self._all_came = asyncio.Event()
        self._ended = asyncio.Event()
        self._in_pieces = self._source.random() < 0.3
        self._unwritten = b""  # what waits to be written in pieces
        self._resume: asyncio.TimerHandle | None = None
        self._fault = ""

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._may_write.set()
        self._websocket.send_request(self._websocket.connect())
        self._flush()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self._websocket.receive_data(data)
        self._take_events()
        if self._source.random() < 0.002:
            self.transport.pause_reading()
            delay = self._source.random() * 0.05
            self._resume = asyncio.get_running_loop().call_later(delay, self.transport.resume_reading)

    def eof_received(self) -> None:
        self._websocket.receive_eof()
        self._take_events()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._resume is not None:
            self._resume.cancel()
        self._ended.set()
        for event in (self._may_write, self._open, self._all_came):
            event.set()

    def _take_events(self) -> None:
        for event in self._websocket.events_received():
            if isinstance(event, Response):
                self._exchange.deflated += bool(self._websocket.extensions)
                self._open.set()
            else:
                self._take_frame(cast("Frame", event))
        self._flush()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._text = frame.opcode is Opcode.TEXT
            self._parts.append(bytes(frame.data))
            if frame.fin:
                message = b"".join(self._parts)
                self._parts.clear()
                try:
                    self._ledger.take(message.decode() if self._text else message)
                except UnicodeDecodeError:
                    self._ledger.take_nonsense()
                if self._ledger.came == self._count:
                    self._all_came.set()
        elif frame.opcode is Opcode.PING:
            self._exchange.server_pings += 1
        elif frame.opcode is Opcode.PONG:
            # One pong may answer all pings before it (RFC 6455 section 5.5.3), but none that was not sent.
            payload = bytes(frame.data)
            if payload in self._pings:
                del self._pings[: self._pings.index(payload) + 1]
                self._exchange.pongs += 1
            else:
                self._fault = f"a pong for no ping: {payload!r}"
                self.transport.abort()

    # What the connection does

    async def converse(self) -> None:
        """Send all, receive all, and close."""
        await asyncio.wait_for(self._open.wait(), PATIENCE)
        try:
            await self._write()
            # One that is lost never comes: then the close tells the server to stop waiting.
            while not self._all_came.is_set():
                before = self._ledger.came
                try:
                    await asyncio.wait_for(self._all_came.wait(), self._patience)
                except asyncio.TimeoutError:
                    if self._ledger.came == before:
                        break
            self._check_open()
            await asyncio.sleep(self._source.random() * 0.1)  # for what comes although it should not
            self._websocket.send_close(1000)
            self._flush()
            await asyncio.wait_for(self._ended.wait(), PATIENCE)
            if self._websocket.close_code != 1000 or self._pings or self._fault:
                how = f"closed with {self._websocket.close_code}, {len(self._pings)} pings without an answer"
                raise Broken(f"{how}. {self._fault}")
        finally:
            self._exchange.totals.add(self._ledger, self._sent)
            self.transport.abort()

    def _check_open(self) -> None:
        if self._ended.is_set():
            websocket = self._websocket
            reason = self._fault or websocket.handshake_exc or websocket.parser_exc or websocket.close_code
            raise Broken(
                f"the connection has ended after {self._sent} messages sent, {self._ledger.came} come: {reason}"
            )

    async def _write(self) -> None:
        source = self._source
        for message in messages(self._owner, self._count):
            self._check_open()
            self._send(message)
            self._sent += 1
            if source.random() < 0.3:  # else together with the next one
                self._flush()
                if not self._may_write.is_set():
                    await asyncio.wait_for(self._may_write.wait(), PATIENCE)
                await asyncio.sleep(source.random() * 0.02 if source.random() < 0.02 else 0)
        self._flush()

    def _send(self, message: str | bytes) -> None:
        source, websocket = self._source, self._websocket
        data = message.encode() if isinstance(message, str) else message
        begin = websocket.send_text if isinstance(message, str) else websocket.send_binary
        cuts: list[int] = []
        if source.random() < 0.2:
            cuts = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(1, MOST_FRAGMENTS)))
            self._exchange.fragments += len(cuts) + 1
        ends = [*cuts, len(data)]
        start = 0
        for number, end in enumerate(ends):
            last = number == len(ends) - 1
            (begin if number == 0 else websocket.send_continuation)(data[start:end], last)
            start = end
            if source.random() < 0.01:
                self._ping()

    def _ping(self) -> None:
        payload = b"%d" % self._exchange.pings
        self._exchange.pings += 1
        self._pings.append(payload)
        self._websocket.send_ping(payload)

    def _flush(self) -> None:
        data = b"".join(self._websocket.data_to_send())
        if not data or self.transport.is_closing():
            return
        if not self._in_pieces:
            self.transport.write(data)
        elif self._unwritten:
            self._unwritten += data
        else:
            self._unwritten = data
            self._write_piece()

    def _write_piece(self) -> None:
        """Write a part in this turn of the loop; the rest follows, a part in each."""
        if self.transport.is_closing():
            return
        most = max(PIECE, len(self._unwritten) // 8)
        size = self._source.randrange(1, 12 if self._source.random() < 0.2 else most)
        self.transport.write(self._unwritten[:size])
        self._unwritten = self._unwritten[size:]
        if self._unwritten:
            asyncio.get_running_loop().call_soon(self._write_piece)


async def exchange(port: int, connections: int, count: int, first_owner: int, patience: float) -> Exchange:
    """Have ``connections`` exchange ``count`` messages each way, all at once."""
    result = Exchange()
    loop = asyncio.get_running_loop()

    async def one(owner: int) -> None:
        try:
            made = await loop.create_connection(lambda: Peer(port, owner, count, result, patience), "127.0.0.1", port)
            peer = made[1]
            await peer.converse()
        except (OSError, asyncio.TimeoutError, Broken) as error:
            result.problems.append(f"{owner}: {type(error).__name__}: {error}")

    await asyncio.gather(*(one(first_owner + 2 * number) for number in range(connections)))
    return result
