"""What a connection counts: messages, and bytes as they are on the wire, each way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.websocket.messages import Messages
from tests.unit.connected import LOOPS, Client, connected, run
from tests.unit.wire import BINARY, CONTINUATION, PING, PONG, TEXT, close, frame

if TYPE_CHECKING:
    from asgi_upgrade.websocket.protocol import WebSocketProtocol

on_both_loops = pytest.mark.parametrize("loop", LOOPS)


async def echo(protocol: WebSocketProtocol, count: int) -> None:
    for _ in range(count):
        message: Any = await Messages(protocol).receive()
        await Messages(protocol).send({**message, "type": "websocket.send"})


@on_both_loops
@pytest.mark.parametrize("together", [True, False], ids=["in one segment", "one by one"])
@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflate"])
def test_each_message_and_each_byte_is_counted_once(loop: str, together: bool, deflate: bool) -> None:
    # Short, longer than a short header says, with a ping between its frames, and read into buffers of ours.
    wire = [
        frame(TEXT, "grün".encode()),
        frame(BINARY, b"x" * 1000),
        frame(TEXT, b"one ", fin=False) + frame(PING, b"!") + frame(CONTINUATION, b"two"),
        frame(BINARY, b"y" * 300_000),
    ]

    async def test() -> None:
        async with connected(deflate=deflate) as (protocol, client):
            echoing = asyncio.ensure_future(echo(protocol, len(wire)))
            received = 0
            for data in [b"".join(wire)] if together else wire:
                await client.send(data)
                received += await answers(client, len(wire) if together else 1)
            await echoing
            assert protocol.messages_received == protocol.messages_sent == len(wire)
            assert protocol.bytes_received == len(b"".join(wire))
            assert protocol.bytes_sent == received

            await client.send(close(1000))
            assert (await Messages(protocol).receive())["type"] == "websocket.disconnect"
            assert protocol.bytes_received == len(b"".join(wire)) + len(close(1000))
            assert protocol.bytes_sent == received + 4, "our close frame"
            assert protocol.messages_received == protocol.messages_sent == len(wire)

    run(loop, test)


async def answers(client: Client, messages: int) -> int:
    """Read frames until so many messages have come; give how many bytes that was."""
    size = 0
    while messages:
        head = await client.receive_exactly(2)
        more = {126: 2, 127: 8}.get(head[1], 0)
        length = await client.receive_exactly(more)
        payload = int.from_bytes(length, "big") if more else head[1]
        await client.receive_exactly(payload)
        size += 2 + more + payload
        messages -= head[0] & 0x0F != PONG
    return size


@on_both_loops
def test_messages_that_nobody_takes_are_counted_too(loop: str) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(TEXT, b"unread") * 3)
            await Messages(protocol).receive()
            assert protocol.messages_received == 3
            assert protocol.bytes_received == 3 * len(frame(TEXT, b"unread"))
            assert protocol.messages_sent == protocol.bytes_sent == 0

    run(loop, test)


@on_both_loops
def test_what_is_sent_in_one_turn_is_counted_message_by_message(loop: str) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            for size in (1, 200, 70_000):
                for _ in range(3):
                    await Messages(protocol).send({"type": "websocket.send", "bytes": bytes(size)})
            assert await answers(client, 9) == protocol.bytes_sent == 3 * (2 + 1 + 4 + 200 + 10 + 70_000)
            assert protocol.messages_sent == 9

    run(loop, test)


@on_both_loops
def test_without_counts_everything_goes_on_and_the_numbers_are_0(loop: str) -> None:
    wire = [frame(TEXT, b"hello"), frame(BINARY, b"x" * 1000), frame(BINARY, b"y" * 300_000), frame(PING, b"!")]

    async def test() -> None:
        async with connected(counts=False) as (protocol, client):
            echoing = asyncio.ensure_future(echo(protocol, 3))
            await client.send(b"".join(wire))
            assert await answers(client, 3)
            await echoing
            assert protocol.counts is None
            numbers = protocol.messages_received, protocol.bytes_received, protocol.messages_sent, protocol.bytes_sent
            assert numbers == (0, 0, 0, 0)

    run(loop, test)
