"""What the frames of one client can make a server hold or burn."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.server.support.process import uvicorn
from tests.server.support.usage import memory

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
        time.sleep(0.3)
        fresh.settle()
        assert memory(pid) - before < 4 * MEBIBYTE + count * 160 * KIBIBYTE
        rest = bytes(MEBIBYTE - 20_000)
        for websocket in websockets[::9]:
            websocket.send(rest)
            message = websocket.receive_message()
            assert message == (bytes(MEBIBYTE) if opcode == 2 else "\0" * MEBIBYTE)
