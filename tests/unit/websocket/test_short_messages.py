"""Short messages that a function in C encodes; where there is none, one in Python stands in for it here."""

from __future__ import annotations

from typing import Any

import pytest

import asgi_upgrade
from asgi_upgrade.websocket import connection, protocol
from asgi_upgrade.websocket.connection import MESSAGE_COST
from asgi_upgrade.websocket.messages import Messages
from tests.unit.line import CLOSING, at_once, binary, opened, soon, step_by_step, waits
from tests.unit.waiting import turns
from tests.unit.wire import BINARY, CLOSE, TEXT, Frame, frame


class Encoder:
    """Does what `frames.encode_short` promises.

    Attributes:
        took: How many messages it has encoded.
    """

    def __init__(self) -> None:
        self.took = 0

    def __call__(self, message: dict[str, Any], outgoing: list[Any]) -> int:
        data = message.get("bytes")
        if message["type"] != "websocket.send" or type(data) is not bytes or len(data) > 125:
            return -1
        outgoing.append(frame(BINARY, data, mask=None))
        self.took += 1
        return len(data)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    """What compiled code does not look at."""
    encoder = Encoder()
    for module in (connection, protocol):
        monkeypatch.setattr(module, "encode_short", encoder)
    return encoder


def test_short_and_other_messages_leave_in_order(encoder: Encoder) -> None:
    @step_by_step
    async def test() -> None:
        _, line = await send(binary(b"1"), {"type": "websocket.send", "text": "é"}, binary(bytes(126)), binary(b""))
        whole = [Frame(BINARY, b"1"), Frame(TEXT, "é".encode()), Frame(BINARY, bytes(126)), Frame(BINARY, b"")]
        assert line.frames == whole
        assert len(line.written) == 1
        assert encoder.took == (0 if asgi_upgrade.compiled else 2)

    test()


async def send(*messages: dict[str, Any], **options: Any) -> Any:
    protocol, line = opened(**options)
    for message in messages:
        assert at_once(Messages(protocol).send(message)) is None
    await turns(2)
    return protocol, line


@pytest.mark.parametrize("size", [0, 125])
def test_they_are_part_of_the_share(size: int) -> None:
    @step_by_step
    async def test() -> None:
        cost = size + MESSAGE_COST
        protocol, line = opened(write_buffer_size=10 * cost)
        messages = Messages(protocol)
        for number in range(10):
            assert line.written == []
            assert at_once(messages.send(binary(bytes(size)))) is None, number
        assert len(line.frames) == 10
        assert waits(messages.send(binary(b"")))

    test()


def test_they_are_counted_as_messages() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = await send(binary(b"1"), binary(b"22"), counts=True)
        assert protocol.messages_sent == 2
        assert protocol.bytes_sent == len(line.written[0]) == 7

    test()


def test_none_is_one_where_messages_may_be_compressed(encoder: Encoder) -> None:
    @step_by_step
    async def test() -> None:
        _, line = await send(binary(b"1"), deflate=True)
        assert [each.payload for each in line.frames] == [b"1"]
        assert encoder.took == 0

    test()


def test_another_type_of_message_is_none() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened()
        await soon(Messages(protocol).send({**CLOSING, "bytes": b"1"}))
        assert [each.opcode for each in line.frames] == [CLOSE]

    test()
