"""What counts as a sign of life, while the client cannot answer a ping, or we could not have seen its answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.system.progress import measure
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.messages import Messages
from tests.unit.connected import Client, Test, connected
from tests.unit.waiting import PATIENCE, until
from tests.unit.wire import BINARY, PING, PONG, TEXT, frame, read_frames

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_BUFFER = 4096  # the kernel doubles it
PING_BYTES = b"\x89\x00"


def binary(data: bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "bytes": data}


async def discard(client: Client) -> None:
    """Read until the end, and answer nothing."""
    while await client.receive(1 << 20):
        pass


@pytest.mark.parametrize("late", [-0.02, 0.02, 0.1, 0.5])
def test_an_answer_that_the_loop_has_not_read_yet_is_an_answer(on_loop: Callable[[Test], None], late: float) -> None:
    """Something holds the loop up until the time for the answer is over, or nearly."""

    async def test() -> None:
        timeout = 0.4
        async with connected(ping_interval=timeout, ping_timeout=timeout) as (protocol, client):
            assert await client.receive_exactly(2) == PING_BYTES
            pinged = time.monotonic()
            # The client answers at once. The loop has no turn until the time is over.
            client.socket.send(frame(PONG))
            time.sleep(max(pinged + timeout + late - time.monotonic(), 0))  # noqa: ASYNC251 - that is what this is about
            receiving = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0.05)
            assert not receiving.done()
            receiving.cancel()

    on_loop(test)


@pytest.mark.parametrize("late", [-0.02, 0.02, 0.1])
def test_an_answer_behind_messages_for_a_slow_application_is_an_answer(
    on_loop: Callable[[Test], None], late: float
) -> None:
    """Reading has been paused the whole time, and the application takes the messages right before it is up."""

    async def test() -> None:
        timeout = 0.4
        async with connected(ping_interval=timeout, ping_timeout=timeout, max_queue=2) as (protocol, client):
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"two"))
            await until(lambda: protocol.reading_paused)
            assert await client.receive_exactly(2) == PING_BYTES
            pinged = time.monotonic()
            await client.send(frame(TEXT, b"three") + frame(PONG))
            await asyncio.sleep(timeout * 0.8)
            time.sleep(max(pinged + timeout + late - time.monotonic(), 0))  # noqa: ASYNC251
            for expected in ("one", "two", "three"):
                assert (await Messages(protocol).receive())["text"] == expected
            receiving = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0.05)
            assert not receiving.done()
            receiving.cancel()

    on_loop(test)


def test_an_application_that_is_slow_for_long_does_not_cost_the_client_its_connection(
    on_loop: Callable[[Test], None],
) -> None:
    """It takes a message now and then, at every possible moment between two looks."""

    async def test() -> None:
        async with connected(ping_interval=0.03, ping_timeout=0.1, max_queue=1) as (protocol, client):
            count = 60

            async def write() -> None:
                for number in range(count):
                    await client.send(frame(TEXT, str(number).encode()))

            writing = asyncio.ensure_future(write())
            for number in range(count):
                assert (await Messages(protocol).receive())["text"] == str(number)
                await asyncio.sleep(0.007 * (number % 9))
            await writing

    on_loop(test)


def test_a_client_that_takes_what_is_in_front_of_the_ping_is_alive(on_loop: Callable[[Test], None]) -> None:
    """Although what waits for it becomes more all the time, and never so much that the application is paused."""

    async def test() -> None:
        settings: dict[str, Any] = {"ping_interval": 0.1, "ping_timeout": 1.2, "write_buffer_size": 1 << 20}
        async with connected(socket_buffer=SMALL_BUFFER, **settings) as (protocol, client):
            transport = client.server_transport
            receiving = asyncio.ensure_future(Messages(protocol).receive())
            until = time.monotonic() + 3
            level = 400_000
            seen = b""
            while time.monotonic() < until:
                while transport.get_write_buffer_size() < level:
                    await Messages(protocol).send(binary(bytes(1000)))
                    await asyncio.sleep(0)
                level += 200
                seen += await client.receive(2000)
                await asyncio.sleep(0.02)
            assert not receiving.done()
            assert seen.count(PING_BYTES) < 3, "the ping is behind everything else"
            receiving.cancel()

    on_loop(test)


def test_a_client_whose_system_takes_everything_must_answer(on_loop: Callable[[Test], None]) -> None:
    """What is behind the ping is no sign: a program that hangs has a system that goes on taking."""

    async def test() -> None:
        async with connected(ping_interval=0.1, ping_timeout=0.3) as (protocol, client):
            reading = asyncio.ensure_future(discard(client))
            receiving = asyncio.ensure_future(Messages(protocol).receive())
            start = time.monotonic()
            while not receiving.done():
                assert time.monotonic() - start < PATIENCE
                with suppress(ClientDisconnected):
                    await Messages(protocol).send(binary(b"tick"))
                await asyncio.sleep(0.01)
            assert receiving.result() == {
                "type": "websocket.disconnect",
                "code": 1011,
                "reason": "keepalive ping timeout",
            }
            reading.cancel()

    on_loop(test)


def test_a_busy_loop_with_a_client_that_answers(on_loop: Callable[[Test], None]) -> None:
    """Something holds the loop up again and again, for less than it takes to be conspicuous."""

    async def test() -> None:
        async with connected(ping_interval=0.05, ping_timeout=0.1) as (protocol, client):
            receiving = asyncio.ensure_future(Messages(protocol).receive())
            until = time.monotonic() + 1.5

            async def answer() -> None:
                while data := await client.receive():
                    for got in read_frames(data):
                        assert got.opcode == PING
                        await asyncio.sleep(0.03)
                        await client.send(frame(PONG))

            answering = asyncio.ensure_future(answer())
            while time.monotonic() < until:
                time.sleep(0.045)  # noqa: ASYNC251
                await asyncio.sleep(0)
            assert not receiving.done()
            receiving.cancel()
            answering.cancel()

    on_loop(test)


def test_progress_is_what_has_been_acknowledged(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER) as (protocol, client):
            before = measure(client.server_transport)
            assert before is not None
            await client.send(frame(BINARY, b"x" * 100))
            await Messages(protocol).send(binary(bytes(100_000)))
            after = measure(client.server_transport)
            assert after is not None
            assert after.received - before.received == 106
            assert after.taken + after.waiting - before.taken == 100_010
            assert after.waiting > 0
            await client.receive_exactly(100_010)

            def taken() -> bool:
                end = measure(client.server_transport)
                assert end is not None
                return (end.taken - before.taken, end.waiting) == (100_010, 0)

            await until(taken)

    on_loop(test)
