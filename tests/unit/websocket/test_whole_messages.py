"""`Connection.receive_message`: a read that is one whole message, and the way back for anything else."""

from __future__ import annotations

import pytest

from asgi_upgrade.websocket.connection import Connection
from tests.unit.wire import BINARY, CLOSE, PING, PONG, RSV1, TEXT, frame, header

MAX_SIZE = 66_000
KEY = b"\x01\x82\x73\xf4"


def connection(max_size: int = MAX_SIZE) -> Connection:
    return Connection(max_message_size=max_size, max_message_frames=8)


def whole(size: int, opcode: int = BINARY) -> bytes:
    return frame(opcode, bytes(65 + number % 26 for number in range(size)), mask=KEY)


SHORT = whole(5)
LONG = whole(300)


@pytest.mark.parametrize("opcode", [BINARY, TEXT])
@pytest.mark.parametrize("size", [0, 1, 4, 124, 125, 126, 127, 255, 256, 8183, 8184, 8185, 40_000, 65_534, 65_535])
def test_a_whole_message(size: int, opcode: int) -> None:
    data = whole(size, opcode)
    payload = bytes(65 + number % 26 for number in range(size))
    message = connection().receive_message(data)
    assert message == (payload.decode() if opcode == TEXT else payload)
    assert [message] == connection().receive_data(data)


@pytest.mark.parametrize("size", [0, 20, 125, 126, 1000])
def test_the_longest_that_is_allowed(size: int) -> None:
    assert connection(size).receive_message(whole(size)) is not None
    assert connection(size).receive_message(whole(size + 1)) is None
    assert connection(size).receive_data(whole(size + 1)) != []


OTHER = {
    "nothing": b"",
    "a byte": SHORT[:1],
    "half a header": SHORT[:4],
    "a header": SHORT[:6],
    "a byte too few": SHORT[:-1],
    "a byte too many": SHORT + b"\x82",
    "two": SHORT + SHORT,
    "a byte of a long one too few": LONG[:-1],
    "a byte too many behind a long one": LONG + b"\x82",
    "a long one's high byte only": bytes((LONG[0], LONG[1], LONG[2] + 1)) + LONG[3:],
    "a long one's low byte only": LONG[:3] + bytes((LONG[3] + 1,)) + LONG[4:],
    "as long as 64 KiB": whole(65_536),
    "the long form for a short one": header(0x80 | BINARY, 20, form=2) + KEY + bytes(20),
    "the long form for the longest short one": header(0x80 | BINARY, 125, form=2) + KEY + bytes(125),
    "the long form, as long as the short form would be": header(0x80 | BINARY, 124, form=2) + KEY + bytes(124),
    "a part of a message": frame(BINARY, b"hello", mask=KEY, fin=False),
    "a part of a long message": frame(BINARY, bytes(300), mask=KEY, fin=False),
    "a continuation": frame(0, b"hello", mask=KEY),
    "compressed": frame(BINARY, b"hello", mask=KEY, rsv=RSV1),
    "compressed and long": frame(BINARY, bytes(300), mask=KEY, rsv=RSV1),
    "a ping": frame(PING, b"hello", mask=KEY),
    "a pong": frame(PONG, b"hello", mask=KEY),
    "a close frame": frame(CLOSE, b"\x03\xe8", mask=KEY),
    "a ping that is too long": frame(PING, bytes(300), mask=KEY),
    "no UTF-8": frame(TEXT, b"\xff", mask=KEY),
    "no UTF-8, and long": frame(TEXT, b"\xff" * 300, mask=KEY),
    "a frame without a mask": bytes((0x80 | BINARY, 5)) + b"hello",
    # What stands there for the length is as much as a mask would make of the bytes that there are.
    **{f"{size} bytes without a mask": bytes((0x80 | BINARY, size + 122)) + bytes(size - 2) for size in range(2, 6)},
}


@pytest.mark.parametrize("name", OTHER)
def test_anything_else_is_left_as_it_is(name: str) -> None:
    tried, fresh = connection(), connection()
    assert tried.receive_message(OTHER[name]) is None
    assert tried.receive_data(OTHER[name]) == fresh.receive_data(OTHER[name])
    assert tried.outgoing == fresh.outgoing


@pytest.mark.parametrize("data", [SHORT, LONG], ids=["short", "long"])
def test_in_the_middle_of_something_else(data: bytes) -> None:
    for before in (frame(BINARY, b"part", mask=KEY, fin=False), SHORT[:3], SHORT[:-1], LONG[:50]):
        tried, fresh = connection(), connection()
        for each in (tried, fresh):
            assert each.receive_data(before) == []
        assert tried.receive_message(data) is None
        assert tried.receive_data(data) == fresh.receive_data(data)


def test_behind_the_end() -> None:
    ended = connection()
    ended.receive_data(frame(CLOSE, b"\x03\xe8", mask=KEY))
    assert ended.receive_message(SHORT) is None
    assert ended.receive_message(LONG) is None


def test_a_mask_of_its_own_for_each() -> None:
    for key in (b"\0\0\0\0", b"\xff\0\0\0", b"\0\0\0\xff"):
        assert connection().receive_message(frame(BINARY, b"hello", mask=key)) == b"hello"
        assert connection().receive_message(frame(BINARY, b"hello" * 100, mask=key)) == b"hello" * 100


@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (125, 1), (126, 2)])
def test_a_short_message_is_encoded_in_one_piece(size: int, pieces: int) -> None:
    sending = connection()
    sending.send_bytes(bytes(size))
    assert len(sending.take_outgoing()) == pieces
    sending.send_text("a" * size)
    assert len(sending.take_outgoing()) == pieces
