"""What the frames of one client can make a server hold or burn."""

from __future__ import annotations

import json
import socket
import sys
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.server.support.floods import kernel_buffers, send_until_cut
from tests.server.support.process import uvicorn
from tests.server.support.usage import measured, memory, peak, still
from tests.server.support.websocket import BINARY, PING, TEXT, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

KIBIBYTE, MEBIBYTE = 1024, 1024 * 1024


@pytest.fixture(params=["asyncio", "uvloop"])
def fresh(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server whose memory nobody has used before."""
    with uvicorn("upgraded:app", http="httptools", loop=request.param) as server:
        with server.websocket() as websocket:
            websocket.send_text("hello")
            assert websocket.receive_message() == "hello"
            websocket.finish()
        yield server


@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_memory_follows_what_has_arrived_of_a_frame_not_what_it_announces(fresh: Server, opcode: int) -> None:
    announcement = bytes((0x80 | opcode, 0x80 | 127)) + MEBIBYTE.to_bytes(8, "big") + bytes(4)
    count, pid = 100, fresh.process.pid
    with ExitStack() as stack:
        websockets = [stack.enter_context(fresh.websocket()) for _ in range(count)]
        before = memory(pid)
        for websocket in websockets:
            websocket.send(announcement)
        fresh.settle()
        # The first four may get the buffers of 1 MiB that all connections share.
        assert memory(pid) - before < 4 * MEBIBYTE + count * 32 * KIBIBYTE
        for websocket in websockets:
            websocket.send(bytes(20_000))
            websocket.wait_until_read()
        fresh.settle()
        assert memory(pid) - before < 4 * MEBIBYTE + count * 160 * KIBIBYTE
        rest = bytes(MEBIBYTE - 20_000)
        for websocket in websockets[::9]:
            websocket.send(rest)
            message = websocket.receive_message()
            assert message == (bytes(MEBIBYTE) if opcode == 2 else "\0" * MEBIBYTE)


DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover"}


def compressed(opcode: int, data: bytes) -> bytes:
    """A message of compressed data."""
    message = bytearray(frame(opcode, data))
    message[0] |= 0x40
    return bytes(message)


def bombs(count: int) -> bytes:
    """Messages of 1 MiB, each a number and zeros, in about a kilobyte."""
    deflater = zlib.compressobj(9, wbits=-15)
    zeros = deflater.compress(bytes(MEBIBYTE - 4)) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
    stored = b"\0\4\0\xfb\xff"  # a block of four bytes that is not compressed
    return b"".join(compressed(BINARY, stored + number.to_bytes(4, "big") + zeros) for number in range(count))


@pytest.mark.parametrize("ending", ["message", "close frame"])
def test_compressed_messages_are_not_inflated_before_there_is_room_for_them(fresh: Server, ending: str) -> None:
    """The queue's limits hold for what a message is, not for what came over the wire: 240 KiB of messages of 1 MiB."""
    count, pid = 230, fresh.process.pid
    with fresh.websocket("/wait-for-release", DEFLATE) as websocket, fresh.peer() as other:
        before = peak(pid)
        last = frame(TEXT, b"that was all") if ending == "message" else close_frame(1000)
        websocket.send(bombs(count) + last)
        still(lambda: peak(pid))
        fresh.settle()
        # A queue of 256 KiB, a message of 1 MiB, the pieces it is put together from, and what was read.
        assert peak(pid) - before < 6 * MEBIBYTE
        other.ask("POST", "/release", headers={"Content-Length": "0"})
        if ending == "message":
            assert json.loads(websocket.receive_text()) == {"messages": count, "in order": True}
            websocket.finish()
        else:
            assert websocket.receive_close() == (1000, "")
        assert peak(pid) - before < 8 * MEBIBYTE


def test_compressed_messages_reach_an_application_that_reads(fresh: Server) -> None:
    with fresh.websocket("/echo", DEFLATE) as websocket:
        websocket.send(bombs(20))
        for number in range(20):
            first, second = websocket.receive_exactly(2)
            assert (first, second) == (0xC2, 126), number
            size = int.from_bytes(websocket.receive_exactly(2), "big")
            assert websocket.receive_exactly(size)
        websocket.finish()


@pytest.mark.parametrize("size", [0, 100])
def test_pongs_for_a_client_that_does_not_read_are_bounded(fresh: Server, size: int) -> None:
    """``write_buffer_size``, and what one read brings, not what several reads in one turn of the loop do."""
    pings = frame(PING, bytes(size))
    with fresh.websocket(receive_buffer=16 * 1024) as websocket:
        before = peak(fresh.process.pid)
        rest = websocket.send_until_blocked(pings * (32 * MEBIBYTE // len(pings)))
        assert len(rest) > 8 * MEBIBYTE
        assert peak(fresh.process.pid) - before < 3 * MEBIBYTE
        websocket.reset()


@pytest.mark.parametrize("ending", ["broken frame", "close frame", "message that is too long"])
@pytest.mark.parametrize("patient", [False, True], ids=["at once", "after the answer"])
def test_little_is_read_behind_the_end(fresh: Server, ending: str, patient: bool) -> None:
    last, code = {
        "broken frame": (frame(0xB, b""), 1002),
        "close frame": (close_frame(1000), 1000),
        "message that is too long": (frame(BINARY, b"")[:1] + b"\xff" + (2**40).to_bytes(8, "big") + bytes(4), 1009),
    }[ending]
    with fresh.websocket() as websocket:
        websocket.send(last)
        if patient:
            assert websocket.receive_close()[0] == code
        with measured(fresh.process.pid) as spent:
            sent = send_until_cut(websocket.socket, seconds=60)
        # The longest message, a bit more, and what the kernel may hold at both ends.
        assert sent < 18 * MEBIBYTE + kernel_buffers()
        assert spent.seconds < 1


def test_a_client_in_the_middle_of_a_message_that_is_too_long_learns_why(fresh: Server) -> None:
    """It sends all of it before it reads, as simple clients do."""
    with fresh.websocket() as websocket:
        websocket.send_bytes(bytes(16 * MEBIBYTE + 1))
        assert websocket.receive_close()[0] == 1009
        websocket.socket.shutdown(socket.SHUT_WR)
        assert websocket.socket.recv(1) == b""


@pytest.mark.parametrize("size", [0, 1, 3, 100])
def test_small_messages_for_an_application_that_does_not_read(fresh: Server, size: int) -> None:
    """The queue's limits, and what one read brings: an object is larger than a message of a few bytes."""
    message = frame(BINARY, bytes(range(1, size + 1)))
    with fresh.websocket("/wait-for-release") as websocket:
        before = peak(fresh.process.pid)
        websocket.send_until_blocked(message * (16 * MEBIBYTE // len(message)))
        assert peak(fresh.process.pid) - before < 6 * MEBIBYTE
        websocket.reset()


def test_a_text_takes_up_to_four_times_its_length(fresh: Server) -> None:
    """Python keeps each character in four bytes if one needs them."""
    pid = fresh.process.pid
    with fresh.websocket("/wait-for-release") as websocket:
        before = peak(pid)
        text = "a" * (MEBIBYTE - 8) + "\N{GRINNING FACE}"
        websocket.send(frame(TEXT, text.encode()))
        websocket.wait_until_read()
        fresh.settle()
        assert peak(pid) - before < 16 * MEBIBYTE
        websocket.reset()
