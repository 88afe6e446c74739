"""A read that is one whole compressed message, for somebody who waits: it goes a way of its own (RFC 7692)."""

from __future__ import annotations

import random
import zlib

import pytest

from asgi_upgrade.websocket.connection import Connection, Ending
from asgi_upgrade.websocket.messages import Messages
from tests.unit.line import at_once, compressed, opened, received, step_by_step, waiting
from tests.unit.waiting import turns
from tests.unit.websocket.test_connection_state import make
from tests.unit.websocket.test_whole_messages import KEY, LONG, MAX_SIZE, OTHER, SHORT
from tests.unit.wire import BINARY, CLOSE, PING, RSV1, RSV2, TEXT, frame, header


def connection(max_size: int = MAX_SIZE) -> Connection:
    return make(deflate=True, max_size=max_size)


class Client:
    """Compresses what it sends with what it has sent before."""

    def __init__(self) -> None:
        self._codec = zlib.compressobj(9, zlib.DEFLATED, -12)

    def message(self, payload: bytes, opcode: int = BINARY) -> bytes:
        return frame(opcode, self.payload(payload), mask=KEY, rsv=RSV1)

    def payload(self, payload: bytes) -> bytes:
        return (self._codec.compress(payload) + self._codec.flush(zlib.Z_SYNC_FLUSH))[:-4]


def noise(size: int) -> bytes:
    """Letters of seven bits, which do not get much shorter."""
    return bytes(random.Random(size).choices(range(128), k=size))


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
@pytest.mark.parametrize("size", [0, 1, 100, 140, 160, 1000, 8_000, 9_500, 30_000, 60_000])
def test_a_whole_message(size: int, opcode: int) -> None:
    data = Client().message(noise(size), opcode)
    message = connection().receive_message(data)
    assert message == (noise(size).decode() if opcode == TEXT else noise(size))
    assert [message] == connection().receive_data(data)


@pytest.mark.parametrize("size", [124, 125, 126, 127, 8183, 8184, 8185])
def test_each_length_on_the_wire(size: int) -> None:
    # Not compressed, but stored in one block, and the empty block that ends a message (RFC 1951 §3.2.4).
    stored = b"\x00" + (size - 6).to_bytes(2, "little") + ((size - 6) ^ 0xFFFF).to_bytes(2, "little")
    payload = stored + noise(size - 6) + b"\x00"
    assert len(payload) == size
    assert connection().receive_message(frame(BINARY, payload, mask=KEY, rsv=RSV1)) == noise(size - 6)


def test_both_ways_know_what_came_before() -> None:
    client, server = Client(), connection()
    for number in range(12):
        payload = f"the same words each time, and then {number}".encode()
        data = client.message(payload)
        if number % 3:
            assert server.receive_message(data) == payload
            assert not server.midway
        else:
            assert server.receive_data(data) == [payload]


def test_a_message_with_a_fault_is_inflated_once() -> None:
    """A second time, what is repeated in it would be something else, and no fault."""
    bad, good = b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", b"abcdefgh"
    client, server = Client(), connection()
    assert server.receive_data(client.message(b"-" + bad + good)) == [b"-" + bad + good]
    data = client.message(bad, TEXT)
    assert server.receive_message(data) is None
    assert server.receive_data(data) == [Ending(1007, "text is not valid UTF-8", failed=True)]
    assert server.receive_message(data) is None
    assert server.receive_data(data) == []


@pytest.mark.parametrize("size", [0, 20, 125, 126, 1000])
def test_the_longest_that_is_allowed(size: int) -> None:
    server = connection(size)
    assert server.receive_message(Client().message(bytes(size))) == (bytes(size) if size else None)
    server = connection(size)
    data = Client().message(bytes(size + 1))
    assert server.receive_message(data) is None
    assert server.receive_data(data) == [Ending(1009, f"message is longer than {size} bytes", failed=True)]
    assert server.ended


OTHERS = {
    **OTHER,
    "a byte too few": Client().message(b"hello" * 20)[:-1],
    "a byte too many": Client().message(b"hello" * 20) + b"\x82",
    "two": Client().message(b"hello") * 2,
    "a long one's high byte only": header(0x80 | RSV1 | BINARY, 300 + 256, form=2) + KEY + bytes(300),
    "a long one's low byte only": header(0x80 | RSV1 | BINARY, 300 + 1, form=2) + KEY + bytes(300),
    "the long form for a short one": header(0x80 | RSV1 | BINARY, 20, form=2) + KEY + bytes(20),
    "the long form, as long as the short form would be": header(0x80 | RSV1 | BINARY, 124, form=2) + KEY + bytes(124),
    "a part of a message": frame(BINARY, Client().payload(b"hello"), mask=KEY, rsv=RSV1, fin=False),
    "a part of a long message": frame(BINARY, Client().payload(noise(300)), mask=KEY, rsv=RSV1, fin=False),
    "a continuation": frame(0, b"hello", mask=KEY, rsv=RSV1),
    "a long continuation": frame(0, bytes(300), mask=KEY, rsv=RSV1),
    "an opcode that does not exist": frame(3, Client().payload(b"hello"), mask=KEY, rsv=RSV1),
    "a compressed ping": frame(PING, b"hello", mask=KEY, rsv=RSV1),
    "a compressed close frame": frame(CLOSE, b"\x03\xe8", mask=KEY, rsv=RSV1),
    "another reserved bit": frame(BINARY, Client().payload(b"hello"), mask=KEY, rsv=RSV1 | RSV2),
    "nothing that is compressed": frame(BINARY, b"\xff" * 20, mask=KEY, rsv=RSV1),
    "nothing that is compressed, and long": frame(BINARY, b"\xff" * 300, mask=KEY, rsv=RSV1),
    "no UTF-8": Client().message(b"\xff", TEXT),
    "no UTF-8, and long": Client().message(bytes(range(128, 256)) * 9, TEXT),
    "too many ends of streams": frame(BINARY, b"\x03\x00" * 300, mask=KEY, rsv=RSV1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else_is_as_on_the_general_way(name: str) -> None:
    tried, fresh = connection(), connection()
    assert tried.receive_message(OTHERS[name]) is None
    assert tried.receive_data(OTHERS[name]) == fresh.receive_data(OTHERS[name])
    assert tried.outgoing == fresh.outgoing
    assert (tried.midway, tried.ended) == (fresh.midway, fresh.ended)
    assert tried.receive_message(SHORT) is None or not fresh.ended
    assert tried.receive_data(SHORT) == fresh.receive_data(SHORT)


@pytest.mark.parametrize("data", [SHORT, LONG])
def test_a_message_need_not_be_compressed(data: bytes) -> None:
    assert [connection().receive_message(data)] == connection().receive_data(data)


def test_nothing_is_inflated_where_that_was_not_agreed_on() -> None:
    server = Connection(max_message_size=MAX_SIZE, max_message_frames=8)
    data = Client().message(b"hello")
    assert server.receive_message(data) is None
    assert server.receive_data(data) == [Ending(1002, "reserved bit set", failed=True)]


@pytest.mark.parametrize("counts", [False, True])
def test_a_message_for_somebody_who_was_cancelled_is_inflated_once(counts: bool) -> None:
    @step_by_step
    async def test() -> None:
        client = Client()
        protocol, _ = opened(deflate=True, counts=counts)
        first, *sent = [client.message(f"what repeats, and {number}".encode(), TEXT) for number in range(5)]
        protocol.data_received(first)
        assert at_once(Messages(protocol).receive()) == received("what repeats, and 0")
        task = await waiting(protocol)
        task.cancel()
        for data in sent:
            protocol.data_received(data)
        await turns(3)
        assert task.cancelled()
        messages = Messages(protocol)
        for number in range(1, 5):
            assert at_once(messages.receive()) == received(f"what repeats, and {number}")
        assert protocol.messages_received == 5 * counts
        assert protocol.bytes_received == sum(map(len, (first, *sent))) * counts

    test()


def test_a_message_for_somebody_who_was_cancelled_fills_the_queue() -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_queue_size=1000)
        task = await waiting(protocol)
        task.cancel()
        protocol.data_received(compressed(bytes(1000)))
        assert line.told == ["pause_reading"]

    test()


@pytest.mark.parametrize(
    ("data", "code"), [(frame(BINARY, b"\xff" * 20, rsv=RSV1), 1007), (compressed(bytes(2000)), 1009)]
)
def test_a_fault_is_told_to_both(data: bytes, code: int) -> None:
    @step_by_step
    async def test() -> None:
        protocol, line = opened(deflate=True, max_message_size=1999)
        task = await waiting(protocol)
        protocol.data_received(data)
        await turns(3)
        assert task.done()
        assert task.result()["code"] == code
        assert [each.payload[:2] for each in line.frames] == [code.to_bytes(2, "big")]

    test()
