"""However much an application sends or takes without waiting, everything else on its event loop gets its turn."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import WebSocketProtocol
from tests.unit.connected import Client, Test, connected
from tests.unit.waiting import PATIENCE, arrived, turns
from tests.unit.wire import BINARY, frame

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_BUFFER = 4096  # the kernel doubles it


class Turns:
    """Counts the turns of the event loop, and measures the longest."""

    def __init__(self) -> None:
        self.count = 0
        self.longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._last = time.monotonic()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        now = time.monotonic()
        self.count += 1
        self.longest = max(self.longest, now - self._last)
        self._last = now
        self._handle = self._loop.call_soon(self._turn)

    def stop(self) -> None:
        self._handle.cancel()


async def discard(client: Client) -> None:
    """Read until the end."""
    while await client.receive(1 << 20):
        pass


def binary(data: bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "bytes": data}


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(("size", "count", "turns"), [(32, 2000, 25), (1024, 1000, 25), (60_000, 60, 25)])
def test_sending_without_end_gives_the_loop_its_turns(
    on_loop: Callable[[Test], None], size: int, count: int, turns: int, deflate: bool
) -> None:
    """Also with a buffer that would take it all."""

    async def test() -> None:
        async with connected(deflate=deflate, write_buffer_size=1 << 30) as (protocol, client):
            reader = asyncio.ensure_future(discard(client))
            counted = Turns()
            for _ in range(count):
                await Messages(protocol).send(binary(bytes(size)))
            counted.stop()
            assert counted.count >= turns
            reader.cancel()

    on_loop(test)


def test_a_message_at_a_time_waits_for_no_turn(on_loop: Callable[[Test], None]) -> None:
    """What is sent in the ordinary course of things leaves in the turn in which it is sent."""

    async def test() -> None:
        async with connected() as (protocol, _):
            counted = Turns()
            for _ in range(16):
                await Messages(protocol).send(binary(bytes(32)))
            assert counted.count == 0
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            for _ in range(60):
                await Messages(protocol).send(binary(bytes(32)))
            counted.stop()
            assert counted.count <= 3

    on_loop(test)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("size", [32, 1024, 60_000])
def test_a_client_that_vanishes_ends_an_endless_loop(on_loop: Callable[[Test], None], size: int, deflate: bool) -> None:
    async def test() -> None:
        async with connected(deflate=deflate) as (protocol, client):

            async def send_for_ever() -> None:
                while True:
                    await Messages(protocol).send(binary(bytes(size)))

            reader = asyncio.ensure_future(discard(client))
            sender = asyncio.ensure_future(send_for_ever())
            await turns(100)
            assert not sender.done()
            reader.cancel()
            await asyncio.sleep(0)
            client.reset()
            with pytest.raises(ClientDisconnected):
                await asyncio.wait_for(sender, PATIENCE)

    on_loop(test)


# With little room each message is written at once: the connection comes in again and again, and the turn becomes full.
@pytest.mark.parametrize("room", [1024, 65536])
def test_several_tasks_send_in_the_order_in_which_they_have_called(on_loop: Callable[[Test], None], room: int) -> None:
    async def test() -> None:
        async with connected(write_buffer_size=room) as (protocol, client):
            numbers = range(1000)
            calls = [
                asyncio.ensure_future(Messages(protocol).send(binary(number.to_bytes(4, "big")))) for number in numbers
            ]
            for number in numbers:
                assert await client.receive_frame() == (BINARY, number.to_bytes(4, "big"), True, 0)
            await asyncio.gather(*calls)

    on_loop(test)


def test_a_send_that_is_cancelled_while_it_waits_for_its_turn_sends_nothing(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            sent = 0

            async def send_for_ever() -> None:
                nonlocal sent
                while True:
                    await Messages(protocol).send(binary(sent.to_bytes(4, "big")))
                    sent += 1

            sender = asyncio.ensure_future(send_for_ever())
            await asyncio.sleep(0)
            sender.cancel()
            await asyncio.wait([sender])
            assert 0 < sent < 1000
            await Messages(protocol).send(binary(b"last"))
            for number in range(sent):
                assert (await client.receive_frame()).payload == number.to_bytes(4, "big")
            assert (await client.receive_frame()).payload == b"last"

    on_loop(test)


def test_a_full_queue_is_taken_in_turns(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(BINARY, b"x") * 4000)
            await arrived(client.socket)
            counted = Turns()
            for _ in range(4000):
                await Messages(protocol).receive()
            counted.stop()
            assert counted.count >= 4000 // 64

    on_loop(test)


def test_asking_for_ever_after_the_end_gives_the_loop_its_turns(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            client.end()
            counted = Turns()
            for _ in range(50):
                assert (await Messages(protocol).receive())["type"] == "websocket.disconnect"
            counted.stop()
            assert counted.count >= 49

    on_loop(test)


@pytest.mark.parametrize("at_once", [False, True])
def test_the_first_copy_of_a_broadcast_does_not_wait_for_the_last(
    on_loop: Callable[[Test], None], at_once: bool
) -> None:
    async def test() -> None:
        async with AsyncExitStack() as stack:
            pairs = [await stack.enter_async_context(connected()) for _ in range(200)]
            protocols: list[WebSocketProtocol] = [protocol for protocol, _ in pairs]
            first = asyncio.ensure_future(pairs[0][1].receive_frame())
            await asyncio.sleep(0)
            left_to_send = []

            async def broadcast() -> None:
                if at_once:
                    await asyncio.gather(*(Messages(protocol).send(binary(b"news")) for protocol in protocols * 5))
                    return
                for number, protocol in enumerate(protocols * 5):
                    await Messages(protocol).send(binary(b"news"))
                    if first.done():
                        left_to_send.append(5 * len(protocols) - number)

            counted = Turns()
            await broadcast()
            counted.stop()
            if not at_once:
                assert counted.count >= 2
                assert left_to_send
                assert left_to_send[0] > 200
            assert (await first).payload == b"news"

    on_loop(test)


def test_many_tasks_that_send_once_each_do_not_wait_for_each_other(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with AsyncExitStack() as stack:
            pairs = [await stack.enter_async_context(connected()) for _ in range(300)]
            sends = [asyncio.ensure_future(Messages(protocol).send(binary(b"news"))) for protocol, _ in pairs]
            counted = Turns()
            await asyncio.wait(sends)
            counted.stop()
            assert counted.count <= 3
            for _, client in pairs:
                assert (await client.receive_frame()).payload == b"news"

    on_loop(test)
