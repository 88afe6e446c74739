import random
import time
import tracemalloc
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_upgrade.http.headers import parse_extensions
from asgi_upgrade.websocket.buffers import BUFFER_SIZE
from asgi_upgrade.websocket.connection import BULK_SIZE, MESSAGE_COST, Connection, Ending
from asgi_upgrade.websocket.deflate import Deflate, PerMessageDeflate
from tests.unit.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Frame,
    close,
    frame,
    header,
    read_frames,
)

MAX_SIZE = 70_000
MAX_FRAMES = 8
MEBIBYTE = 1024 * 1024

TOO_LONG = Ending(1009, "message is longer than 70000 bytes", failed=True)
TOO_MANY = Ending(1008, "message has more than 8 frames", failed=True)
NOT_UTF8 = Ending(1007, "text is not valid UTF-8", failed=True)
NOT_DEFLATED = Ending(1007, "compressed data is invalid", failed=True)
GONE = Ending(1005, "", failed=False)


def broken(reason: str) -> Ending:
    return Ending(1002, reason, failed=True)


RESERVED = broken("reserved bit set")
UNMASKED = broken("frame is not masked")
FRAGMENTED_CONTROL = broken("control frame is fragmented")
LONG_CONTROL = broken("control frame is longer than 125 bytes")
NOT_SHORTEST = broken("length is not in its shortest form")
TOP_BIT = broken("length has its top bit set")
NOTHING_TO_CONTINUE = broken("continuation frame without a message to continue")
UNFINISHED = broken("new message before the last one was finished")
HALF_A_CODE = broken("close frame with half a code")

Events = list[Any]


def make(
    *, deflate: bool = False, max_size: int = MAX_SIZE, max_frames: int = MAX_FRAMES, **options: Any
) -> Connection:
    codec = None
    if deflate:
        agreed = PerMessageDeflate(**options)
        agreement = agreed.negotiate(parse_extensions([b"permessage-deflate; client_max_window_bits"]))
        assert agreement is not None
        codec = Deflate(agreement, agreed)
    return Connection(max_message_size=max_size, max_message_frames=max_frames, deflate=codec)


def feed(connection: Connection, pieces: Iterable[bytes]) -> tuple[Events, list[Frame]]:
    """What comes of `pieces`: the events, and the frames that go out."""
    events: Events = []
    for piece in pieces:
        events += connection.receive_data(piece)
    return events, read_frames(b"".join(connection.take_outgoing()))


def segmentations(data: bytes) -> Iterator[list[bytes]]:
    """`data` whole, byte by byte, and cut in two everywhere; the middle of long data not quite as often."""
    size = len(data)
    yield [data]
    if size <= 2000:
        yield [data[i : i + 1] for i in range(size)]
        cuts: Sequence[int] = range(size + 1)
    else:
        middle = range(200, size - 20, 997)
        yield [data[start:stop] for start, stop in pairwise([*range(200), *middle, *range(size - 20, size + 1)])]
        cuts = [*range(20), *middle[:: len(middle) // 9 + 1], *range(size - 9, size)]
    for cut in cuts:
        yield [data[:cut], data[cut:]]


def check(wire: bytes, events: Events, outgoing: list[Frame] | None = None, **options: Any) -> None:
    """`wire` gives `events`, and `outgoing` in answer, however it is cut."""
    for pieces in segmentations(wire):
        assert feed(make(**options), pieces) == (events, outgoing or []), [len(piece) for piece in pieces[:9]]


# Messages


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (frame(TEXT, b"Hello"), ["Hello"]),
        (frame(BINARY, b"Hello"), [b"Hello"]),
        (frame(TEXT), [""]),
        (frame(BINARY), [b""]),
        (frame(TEXT, "κόσμε, €, \U0001f600".encode()), ["κόσμε, €, \U0001f600"]),
        (frame(TEXT, b"one\r\ntwo\nthree\rfour\x00\x7f"), ["one\r\ntwo\nthree\rfour\x00\x7f"]),
        (frame(TEXT, "\ufeffwith a mark".encode()), ["\ufeffwith a mark"]),
        (frame(TEXT, "\uffff\U0010ffff\ufdd0".encode()), ["\uffff\U0010ffff\ufdd0"]),
        (frame(TEXT, b"plain", mask=b"\x00\x00\x00\x00"), ["plain"]),
        (frame(TEXT, b"a") + frame(BINARY, b"b") + frame(TEXT, b"c"), ["a", b"b", "c"]),
        *((frame(BINARY, bytes(size)), [bytes(size)]) for size in (1, 2, 3, 4, 5, 124, 125, 126, 127, 65535, 65536)),
        (frame(TEXT, b"x" * 126), ["x" * 126]),
        (frame(BINARY, bytes(range(256)) * 273, mask=b"\x01\x02\x03\x04"), [bytes(range(256)) * 273]),
        (frame(BINARY, bytes(MAX_SIZE)), [bytes(MAX_SIZE)]),
        (frame(TEXT, b"y" * MAX_SIZE) + frame(TEXT, b"after"), ["y" * MAX_SIZE, "after"]),
    ],
)
def test_messages_in_one_frame(wire: bytes, events: Events) -> None:
    check(wire, events)


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (frame(TEXT, b"Hel", fin=False) + frame(CONTINUATION, b"lo"), ["Hello"]),
        (frame(BINARY, b"Hel", fin=False) + frame(CONTINUATION, b"lo"), [b"Hello"]),
        (frame(TEXT, b"", fin=False) + frame(CONTINUATION), [""]),
        (frame(BINARY, b"", fin=False) + frame(CONTINUATION), [b""]),
        (frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"all"), ["all"]),
        (frame(TEXT, b"all", fin=False) + frame(CONTINUATION), ["all"]),
        (
            frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82", fin=False) + frame(CONTINUATION, b"\xac"),
            ["€"],
        ),
        (frame(TEXT, b"a\r", fin=False) + frame(CONTINUATION, b"\nb"), ["a\r\nb"]),
        (
            frame(BINARY, b"1", fin=False)
            + frame(CONTINUATION, b"2", fin=False, mask=b"\xff\x00\xff\x00")
            + frame(CONTINUATION, b"", fin=False)
            + frame(CONTINUATION, b"3" * 200)
            + frame(TEXT, b"next"),
            [b"12" + b"3" * 200, "next"],
        ),
        (
            frame(BINARY, bytes(MAX_SIZE - 1), fin=False) + frame(CONTINUATION, b"\x01"),
            [bytes(MAX_SIZE - 1) + b"\x01"],
        ),
        (
            frame(BINARY, b"0", fin=False)
            + b"".join(frame(CONTINUATION, b"%d" % i, fin=False) for i in range(1, MAX_FRAMES - 1))
            + frame(CONTINUATION, b"7")
            + frame(TEXT, b"not counted", fin=False)
            + frame(CONTINUATION, b" with it"),
            [b"01234567", "not counted with it"],
        ),
    ],
)
def test_messages_in_several_frames(wire: bytes, events: Events) -> None:
    check(wire, events)


# Control frames


@pytest.mark.parametrize(
    ("wire", "events", "outgoing"),
    [
        (frame(PING), [], [Frame(PONG, b"")]),
        (frame(PING, b"\x00\xff"), [], [Frame(PONG, b"\x00\xff")]),
        (frame(PING, bytes(125)), [], [Frame(PONG, bytes(125))]),
        (frame(PING, b"1") + frame(PING, b"2"), [], [Frame(PONG, b"1"), Frame(PONG, b"2")]),
        (frame(PONG), [], []),
        (frame(PONG, b"nobody asked"), [], []),
        (frame(TEXT, b"a") + frame(PING, b"p") + frame(TEXT, b"b"), ["a", "b"], [Frame(PONG, b"p")]),
        (
            frame(TEXT, b"\xc3", fin=False)
            + frame(PING, b"between")
            + frame(PONG, b"\xff")
            + frame(CONTINUATION, b"\xa9")
            + frame(PING, b"behind"),
            ["é"],
            [Frame(PONG, b"between"), Frame(PONG, b"behind")],
        ),
        (
            frame(BINARY, b"", fin=False) + frame(PING) + frame(CONTINUATION, b"x" * 130) + frame(PING, b"2"),
            [b"x" * 130],
            [Frame(PONG, b""), Frame(PONG, b"2")],
        ),
    ],
)
def test_pings_are_answered_and_pongs_are_not(wire: bytes, events: Events, outgoing: list[Frame]) -> None:
    check(wire, events, outgoing)


@pytest.mark.parametrize(
    ("wire", "ending"),
    [
        (frame(CLOSE), GONE),
        (close(1000), Ending(1000, "", failed=False)),
        (close(1001, b"bye"), Ending(1001, "bye", failed=False)),
        (close(1000, "\u20ac".encode()), Ending(1000, "€", failed=False)),
        (close(1000, b"x" * 123), Ending(1000, "x" * 123, failed=False)),
        *(
            (close(code), Ending(code, "", failed=False))
            for code in (1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
        ),
        *(
            (close(code), broken(f"close code {code} may not be sent"))
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
        ),
        (frame(CLOSE, b"\x03"), HALF_A_CODE),
        (close(1000, b"\xff"), NOT_UTF8),
        (close(1000, b"\xe2\x82"), NOT_UTF8),
        (close(1000, b"\xed\xa0\x80"), NOT_UTF8),
    ],
)
def test_close_frames(wire: bytes, ending: Ending) -> None:
    check(wire, [ending])
    # What follows is ignored, whatever it is, and so is a message that was not finished.
    behind = frame(TEXT, b"late") + frame(PING) + close(1001) + b"\xff\xff"
    check(frame(TEXT, b"before") + wire + behind, ["before", ending])
    check(frame(TEXT, b"unfin", fin=False) + wire + behind, [ending])


# What is not allowed


@pytest.mark.parametrize(
    ("wire", "ending"),
    [
        (frame(TEXT, b"x", rsv=RSV1), RESERVED),
        (frame(BINARY, b"x", rsv=RSV2), RESERVED),
        (frame(BINARY, b"x", rsv=RSV3), RESERVED),
        (frame(TEXT, b"x", rsv=RSV1 | RSV2 | RSV3), RESERVED),
        (frame(PING, rsv=RSV1), RESERVED),
        (frame(CLOSE, rsv=RSV2), RESERVED),
        *((frame(code, b"x"), broken(f"unknown opcode {code}")) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        (frame(11, b"", fin=False), broken("unknown opcode 11")),
        *((frame(code, b"xy", mask=None), UNMASKED) for code in (TEXT, BINARY, CLOSE, PING, PONG)),
        (frame(TEXT, b"", mask=None), UNMASKED),
        (frame(TEXT, bytes(65536), mask=None), UNMASKED),
        (frame(PING, b"x", fin=False), FRAGMENTED_CONTROL),
        (frame(PONG, b"", fin=False), FRAGMENTED_CONTROL),
        (frame(CLOSE, b"\x03\xe8", fin=False), FRAGMENTED_CONTROL),
        (frame(PING, bytes(126)), LONG_CONTROL),
        (frame(PONG, bytes(65536)), LONG_CONTROL),
        (close(1000, b"x" * 124), LONG_CONTROL),
        (frame(PING, b"short", form=2), LONG_CONTROL),
        (frame(TEXT, b"", form=2), NOT_SHORTEST),
        (frame(TEXT, b"x" * 125, form=2), NOT_SHORTEST),
        # As long as a frame would be if the second byte told its length.
        (frame(TEXT, b"x" * 124, form=2), NOT_SHORTEST),
        (frame(BINARY, b"x" * 119, form=8), NOT_SHORTEST),
        (frame(BINARY, b"", form=8), NOT_SHORTEST),
        (frame(BINARY, b"x" * 126, form=8), NOT_SHORTEST),
        (frame(BINARY, bytes(65535), form=8), NOT_SHORTEST),
        (header(0x82, 1 << 63) + MASK, TOP_BIT),
        (header(0x82, (1 << 64) - 1) + MASK, TOP_BIT),
        (header(0x82, (1 << 63) - 1) + MASK, TOO_LONG),
        (header(0x82, MAX_SIZE + 1) + MASK, TOO_LONG),
        (header(0x81, MAX_SIZE + 1) + MASK, TOO_LONG),
        (frame(BINARY, bytes(MAX_SIZE), fin=False) + frame(CONTINUATION, b"x"), TOO_LONG),
        (frame(BINARY, b"x", fin=False) + header(0x80, MAX_SIZE) + MASK, TOO_LONG),
        (frame(CONTINUATION, b"x"), NOTHING_TO_CONTINUE),
        (frame(CONTINUATION, b"", fin=False), NOTHING_TO_CONTINUE),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), UNFINISHED),
        (frame(TEXT, b"a", fin=False) + frame(BINARY, b"b", fin=False), UNFINISHED),
        (frame(BINARY, b"", fin=False) + b"".join([frame(CONTINUATION, b"", fin=False)] * MAX_FRAMES), TOO_MANY),
        (frame(TEXT, b"", fin=False) + b"".join([frame(CONTINUATION, b"x", fin=False)] * 7) + frame(0), TOO_MANY),
    ],
)
def test_what_is_not_allowed_ends_the_connection(wire: bytes, ending: Ending) -> None:
    check(wire, [ending])
    # What came before it still counts; what comes behind it does not.
    around = frame(BINARY, b"before") + frame(PING, b"p"), frame(TEXT, b"behind") + frame(PING)
    check(around[0] + wire + around[1], [b"before", ending], [Frame(PONG, b"p")])


@pytest.mark.parametrize(
    "text",
    [
        b"\x80",
        b"\xff",
        b"Hello\xfe",
        b"\xc0\xaf",  # overlong
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",  # a surrogate
        b"\xf4\x90\x80\x80",  # above U+10FFFF
        b"\xf8\x88\x80\x80\x80",
        b"\xe2\x82",  # ends within a character
        b"\xf0\x9f\x98",
        b"\xe2\x28\xa1",
        b"x" * 300 + b"\xc3",
    ],
)
def test_text_must_be_utf8(text: bytes) -> None:
    check(frame(TEXT, b"fine") + frame(TEXT, text) + frame(TEXT, b"behind"), ["fine", NOT_UTF8])
    check(frame(TEXT, text, fin=False) + frame(CONTINUATION), [NOT_UTF8])
    middle = len(text) // 2
    check(frame(TEXT, text[:middle], fin=False) + frame(PONG) + frame(CONTINUATION, text[middle:]), [NOT_UTF8])
    check(frame(BINARY, text), [text])


@pytest.mark.parametrize(
    ("prefix", "ending"),
    [
        # The first two bytes tell.
        (header(0x91, 5)[:2], RESERVED),
        (header(0x83, 5)[:2], broken("unknown opcode 3")),
        (header(0x81, 5, masked=False), UNMASKED),
        (header(0x81, 70000, masked=False)[:2], UNMASKED),
        (header(0x09, 5)[:2], FRAGMENTED_CONTROL),
        (header(0x89, 126)[:2], LONG_CONTROL),
        (header(0x80, 5)[:2], NOTHING_TO_CONTINUE),
        (frame(TEXT, b"a", fin=False) + header(0x81, 5), UNFINISHED),
        (frame(BINARY, bytes(MAX_SIZE), fin=False) + header(0x80, 1), TOO_LONG),
        # The length is enough.
        (header(0x81, 125, form=2), NOT_SHORTEST),
        (header(0x81, 65535, form=8), NOT_SHORTEST),
        (header(0x82, 1 << 63), TOP_BIT),
        (header(0x82, 1 << 62), TOO_LONG),
        (header(0x82, MAX_SIZE + 1), TOO_LONG),
        (frame(BINARY, bytes(5000), fin=False) + header(0x80, 65001), TOO_LONG),
        # The payload has not arrived whole.
        (frame(TEXT, b"Hello\xff" + b"x" * 1000)[:14], NOT_UTF8),
        (frame(TEXT, b"\xed\xa0" + b"x" * 10)[:8], NOT_UTF8),
        (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"x" * 9)[:7], NOT_UTF8),
        (frame(TEXT, b"x" * 200, fin=False) + frame(CONTINUATION, b"\x80" * 9)[:7], NOT_UTF8),
        # One frame more than allowed.
        (frame(BINARY, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 7 + header(0x80, 9), TOO_MANY),
    ],
)
def test_the_connection_fails_as_soon_as_the_bytes_that_tell_are_there(prefix: bytes, ending: Ending) -> None:
    for pieces in ([prefix[:-1], prefix[-1:]], [prefix[i : i + 1] for i in range(len(prefix))]):
        connection = make()
        *before, last = pieces
        assert feed(connection, before) == ([], [])
        assert not connection.ended
        assert connection.receive_data(last) == [ending]
        assert connection.ended
        assert connection.receive_data(frame(TEXT, b"behind")) == []


@pytest.mark.parametrize("limit", [1, 2, 125, 126, 1000, 65535, 65536])
def test_the_longest_message(limit: int) -> None:
    ending = Ending(1009, f"message is longer than {limit} bytes", failed=True)
    for opcode, whole in ((TEXT, "x" * limit), (BINARY, b"x" * limit)):
        payload = b"x" * limit
        half = limit // 2
        pieces = frame(opcode, payload[:half], fin=False) + frame(CONTINUATION, payload[half:])
        check(frame(opcode, payload) + pieces, [whole, whole], max_size=limit)
        check(frame(opcode, payload) + frame(opcode, payload + b"x"), [whole, ending], max_size=limit)
        check(frame(opcode, payload, fin=False) + frame(PONG) + frame(CONTINUATION, b"x"), [ending], max_size=limit)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_most_frames(limit: int) -> None:
    ending = Ending(1008, f"message has more than {limit} frames", failed=True)
    rest = frame(CONTINUATION, b"b", fin=False)
    for opcode in (TEXT, BINARY):
        whole = "abb"[:limit] if opcode == TEXT else b"abb"[:limit]
        fitting = frame(opcode, b"a", fin=limit == 1) + rest * (limit - 2) + frame(CONTINUATION, b"b") * (limit > 1)
        check(fitting, [whole], max_frames=limit)
        check(frame(opcode, b"a", fin=False) + rest * (limit - 1) + frame(CONTINUATION), [ending], max_frames=limit)


def test_a_flood_of_pings_takes_no_more_memory_than_its_pongs() -> None:
    connection = make()
    pings = b"".join(frame(PING, b"%d" % (number % 7)) for number in range(20_000))
    connection.send_text("before")
    tracemalloc.start()
    connection.receive_data(pings)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    connection.send_text("behind")
    connection.receive_data(frame(PING, b"last"))
    pongs = sum(len(piece) for piece in connection.outgoing if isinstance(piece, bytearray))
    assert pongs == 2 * 20_001 + 20_000 + len("last")
    assert connection.outgoing_cost == pongs + 2 * MESSAGE_COST + len("beforebehind")
    assert size < 2 * 20_000 * 3
    sent = [frame.payload for frame in read_frames(b"".join(connection.take_outgoing()))]
    assert sent == [b"before", *(b"%d" % (number % 7) for number in range(20_000)), b"behind", b"last"]


# permessage-deflate


def deflated(payload: bytes, *, final: bool = False) -> bytes:
    """A message compressed by itself, RFC 7692 section 7.2.1."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -12)
    if final:
        return codec.compress(payload) + codec.flush(zlib.Z_FINISH) + b"\x00"
    return codec.compress(payload) + codec.flush(zlib.Z_SYNC_FLUSH)[:-4]


def fragments(opcode: int, payload: bytes, sizes: Iterable[int], between: bytes = b"") -> bytes:
    """A compressed message in frames of these sizes, and one more, with `between` in between."""
    parts = []
    start = 0
    for size in sizes:
        parts.append(payload[start : start + size])
        start += size
    parts.append(payload[start:])
    frames = [
        frame(CONTINUATION if i else opcode, part, fin=i == len(parts) - 1, rsv=0 if i else RSV1)
        for i, part in enumerate(parts)
    ]
    return between.join(frames)


HELLO = deflated(b"Hello, hello, hello!")
EURO = deflated("€".encode() * 9)
NOISE = random.Random(7).randbytes(3000)


@pytest.mark.parametrize(
    ("wire", "events"),
    [
        (frame(TEXT, HELLO, rsv=RSV1), ["Hello, hello, hello!"]),
        (frame(BINARY, HELLO, rsv=RSV1), [b"Hello, hello, hello!"]),
        (frame(TEXT, b"plain"), ["plain"]),
        (frame(TEXT, b"pl", fin=False) + frame(CONTINUATION, b"ain"), ["plain"]),
        (
            frame(TEXT, HELLO, rsv=RSV1) + frame(BINARY, b"plain") + frame(TEXT, EURO, rsv=RSV1),
            ["Hello, hello, hello!", b"plain", "€" * 9],
        ),
        (
            frame(TEXT, deflated(b"Hello", final=True), rsv=RSV1) + frame(TEXT, HELLO, rsv=RSV1),
            ["Hello", "Hello, hello, hello!"],
        ),
        (frame(TEXT, b"\x00", rsv=RSV1), [""]),
        (frame(TEXT, b"", rsv=RSV1), [""]),
        (frame(BINARY, deflated(NOISE), rsv=RSV1), [NOISE]),
        (frame(BINARY, deflated(bytes(MAX_SIZE)), rsv=RSV1), [bytes(MAX_SIZE)]),
        *((fragments(TEXT, EURO, sizes), ["€" * 9]) for sizes in ([0], [1], [1] * 7, [2, 0, 3], [len(EURO)])),
        (fragments(BINARY, deflated(NOISE), [1000, 7, 1000]), [NOISE]),
    ],
)
def test_compressed_messages(wire: bytes, events: Events) -> None:
    check(wire, events, deflate=True)


@pytest.mark.parametrize("limit", [1, 500, 2000])
def test_compressed_messages_wait_as_they_came_when_they_would_fill_the_queue(limit: int) -> None:
    plain = [bytes([number]) * 400 for number in range(9)]
    wire = b"".join(frame(BINARY, deflated(message), rsv=RSV1) + frame(PING, message[:1]) for message in plain)
    wire += frame(TEXT, b"plain") + close(1000)
    for pieces in segmentations(wire):
        connection = make(deflate=True)
        connection.max_queue_size = limit
        events: Events = []
        for piece in pieces:
            some = connection.receive_data(piece)
            while True:
                size = sum(len(message) for message in some if isinstance(message, bytes))
                assert size < limit + 400
                assert not connection.held or size >= limit
                events += some
                if not connection.held:
                    break
                some = connection.receive_data(b"")
        assert events == [*plain, "plain", Ending(1000, "", failed=False)]
        assert read_frames(b"".join(connection.outgoing)) == [Frame(PONG, message[:1]) for message in plain]


def test_a_queue_that_is_nearly_full_takes_less() -> None:
    connection = make(deflate=True)
    connection.max_queue_size = 1000
    wire = frame(BINARY, deflated(bytes(300)), rsv=RSV1) * 4
    assert connection.receive_data(wire, 500) == [bytes(300)] * 2
    assert connection.held
    assert connection.receive_data(wire, 700) == [bytes(300)]
    assert connection.receive_data(b"", 100) == [bytes(300)] * 3
    assert connection.receive_data(b"", 0) == [bytes(300)] * 2
    assert not connection.held


def test_control_frames_between_compressed_fragments_are_plain() -> None:
    check(
        fragments(TEXT, HELLO, [4, 4], frame(PING, b"p")),
        ["Hello, hello, hello!"],
        [Frame(PONG, b"p")] * 2,
        deflate=True,
    )


@pytest.mark.parametrize(
    ("wire", "ending"),
    [
        (frame(TEXT, b"x", rsv=RSV2), RESERVED),
        (frame(TEXT, HELLO, rsv=RSV1 | RSV3), RESERVED),
        (frame(PING, b"", rsv=RSV1), RESERVED),
        (frame(PONG, b"", rsv=RSV1), RESERVED),
        (frame(CLOSE, b"", rsv=RSV1), RESERVED),
        (frame(TEXT, HELLO[:3], fin=False, rsv=RSV1) + frame(CONTINUATION, HELLO[3:], rsv=RSV1), RESERVED),
        (frame(TEXT, b"plain", fin=False) + frame(CONTINUATION, HELLO, rsv=RSV1), RESERVED),
        (frame(CONTINUATION, HELLO, rsv=RSV1), RESERVED),
        (frame(TEXT, b"plain", fin=False) + frame(TEXT, HELLO, rsv=RSV1), UNFINISHED),
        (frame(TEXT, b"\xff\xff", rsv=RSV1), NOT_DEFLATED),
        (frame(BINARY, b"\x06", rsv=RSV1), NOT_DEFLATED),
        (frame(TEXT, deflated(b"\xe2\x82"), rsv=RSV1), NOT_UTF8),
        (frame(TEXT, deflated(b"x" * 500 + b"\xff"), rsv=RSV1), NOT_UTF8),
        (fragments(TEXT, deflated(NOISE), [1000]), NOT_UTF8),
        (frame(BINARY, deflated(bytes(MAX_SIZE + 1)), rsv=RSV1), TOO_LONG),
        (fragments(TEXT, deflated(b"x" * (MAX_SIZE + 1)), [20, 20]), TOO_LONG),
        (frame(BINARY, b"x" * (MAX_SIZE + 1)), TOO_LONG),
        (fragments(BINARY, HELLO, [1] * MAX_FRAMES), TOO_MANY),
    ],
)
def test_what_is_not_allowed_with_compression(wire: bytes, ending: Ending) -> None:
    check(wire, [ending], deflate=True)
    check(frame(TEXT, HELLO, rsv=RSV1) + wire + frame(PING), ["Hello, hello, hello!", ending], deflate=True)


def test_a_client_may_compress_with_context() -> None:
    codec = zlib.compressobj(9, zlib.DEFLATED, -12)
    wire = b""
    for _ in range(3):
        message = codec.compress(NOISE[:500]) + codec.flush(zlib.Z_SYNC_FLUSH)
        wire += frame(BINARY, message[:-4], rsv=RSV1)
    assert len(wire) < 700
    check(wire, [NOISE[:500]] * 3, deflate=True)


def test_compressed_text_fails_before_its_frame_is_whole() -> None:
    wire = frame(TEXT, deflated(NOISE), rsv=RSV1)
    connection = make(deflate=True)
    assert connection.receive_data(wire[:300]) == [NOT_UTF8]


def test_a_bomb_is_not_inflated() -> None:
    bomb = frame(BINARY, deflated(bytes(64 * MEBIBYTE)), rsv=RSV1)
    assert len(bomb) < MEBIBYTE
    connection = make(deflate=True)
    tracemalloc.start()
    try:
        assert connection.receive_data(bomb) == [TOO_LONG]
        assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb) + 4 * MAX_SIZE
    finally:
        tracemalloc.stop()


def inflate_all(frames: list[Frame]) -> list[bytes]:
    """The payloads of whole messages, compressed with one context."""
    codec = zlib.decompressobj(-15)
    payloads = []
    for opcode, payload, fin, rsv in frames:
        assert fin
        assert opcode in (TEXT, BINARY)
        payloads.append(codec.decompress(payload + b"\x00\x00\xff\xff") if rsv == RSV1 else payload)
    return payloads


def test_messages_from_the_threshold_on_go_out_compressed() -> None:
    connection = make(deflate=True, threshold=100)
    distinct = bytes(range(28, 128))
    messages = [b"a" * 99, distinct, b"c" * 5000, NOISE, b"", distinct]
    for message in messages:
        connection.send_bytes(message)
        connection.send_text(message.decode("latin-1"))
    frames = read_frames(b"".join(connection.take_outgoing()))
    texts = [message.decode("latin-1").encode() for message in messages]
    assert inflate_all(frames) == [each for pair in zip(messages, texts, strict=True) for each in pair]
    assert [frame.opcode for frame in frames] == [BINARY, TEXT] * len(messages)
    assert [frame.rsv == RSV1 for frame in frames] == [
        len(each) >= 100 for pair in zip(messages, texts, strict=True) for each in pair
    ]
    assert len(frames[4].payload) < 100
    assert len(frames[-1].payload) < len(frames[2].payload)


# Sending


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65535, 65536, 200_000])
@pytest.mark.parametrize("deflate", [False, True])
def test_messages_go_out_whole(size: int, deflate: bool) -> None:
    connection = make(deflate=deflate, threshold=10**6) if deflate else make()
    connection.send_text("x" * size)
    connection.send_bytes(b"y" * size)
    assert connection.outgoing_cost == 2 * (size + MESSAGE_COST)
    frames = read_frames(b"".join(connection.take_outgoing()))
    assert frames == [Frame(TEXT, b"x" * size), Frame(BINARY, b"y" * size)]
    assert connection.outgoing == []
    assert connection.outgoing_cost == 0


@pytest.mark.parametrize("size", [5, 125, 126, 70000])
@pytest.mark.parametrize("kind", [bytearray, lambda data: memoryview(bytearray(data))])
def test_what_the_application_changes_afterwards_goes_out_unchanged(size: int, kind: Callable[[bytes], Any]) -> None:
    connection = make()
    buffer = kind(b"a" * size)
    connection.send_bytes(buffer)
    buffer[:] = b"b" * size
    assert read_frames(b"".join(connection.take_outgoing())) == [Frame(BINARY, b"a" * size)]


@pytest.mark.parametrize("text", ["\ud800", "x" * 200 + "\udfff"])
@pytest.mark.parametrize("deflate", [False, True])
def test_text_that_cannot_be_encoded_leaves_nothing_behind(text: str, deflate: bool) -> None:
    connection = make(deflate=deflate)
    with pytest.raises(UnicodeEncodeError):
        connection.send_text(text)
    assert connection.take_outgoing() == []
    assert connection.outgoing_cost == 0


def test_there_is_one_close_frame() -> None:
    connection = make()
    connection.send_text("before")
    with pytest.raises(ValueError, match="close code 1006 may not be sent"):
        connection.send_close(1006)
    assert not connection.close_sent
    connection.send_close(1001, "going")
    assert connection.close_sent
    connection.send_close(1000)
    assert connection.outgoing_cost == len("before") + 2 * MESSAGE_COST
    outgoing = b"".join(connection.take_outgoing())
    assert read_frames(outgoing) == [Frame(TEXT, b"before"), Frame(CLOSE, b"\x03\xe9going")]


def test_pings_go_out() -> None:
    connection = make()
    connection.send_ping(b"")
    connection.send_ping(b"x" * 125)
    assert connection.outgoing_cost == 2 * MESSAGE_COST
    assert read_frames(b"".join(connection.take_outgoing())) == [Frame(PING, b""), Frame(PING, b"x" * 125)]


def test_pings_are_answered_until_the_close_frame_of_the_peer_has_come() -> None:
    # RFC 6455 section 5.5.2: a pong must answer each ping, unless a close frame has been received; what section 5.5.1
    # forbids after a close frame has been sent is data frames.
    connection = make()
    connection.send_close(1000)
    wire = frame(PING, b"1") + frame(TEXT, b"crossing") + close(1000) + frame(PING, b"2")
    events, outgoing = feed(connection, [wire])
    assert events == ["crossing", Ending(1000, "", failed=False)]
    assert outgoing == [Frame(CLOSE, b"\x03\xe8"), Frame(PONG, b"1")]


# Anything, cut anywhere


def cut(data: bytes, places: list[int]) -> list[bytes]:
    places = sorted(place % (len(data) + 1) for place in places)
    return [data[start:stop] for start, stop in zip([0, *places], [*places, len(data)], strict=True)]


FRAMES = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION, CONTINUATION, PING, PONG]) | st.integers(0, 15),
    st.text(max_size=40).map(str.encode) | st.binary(max_size=40) | st.sampled_from([bytes(126), b"\xc3\xa9" * 100]),
    fin=st.booleans(),
    rsv=st.sampled_from([0] * 9 + [RSV1, RSV2]),
    mask=st.sampled_from([MASK] * 9 + [None]) | st.binary(min_size=4, max_size=4),
    form=st.sampled_from([None] * 9 + [8]),
)
STREAMS = st.lists(FRAMES, max_size=8).map(b"".join) | st.binary(max_size=100)


@settings(deadline=None)
@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8))
def test_cuts_change_nothing(data: bytes, places: list[int]) -> None:
    whole = feed(make(max_size=200, max_frames=3), [data])
    assert feed(make(max_size=200, max_frames=3), cut(data, places)) == whole
    assert feed(make(max_size=200, max_frames=3), [data[i : i + 1] for i in range(len(data))]) == whole
    endings = [event for event in whole[0] if isinstance(event, Ending)]
    assert len(endings) <= 1
    assert whole[0][-1:] == endings or not endings


# Long frames, whose payload the transport may write where it belongs


def feed_in_place(connection: Connection, data: bytes, size: int) -> Events:
    """Give `data` in segments of `size`, directly into the connection's buffer where it has one."""
    events: Events = []
    while data:
        buffer = connection.bulk
        if buffer is None:
            events += connection.receive_data(data[:size])
            data = data[size:]
        else:
            taken = min(len(buffer), size, len(data))
            buffer[:taken] = data[:taken]
            events += connection.bulk_received(taken)
            data = data[taken:]
    return events


@pytest.mark.parametrize("segment", [3 << 20, 1 << 20, 65536, 30_000, 9_001])
@pytest.mark.parametrize("length", [BULK_SIZE, BULK_SIZE + 1, BULK_SIZE + 3, 5 * BULK_SIZE, 2 * BUFFER_SIZE + 5])
def test_long_binary_frames_are_read_in_place(length: int, segment: int) -> None:
    payload = random.Random(length).randbytes(length)
    wire = (
        frame(BINARY, payload)
        + frame(TEXT, b"between")
        + frame(BINARY, payload, fin=False)
        + frame(PING, b"p")
        + frame(CONTINUATION, payload, fin=False)
        + frame(CONTINUATION, b"end")
        + frame(BINARY, payload)
        + close(1000)
    )
    connection = make(max_size=3 * length)
    events = [payload, "between", payload + payload + b"end", payload, Ending(1000, "", failed=False)]
    assert feed_in_place(connection, wire, segment) == events
    assert read_frames(b"".join(connection.take_outgoing())) == [Frame(PONG, b"p")]
    # The same by whoever does not ask for the buffer, or asks for it at times only.
    assert feed(make(max_size=3 * length), pieces_of(wire, segment))[0] == events
    connection = make(max_size=3 * length)
    mixed = feed_in_place(connection, wire[: 2 * segment], segment)
    mixed += connection.receive_data(wire[2 * segment : 3 * segment])
    assert mixed + feed_in_place(connection, wire[3 * segment :], segment) == events


def test_only_a_long_binary_frame_is_read_in_place() -> None:
    for first, rest in (
        (frame(TEXT, bytes(4 * BULK_SIZE)), 0),
        (frame(BINARY, bytes(BULK_SIZE)), 1),
        (frame(BINARY, bytes(4 * BULK_SIZE), rsv=RSV1), 0),
        (header(0x82, BULK_SIZE * 4), 0),
    ):
        connection = make(deflate=True, max_size=4 * BULK_SIZE)
        connection.receive_data(first[: 14 + rest])
        assert connection.bulk is None


# Time and memory


def pieces_of(data: bytes, size: int) -> Iterator[bytes]:
    view = memoryview(data)
    return (bytes(view[start : start + size]) for start in range(0, len(data), size))


def seconds_for(data: bytes, size: int) -> float:
    connection = make(max_size=len(data), max_frames=10**9)
    start = time.process_time()
    events = [event for piece in pieces_of(data, size) for event in connection.receive_data(piece)]
    spent = time.process_time() - start
    assert len(events) == 1
    assert not isinstance(events[0], Ending)
    return spent


def check_linear(short: bytes, long: bytes, segment: int) -> None:
    """What takes linear time takes, for each byte of `long`, a small multiple of what it takes for one of `short`.

    Not the same: memory of many megabytes comes from the system page by page, and is not in any cache.
    """
    times = len(long) / len(short)
    measured = []
    for _ in range(3):
        measured.append((seconds_for(short, segment), seconds_for(long, segment)))
        if measured[-1][1] < times * 12 * measured[-1][0] + 0.05:
            return
    raise AssertionError(f"seconds for {len(short)} and for {len(long)} bytes: {measured}")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_time_grows_linearly_with_the_size_of_a_message(opcode: int) -> None:
    # The mask changes nothing, to spare the time that masking takes here.
    short, long = (header(0x80 | opcode, size) + bytes(4 + size) for size in (MEBIBYTE // 2, 64 * MEBIBYTE))
    for segment in (len(long), 262_144, 1448):
        check_linear(short, long, segment)
    check_linear(frame(opcode, bytes(8 * 1024)), frame(opcode, bytes(512 * 1024)), 1)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_time_grows_linearly_with_the_number_of_frames(opcode: int) -> None:
    short, long = (
        frame(opcode, b"x" * 50, fin=False) + frame(CONTINUATION, b"x" * 50, fin=False) * count + frame(CONTINUATION)
        for count in (500, 32000)
    )
    for segment in (len(long), 100):
        check_linear(short, long, segment)


@pytest.mark.parametrize("payload", [b"x" * 12_000, "é".encode() * 6_000, "€".encode() * 4_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("fragmented", [False, True])
def test_memory_stays_small_for_single_bytes(opcode: int, payload: bytes, fragmented: bool) -> None:
    singles = [payload[i : i + 1] for i in range(len(payload))]
    if fragmented:
        wire = frame(opcode, fin=False) + b"".join(frame(CONTINUATION, single, fin=False) for single in singles)
        wire += frame(CONTINUATION)
    else:
        wire = frame(opcode, payload)
    connection = make(max_size=len(payload), max_frames=len(payload) + 2)
    pieces = list(pieces_of(wire, 7 if fragmented else 1))
    events: Events = []
    tracemalloc.start()
    try:
        for piece in pieces:
            events += connection.receive_data(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events == [payload.decode() if opcode == TEXT else payload]
    assert peak < 8 * len(payload), peak / len(payload)


def test_memory_stays_small_for_a_large_message() -> None:
    size = 16 * MEBIBYTE
    pieces = list(pieces_of(frame(BINARY, bytes(size)), 262_144))
    connection = make(max_size=size)
    tracemalloc.start()
    try:
        events = [event for piece in pieces for event in connection.receive_data(piece)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events == [bytes(size)]
    assert peak < 3 * size


def test_nothing_is_kept_of_a_message_that_was_too_long() -> None:
    connection = make(max_size=MEBIBYTE)
    tracemalloc.start()
    try:
        connection.receive_data(frame(TEXT, b"x" * MEBIBYTE, fin=False))
        assert connection.receive_data(frame(CONTINUATION, b"x")) == [
            Ending(1009, f"message is longer than {MEBIBYTE} bytes", failed=True)
        ]
        assert tracemalloc.get_traced_memory()[0] < 64 * 1024
    finally:
        tracemalloc.stop()


def bare() -> Connection:
    return Connection(max_message_size=1000, max_message_frames=10)


@pytest.mark.parametrize("text", [5, b"bytes", bytearray(b"bytes"), ["text"]])
def test_text_of_another_type_is_a_type_error(text: Any) -> None:
    connection = bare()
    with pytest.raises(TypeError):
        connection.send_text(text)
    assert connection.take_outgoing() == []


@pytest.mark.parametrize("payload", [5, "text", "t" * 200, [1, 2], [1] * 200, object()])
def test_bytes_of_another_type_are_a_type_error(payload: Any) -> None:
    connection = bare()
    with pytest.raises(TypeError):
        connection.send_bytes(payload)
    assert connection.take_outgoing() == []


@pytest.mark.parametrize("size", [4, 200])
@pytest.mark.parametrize(
    "kind",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: array("I", data),  # four bytes an item
        lambda data: memoryview(array("H", data)),
        lambda data: memoryview(b"".join(b"%c!" % byte for byte in data))[::2],
    ],
)
def test_any_buffer_is_sent_as_a_binary_message(kind: Any, size: int) -> None:
    connection = bare()
    connection.send_bytes(kind(b"x" * size))
    assert read_frames(b"".join(connection.take_outgoing())) == [Frame(BINARY, b"x" * size)]
