"""The bytes that wait for the application: when they pause reading, however the messages came and went."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from asgi_upgrade.websocket.messages import Messages
from tests.unit.line import at_once, compressed, opened, received, step_by_step, waiting
from tests.unit.waiting import turns
from tests.unit.wire import BINARY, frame


def binary(size: int) -> bytes:
    return frame(BINARY, bytes(size))


class Counted(list[str | bytes]):
    """A list that counts how many of its items were looked at."""

    looks = 0

    def __iter__(self) -> Iterator[str | bytes]:
        for item in super().__iter__():
            self.looks += 1
            yield item


def test_a_message_for_a_long_queue_costs_as_much_as_one_for_a_short_queue() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=1001)
        protocol.queue = queue = Counted()
        for _ in range(1000):
            protocol.data_received(binary(5))
        assert len(queue) == 1000
        assert line.told == []
        assert queue.looks < 10

    test()


@pytest.mark.parametrize(("size", "pauses"), [(39, False), (40, True)])
def test_a_message_that_came_for_somebody_who_waits_counts_until_it_is_taken(size: int, pauses: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=100)
        task = await waiting(protocol)
        protocol.data_received(binary(60))
        protocol.data_received(binary(size))
        assert line.told == ["pause_reading"] * pauses
        await turns(3)
        assert task.done()
        assert task.result() == received(bytes(60))

    test()


@pytest.mark.parametrize(("size", "pauses"), [(54, False), (55, True)])
def test_messages_of_several_reads_count_together(size: int, pauses: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=200)
        protocol.data_received(binary(30) * 3)
        protocol.data_received(binary(55) + binary(size))
        assert line.told == ["pause_reading"] * pauses

    test()


@pytest.mark.parametrize(("size", "pauses"), [(39, False), (40, True)])
def test_messages_that_were_taken_do_not_count(size: int, pauses: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue_size=100)
        messages = Messages(protocol)
        protocol.data_received(binary(30) * 3)
        for _ in range(50):
            assert at_once(messages.receive()) == received(bytes(30))
            protocol.data_received(binary(30))
            assert line.told == []
        assert at_once(messages.receive()) == received(bytes(30))
        protocol.data_received(binary(size))
        assert line.told == ["pause_reading"] * pauses
        assert len(protocol.queue) == 3

    test()


def test_messages_that_were_taken_before_the_pause_do_not_make_it_longer() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(max_queue=4, max_queue_size=100)
        messages = Messages(protocol)
        protocol.data_received(binary(60) + binary(1) * 2)
        assert at_once(messages.receive()) == received(bytes(60))
        assert line.told == []
        protocol.data_received(binary(1) * 2)
        assert line.told == ["pause_reading"], "of the number of messages"
        assert at_once(messages.receive()) == received(bytes(1))
        assert line.told == ["pause_reading"]
        assert at_once(messages.receive()) == received(bytes(1))
        assert line.told == ["pause_reading", "resume_reading"]

    test()


@pytest.mark.parametrize(("size", "pauses"), [(49, False), (50, True)])
def test_compressed_messages_count_as_long_as_they_are(size: int, pauses: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=1000)
        for sizes in ((400, 400), (150, size)):
            assert line.told == []
            protocol.data_received(b"".join(compressed(bytes(each)) for each in sizes))
        assert line.told == ["pause_reading"] * pauses
        assert len(protocol.queue) == 4

    test()
