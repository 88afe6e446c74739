"""The same streams through a real connection, with an application that echoes: what comes back is what the RFC says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from asgi_upgrade.websocket.messages import Messages
from tests.fuzz.model import Rules, read
from tests.fuzz.streams import CUTS, STREAMS, cut
from tests.unit.connected import LOOPS, connected, run
from tests.unit.wire import CLOSE, PONG, TEXT

if TYPE_CHECKING:
    from asgi_upgrade.websocket.protocol import WebSocketProtocol

MAX_SIZE = 150
MAX_FRAMES = 4


async def echo(protocol: WebSocketProtocol) -> tuple[int, str]:
    while (message := await Messages(protocol).receive())["type"] == "websocket.receive":
        await Messages(protocol).send({**message, "type": "websocket.send"})
    return message["code"], message["reason"]


@pytest.mark.parametrize("loop", list(LOOPS))
@settings(deadline=None)
@given(stream=STREAMS, cuts=CUTS)
def test_what_comes_back(loop: str, stream: bytes, cuts: list[int]) -> None:
    reading = read(stream, Rules(max_size=MAX_SIZE, max_frames=MAX_FRAMES))

    async def test() -> None:
        async with connected(max_message_size=MAX_SIZE, max_frames=MAX_FRAMES) as (protocol, client):
            app = asyncio.ensure_future(echo(protocol))
            for piece in cut(stream, cuts):
                await client.send(piece)
                await asyncio.sleep(0)
            client.end()
            frames = await client.receive_end()
            code, reason = await app

            data = [each for each in frames if each.opcode not in (PONG, CLOSE)]
            assert [each.payload.decode() if each.opcode == TEXT else each.payload for each in data] == reading.messages
            assert [each.payload for each in frames if each.opcode == PONG] == reading.pings
            if not reading.broken and reading.closed is None:
                # It ended without a close frame, so there is none in answer.
                assert (code, reason) == (1006, "")
                assert len(frames) == len(reading.messages) + len(reading.pings)
                return
            *_, last = frames
            assert last.opcode == CLOSE
            sent = int.from_bytes(last.payload[:2], "big") or 1005
            assert sent == code
            if reading.closed is None:
                assert code in reading.broken
                assert last.payload[2:].decode() == reason != ""
            else:
                assert (code, reason) == reading.closed
            assert len(frames) == len(reading.messages) + len(reading.pings) + 1

    run(loop, test)
