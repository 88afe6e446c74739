"""`Messages` step by step: when the application waits, and for what."""

from __future__ import annotations

import asyncio
import gc
from collections import ChainMap, UserDict
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import Phase
from tests.unit.line import (
    CLOSING,
    Line,
    Opening,
    at_once,
    binary,
    disconnect,
    opened,
    received,
    soon,
    step_by_step,
    the_loop,
    waiting,
    waits,
)
from tests.unit.waiting import turns
from tests.unit.wire import BINARY, CLOSE, TEXT, Frame, close, frame


@pytest.mark.parametrize("limit", [1, 1000])
@pytest.mark.parametrize(("opcode", "data"), [(TEXT, "one"), (BINARY, b"one")])
def test_what_is_there_is_given_at_once(limit: int, opcode: int, data: str | bytes) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(max_queue=limit)
        protocol.data_received(frame(opcode, b"one"))
        assert at_once(Messages(protocol).receive()) == received(data)

    test()


def test_who_takes_without_end_waits_for_one_turn_at_times() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened(max_queue=1)
        protocol.data_received(b"".join(frame(TEXT, str(number).encode()) for number in range(33)))
        messages = Messages(protocol)
        assert at_once(messages.receive()) == received("0")
        assert waits(messages.receive())
        task = await waiting(protocol)
        assert not task.done()
        await asyncio.sleep(0)
        assert task.done()
        assert task.result() == received("1")
        assert at_once(messages.receive()) == received("2")

    test()


def test_who_asks_behind_the_end_waits_for_one_turn() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        protocol.data_received(close(1000, b"bye"))
        messages = Messages(protocol)
        assert at_once(messages.receive()) == disconnect(1000, "bye")
        for _ in range(2):
            assert waits(messages.receive())
            task = await waiting(protocol)
            assert not task.done()
            await asyncio.sleep(0)
            assert task.done()
            assert task.result() == disconnect(1000, "bye")

    test()


@pytest.mark.parametrize("woken", [False, True])
def test_a_receive_that_is_cancelled_leaves_the_message_to_the_next(woken: bool) -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        first, second = await waiting(protocol), await waiting(protocol)
        if woken:
            protocol.data_received(frame(TEXT, b"1"))
            first.cancel()
        else:
            first.cancel()
            await turns(3)
            protocol.data_received(frame(TEXT, b"1"))
        await turns(3)
        assert first.cancelled()
        assert second.done()
        assert second.result() == received("1")

    test()


def test_a_receive_that_is_cancelled_leaves_nothing_behind() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        tasks = [await waiting(protocol) for _ in range(5)]
        assert the_loop().futures
        while tasks:
            task = tasks.pop()
            task.cancel()
            await turns(3)
            assert task.cancelled()
            del task
        gc.collect()
        assert not the_loop().futures

    test()


@pytest.mark.parametrize("kind", [UserDict, MappingProxyType, ChainMap])
def test_any_mapping_is_a_message(kind: Callable[[Any], Any]) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(write_buffer_size=1024)
        messages = Messages(protocol)
        at_once(messages.send(kind(binary(b"1"))))
        await soon(messages.send(kind({"type": "websocket.send", "text": "2"})))
        await soon(messages.send(kind(CLOSING)))
        assert line.frames == [Frame(BINARY, b"1"), Frame(TEXT, b"2"), Frame(CLOSE, b"\x03\xe8")]

    test()


def test_a_close_before_the_handshake_has_been_told_is_ours() -> None:
    """The transport is there already: the handshake has nothing more to send."""

    @step_by_step
    async def test() -> None:
        opening = Opening()
        protocol, line = opened(handshake=opening)
        at_once(Messages(protocol).send(CLOSING))
        assert opening.sent == []
        assert line.frames == [Frame(CLOSE, b"\x03\xe8")]
        assert protocol.phase is Phase.CLOSING

    test()


class FillsUp(Line):
    """Takes so many writes, and then has the protocol pause. That may be in any step of `send`."""

    room = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.room -= 1
        if not self.room:
            self._protocol.pause_writing()


def test_whatever_step_has_filled_the_transport_the_next_send_waits() -> None:
    @step_by_step
    async def test() -> None:
        for room in range(1, 160, 7):
            line = FillsUp()
            line.room = room
            protocol, _ = opened(line, write_buffer_size=2500)
            messages = Messages(protocol)
            sends = [asyncio.ensure_future(messages.send(binary(b"1"))) for _ in range(480)]
            await turns(10)
            assert line.room <= 0
            assert waits(messages.send(binary(b"2"))), room
            protocol.resume_writing()
            await asyncio.gather(*sends)
            await turns(3)
            assert line.frames == [Frame(BINARY, b"1")] * 480

    test()


def test_who_has_had_a_share_waits_for_one_turn() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(write_buffer_size=1024)
        messages = Messages(protocol)
        at_once(messages.send(binary(b"1")))
        assert line.frames == [Frame(BINARY, b"1")]
        assert waits(messages.send(binary(b"2")))
        assert len(line.frames) == 1
        sending = messages.send(binary(b"3"))
        assert sending.send(None) is None, "a turn, not a future"
        await asyncio.sleep(0)
        with pytest.raises(StopIteration):
            sending.send(None)
        assert line.frames == [Frame(BINARY, b"1"), Frame(BINARY, b"3")]

    test()


def test_a_close_waits_for_nothing() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(write_buffer_size=1024)
        messages = Messages(protocol)
        at_once(messages.send(binary(b"1")))
        protocol.pause_writing()
        at_once(messages.send(CLOSING))
        assert line.frames == [Frame(BINARY, b"1"), Frame(CLOSE, b"\x03\xe8")]

    test()


def test_a_message_waits_for_a_client_that_takes_nothing() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.pause_writing()
        tasks = [asyncio.ensure_future(Messages(protocol).send(binary(bytes([number])))) for number in range(3)]
        await turns(3)
        assert not any(task.done() for task in tasks)
        tasks[1].cancel()
        await turns(3)
        assert tasks[1].cancelled()
        assert line.written == []
        protocol.resume_writing()
        await turns(3)
        assert tasks[0].done()
        assert tasks[2].done()
        assert line.frames == [Frame(BINARY, b"\0"), Frame(BINARY, b"\2")]

    test()


def test_a_client_that_still_takes_nothing_is_waited_for_again() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        protocol.pause_writing()
        task = asyncio.ensure_future(Messages(protocol).send(binary(b"1")))
        await turns(3)
        protocol.resume_writing()
        protocol.pause_writing()
        await turns(3)
        assert not task.done()
        protocol.connection_lost(None)
        await turns(3)
        assert task.done()
        with pytest.raises(ClientDisconnected) as caught:
            task.result()
        assert caught.value.code == 1006
        assert line.written == []

    test()


def test_a_send_that_is_cancelled_leaves_nothing_behind() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        protocol.pause_writing()
        tasks = [asyncio.ensure_future(Messages(protocol).send(binary(b"1"))) for _ in range(5)]
        await turns(3)
        assert the_loop().futures
        while tasks:
            task = tasks.pop()
            task.cancel()
            await turns(3)
            assert task.cancelled()
            del task
        gc.collect()
        assert not the_loop().futures

    test()


def test_the_end_is_waited_for() -> None:
    @step_by_step
    async def test() -> None:
        protocol, _ = opened()
        messages = Messages(protocol)
        first, second = (asyncio.ensure_future(messages.wait_closed()) for _ in range(2))
        await turns(3)
        first.cancel()
        await turns(3)
        assert first.cancelled()
        assert not second.done()
        protocol.connection_lost(None)
        await turns(3)
        assert second.done()
        assert second.result() is None
        assert at_once(messages.wait_closed()) is None
        assert await soon(messages.receive()) == disconnect(1006)

    test()
