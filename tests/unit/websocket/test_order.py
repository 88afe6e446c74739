"""Messages are taken in the order in which they have come, whoever waits, is cancelled, or comes first."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from asgi_upgrade.websocket.messages import Messages
from tests.unit.connected import Test, connected
from tests.unit.waiting import turns
from tests.unit.wire import TEXT, close, frame

if TYPE_CHECKING:
    from collections.abc import Callable


def texts(*numbers: int) -> bytes:
    return b"".join(frame(TEXT, str(number).encode()) for number in numbers)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_receive_that_is_cancelled_when_it_was_woken_leaves_the_order(
    on_loop: Callable[[Test], None], count: int
) -> None:
    """And another one is called before the cancelled one has run."""

    async def test() -> None:
        async with connected() as (protocol, _):
            for start in range(0, 20 * count, count):
                waiting = asyncio.ensure_future(Messages(protocol).receive())
                await asyncio.sleep(0)
                protocol.data_received(texts(*range(start, start + count)))
                waiting.cancel()
                for number in range(start, start + count):
                    assert (await Messages(protocol).receive())["text"] == str(number)
                with suppress(asyncio.CancelledError):
                    await waiting

    on_loop(test)


def test_a_receive_beside_something_else_that_comes_first_loses_nothing(on_loop: Callable[[Test], None]) -> None:
    """The widespread loop over `asyncio.wait`, with the first to finish, and a message at the same moment."""

    async def test() -> None:
        async with connected() as (protocol, client):
            count = 3000
            taken: list[int] = []

            async def send() -> None:
                for number in range(0, count, 2):
                    await client.send(texts(number, number + 1))
                    await asyncio.sleep(0)

            sender = asyncio.ensure_future(send())
            while len(taken) < count:
                receive = asyncio.ensure_future(Messages(protocol).receive())
                other = asyncio.ensure_future(asyncio.sleep(0))
                done, _ = await asyncio.wait({receive, other}, return_when=asyncio.FIRST_COMPLETED)
                if receive in done:
                    taken.append(int(receive.result()["text"]))
                else:
                    receive.cancel()
                    # Not awaited before the next one is called, unless it was too late to cancel it.
                    following = asyncio.ensure_future(Messages(protocol).receive())
                    await asyncio.wait([receive])
                    if not receive.cancelled():
                        taken.append(int(receive.result()["text"]))
                    taken.append(int((await following)["text"]))
                other.cancel()
            await sender
            assert taken == list(range(count))

    on_loop(test)


@pytest.mark.parametrize("cancelled", [[], [0], [1], [0, 1], [0, 2], [3]])
def test_those_who_wait_at_the_same_time_are_served_in_turn(
    on_loop: Callable[[Test], None], cancelled: list[int]
) -> None:
    async def test() -> None:
        async with connected() as (protocol, _):
            taken: list[str] = []

            async def take() -> None:
                taken.append((await Messages(protocol).receive())["text"])

            takers = [asyncio.ensure_future(take()) for _ in range(4)]
            await asyncio.sleep(0)
            protocol.data_received(texts(0, 1))
            for number in cancelled:
                takers[number].cancel()
            protocol.data_received(texts(2, 3))
            takers.extend([asyncio.ensure_future(take()) for _ in cancelled])
            await asyncio.wait(takers)
            assert taken == ["0", "1", "2", "3"]

    on_loop(test)


def test_one_who_was_woken_and_finds_nothing_waits_again(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, _):
            waiting = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0)
            protocol.data_received(texts(1))
            assert (await Messages(protocol).receive())["text"] == "1"
            await turns()
            assert not waiting.done()
            protocol.data_received(texts(2))
            assert (await waiting)["text"] == "2"

    on_loop(test)


def test_the_end_wakes_all_who_wait_after_the_messages(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(answer_timeout=0.1) as (protocol, _):
            takers = [asyncio.ensure_future(Messages(protocol).receive()) for _ in range(3)]
            await asyncio.sleep(0)
            protocol.data_received(texts(1) + close(1000))
            messages = await asyncio.gather(*takers)
            assert [message["type"] for message in messages] == ["websocket.receive"] + ["websocket.disconnect"] * 2

    on_loop(test)


@pytest.mark.parametrize("size", [1, 100])
def test_a_long_message_that_somebody_waits_for_does_not_pause_reading(
    on_loop: Callable[[Test], None], size: int
) -> None:
    async def test() -> None:
        async with connected(max_queue_size=10) as (protocol, _):
            waiting = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0)
            protocol.data_received(frame(TEXT, b"x" * size))
            assert not protocol.reading_paused
            await waiting
            protocol.data_received(frame(TEXT, b"x" * 100))
            assert protocol.reading_paused
            await Messages(protocol).receive()
            assert not protocol.reading_paused

    on_loop(test)


def test_a_long_message_for_somebody_who_was_cancelled_pauses_reading(on_loop: Callable[[Test], None]) -> None:
    """Nobody waits for it, and it fills the queue."""

    async def test() -> None:
        async with connected(max_queue_size=100) as (protocol, _):
            waiting = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0)
            waiting.cancel()
            protocol.data_received(frame(TEXT, b"x" * 100))
            assert protocol.reading_paused
            with suppress(asyncio.CancelledError):
                await waiting
            assert (await Messages(protocol).receive())["text"] == "x" * 100
            assert not protocol.reading_paused

    on_loop(test)


def test_who_asks_behind_the_end_is_answered_whoever_else_asks(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(close(1000))
            messages = Messages(protocol)
            assert (await messages.receive())["type"] == "websocket.disconnect"
            asking = asyncio.ensure_future(messages.receive())
            for _ in range(10):
                await asyncio.sleep(0)
                assert (await messages.receive())["type"] == "websocket.disconnect"
            assert asking.done()

    on_loop(test)


def test_those_who_take_from_a_full_queue_are_served_in_turn(on_loop: Callable[[Test], None]) -> None:
    """Also where the first of them has to wait for a turn of the event loop, because much has been taken."""

    async def test() -> None:
        async with connected(max_queue=32) as (protocol, _):
            protocol.data_received(texts(*range(64)))
            messages = await asyncio.gather(*(Messages(protocol).receive() for _ in range(5)))
            assert [message["text"] for message in messages] == ["0", "1", "2", "3", "4"]

    on_loop(test)
