"""What a `Connection` tells about itself: what has arrived, what waits, what goes out and what that costs."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

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
    TEXT,
    Frame,
    close,
    frame,
    header,
    read_frames,
)

MAX_SIZE = 70_000
TOO_LONG = Ending(1009, f"message is longer than {MAX_SIZE} bytes", failed=True)
SHORT = frame(BINARY, b"short")


def make(*, deflate: bool = False, threshold: int | None = None, max_size: int = MAX_SIZE) -> Connection:
    codec = None
    if deflate:
        settings = PerMessageDeflate(threshold=threshold)
        agreement = settings.negotiate(parse_extensions([b"permessage-deflate; client_max_window_bits"]))
        assert agreement is not None
        codec = Deflate(agreement, settings)
    return Connection(max_message_size=max_size, max_message_frames=8, deflate=codec)


def deflated(payload: bytes) -> bytes:
    """A message compressed by itself, RFC 7692 section 7.2.1."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -12)
    return codec.compress(payload) + codec.flush(zlib.Z_SYNC_FLUSH)[:-4]


def compressed(payload: bytes) -> bytes:
    return frame(BINARY, deflated(payload), rsv=RSV1)


def test_nothing_has_happened_on_a_new_connection() -> None:
    connection = make()
    assert [connection.held, connection.midway, connection.ended, connection.close_sent] == [False] * 4
    assert connection.bulk is None
    assert connection.take_outgoing() == []
    assert [connection.outgoing_cost, connection.other_pieces] == [0, 0]


# Between two frames


@pytest.mark.parametrize(
    "pieces",
    [
        [SHORT + SHORT],
        [SHORT[:3], SHORT[3:]],
        [SHORT[:-1], SHORT[-1:]],
        [frame(BINARY, b"in", fin=False) + frame(CONTINUATION, b"parts")],
        [frame(BINARY, b"in", fin=False) + frame(CONTINUATION, b"parts")[:-2], frame(CONTINUATION, b"parts")[-2:]],
        [frame(TEXT, b"in", fin=False), frame(CONTINUATION)],
        [frame(PING, b"p")],
        [frame(PING, b"p")[:-1], frame(PING, b"p")[-1:]],
        [frame(BINARY, bytes(300))[:100], frame(BINARY, bytes(300))[100:]],
        [frame(BINARY, bytes(MAX_SIZE))[:100], frame(BINARY, bytes(MAX_SIZE))[100:]],
    ],
)
def test_behind_whole_frames_the_next_is_a_message_by_itself(pieces: list[bytes]) -> None:
    connection = make()
    for piece in pieces[:-1]:
        connection.receive_data(piece)
    connection.receive_data(pieces[-1])
    assert connection.midway is False
    assert connection.receive_message(SHORT) == b"short"


@pytest.mark.parametrize("missing", [1, 2, 5, 6, 9, 10])
def test_a_frame_that_lacks_something_is_not_whole(missing: int) -> None:
    connection = make()
    assert connection.receive_data(SHORT[:-missing]) == []
    assert connection.midway is True
    assert connection.receive_message(SHORT) is None
    assert connection.receive_data(SHORT[-missing:]) == [b"short"]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_frames_of_every_kind_of_length_behind_each_other(opcode: int) -> None:
    sizes = [300, 513, 0, 126, 300, 1, 127, 125, 255, 256, 257, 8191, 8192, 8193, 300, 511, 512, 65535, 300, 2]
    payloads = [bytes(65 + (size + number) % 26 for number in range(size)) for size in sizes]
    wire = b"".join(frame(opcode, payload) for payload in payloads)
    messages = [payload.decode() if opcode == TEXT else payload for payload in payloads]
    assert make().receive_data(wire) == messages
    connection = make()
    assert [each for byte in (wire[:700], wire[700:]) for each in connection.receive_data(byte)] == messages


def test_a_length_of_eight_bytes_is_not_one_of_two() -> None:
    # Its first two bytes would be the length of what follows.
    wire = header(0x82, 126 << 48) + MASK + bytes(300)
    assert make().receive_data(wire) == [TOO_LONG]


@pytest.mark.parametrize("cut", range(1, 3))
@pytest.mark.parametrize("text", ["\ue000", "\ud7ff", "\uefff", "\ued00"])
def test_characters_next_to_the_surrogates_may_be_cut(text: str, cut: int) -> None:
    payload = text.encode()
    connection = make()
    assert connection.receive_data(frame(TEXT, payload[:cut], fin=False)) == []
    assert connection.receive_data(frame(CONTINUATION, payload[cut:])) == [text]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_in_parts_follow_each_other(opcode: int) -> None:
    parts = frame(opcode, b"a", fin=False) + frame(CONTINUATION, b"b")
    whole = frame(opcode, b"cd", form=None)
    messages = ["ab", "ab", "cd", "ab"] if opcode == TEXT else [b"ab", b"ab", b"cd", b"ab"]
    connection = make()
    assert connection.receive_data(parts + parts + whole[:-1]) == messages[:2]
    assert connection.receive_data(whole[-1:] + parts) == messages[2:]


def test_a_long_text_of_many_short_pieces() -> None:
    text = "".join(chr(0x20AC + number % 500) for number in range(200))
    wire = frame(TEXT, text.encode())
    connection = make()
    events = [event for number in range(len(wire)) for event in connection.receive_data(wire[number : number + 1])]
    assert events == [text]


# Compressed messages


def test_the_longest_compressed_message_may_come_in_parts() -> None:
    data = deflated(bytes(MAX_SIZE))
    wire = frame(BINARY, data[:9], fin=False, rsv=RSV1) + frame(CONTINUATION, data[9:20], fin=False)
    assert make(deflate=True).receive_data(wire + frame(CONTINUATION, data[20:])) == [bytes(MAX_SIZE)]


@pytest.mark.parametrize(("limit", "taken"), [(300, 1), (301, 2), (600, 2), (601, 3)])
def test_a_queue_is_full_when_it_has_as_much_as_it_may(limit: int, taken: int) -> None:
    connection = make(deflate=True)
    connection.max_queue_size = limit
    assert connection.receive_data(compressed(bytes(300)) * 4) == [bytes(300)] * taken
    assert connection.held is True
    connection.max_queue_size = 10_000
    assert connection.receive_data(b"") == [bytes(300)] * (4 - taken)
    assert connection.held is False


@pytest.mark.parametrize("waiting", [99, 100, 101])
def test_what_waits_already_counts(waiting: int) -> None:
    connection = make(deflate=True)
    connection.max_queue_size = 400
    events = connection.receive_data(compressed(bytes(300)) * 2, waiting)
    assert len(events) == (2 if waiting < 100 else 1)


def test_what_was_held_is_forgotten_with_the_rest() -> None:
    connection = make(deflate=True)
    connection.max_queue_size = 1
    connection.receive_data(compressed(bytes(300)) * 4)
    connection.ignore_input()
    assert [connection.held, connection.midway, connection.ended] == [False, True, True]
    assert connection.receive_data(b"") == []
    assert connection.receive_data(compressed(b"behind") + SHORT) == []


@pytest.mark.parametrize("size", [0, 1, 2, 125, 126])
def test_without_a_threshold_the_shortest_messages_go_out_compressed(size: int) -> None:
    connection = make(deflate=True, threshold=0)
    connection.send_text("x" * size)
    connection.send_bytes(b"x" * size)
    assert [each.rsv for each in read_frames(b"".join(connection.take_outgoing()))] == [RSV1, RSV1]


# Long frames that are read in place


def test_from_which_size_on_a_frame_is_read_in_place() -> None:
    for missing, in_place in ((BULK_SIZE - 1, False), (BULK_SIZE, True), (BULK_SIZE + 1, True)):
        connection = make()
        connection.receive_data(frame(BINARY, bytes(missing + 100))[:-missing])
        assert (connection.bulk is not None) is in_place


def test_bytes_that_arrive_in_place_behind_the_end_are_nobodys() -> None:
    connection = make()
    connection.receive_data(frame(BINARY, bytes(MAX_SIZE))[:100])
    connection.ignore_input()
    assert connection.bulk is None
    assert connection.bulk_received(10) == []


@pytest.fixture
def no_shared_buffers() -> Iterator[None]:
    """Other connections have all shared buffers, so that the next ones get buffers of their own."""
    others = [make(max_size=BUFFER_SIZE) for _ in range(5)]
    for each in others:
        each.receive_data(header(0x82, BUFFER_SIZE) + MASK + b"start")
    yield
    others.clear()


@pytest.mark.usefixtures("no_shared_buffers")
def test_buffers_follow_what_has_arrived_of_a_message() -> None:
    payload = bytes(range(256)) * 1200
    connection = make(max_size=2 * len(payload))
    wire = frame(BINARY, payload, mask=b"\1\2\3\4")
    start = len(wire) - len(payload)
    sizes = []
    events = connection.receive_data(wire[: start + 100])
    position = start + 100
    while connection.bulk is not None:
        sizes.append(position - start + len(connection.bulk))
        end = position + len(connection.bulk)
        connection.bulk[:] = wire[position:end]
        events += connection.bulk_received(end - position)
        position = end
    # Each has room for four times as much as has arrived, and the first for a page at least.
    assert sizes == [4096, 4096 * 5, 4096 * 25, len(payload)]
    assert events == [payload]


@pytest.mark.usefixtures("no_shared_buffers")
def test_a_buffer_has_room_for_what_has_arrived() -> None:
    for arrived in (0, 1000, 1025, 2000, 10_000):
        connection = make(max_size=2 * BUFFER_SIZE)
        connection.receive_data(frame(BINARY, b"x" * BULK_SIZE, fin=False))
        connection.receive_data(header(0x80, 400_000) + MASK + bytes(arrived))
        assert connection.bulk is not None
        assert len(connection.bulk) == 4 * (BULK_SIZE + arrived) - arrived


@pytest.mark.usefixtures("no_shared_buffers")
@pytest.mark.parametrize("segment", [1000, 4096, 50_000, 200_000])
def test_a_long_frame_in_several_buffers(segment: int) -> None:
    payload = bytes(range(256)) * 800
    parts = [payload, payload[:70_003]]
    wire = frame(BINARY, parts[0], fin=False) + frame(CONTINUATION, parts[1]) + frame(BINARY, parts[1]) + SHORT
    connection = make(max_size=len(b"".join(parts)))
    events = []
    for start in range(0, len(wire), segment):
        events += connection.receive_data(wire[start : start + segment])
    assert events == [b"".join(parts), parts[1], b"short"]


# Sending


def test_pieces_that_are_no_single_messages_are_counted() -> None:
    connection = make()
    counts = []
    for send in (
        lambda: connection.send_text("short"),
        lambda: connection.send_bytes(bytes(200)),
        lambda: connection.send_ping(b"1"),
        lambda: connection.receive_data(frame(PING, b"in") * 3),
        lambda: connection.send_bytes(b"short"),
        lambda: connection.receive_data(frame(PING, b"in")),
        lambda: connection.send_ping(b"2"),
        lambda: connection.send_text("x" * 200),
        lambda: connection.send_close(1000),
        lambda: connection.send_close(1000),
    ):
        send()
        counts.append((len(connection.outgoing), connection.other_pieces))
    # Pongs in a row are one piece.
    assert counts == [(1, 0), (3, 1), (4, 2), (5, 3), (6, 3), (7, 4), (8, 5), (10, 6), (11, 7), (11, 7)]
    assert connection.outgoing_cost == 2 * 5 + 2 * 200 + 4 * 4 + 7 * MESSAGE_COST
    assert [frame.opcode for frame in read_frames(b"".join(connection.take_outgoing()))] == [
        TEXT, BINARY, PING, PONG, PONG, PONG, BINARY, PONG, PING, TEXT, CLOSE,
    ]  # fmt: skip


def test_pongs_in_a_row_stay_in_order() -> None:
    connection = make()
    connection.receive_data(frame(PING, b"1"))
    connection.receive_data(frame(PING, b"") + frame(PING, b"333"))
    assert connection.outgoing_cost == 3 + 2 + 5
    pongs = [Frame(PONG, b"1"), Frame(PONG, b""), Frame(PONG, b"333")]
    assert read_frames(b"".join(connection.take_outgoing())) == pongs


def test_a_close_frame_has_no_reason_unless_one_is_given() -> None:
    connection = make()
    connection.send_close(1000)
    assert read_frames(b"".join(connection.take_outgoing())) == [Frame(CLOSE, b"\x03\xe8")]
    assert connection.close_sent is True


def test_after_the_end_nothing_is_midway_in_vain() -> None:
    connection = make()
    assert connection.receive_data(frame(BINARY, b"un", fin=False) + close(1000)) == [Ending(1000, "", failed=False)]
    assert [connection.ended, connection.midway, connection.held] == [True, True, False]
    assert connection.receive_message(SHORT) is None
    assert connection.receive_data(SHORT) == []


def test_short_messages_cost_their_bytes_and_as_much_as_each_message() -> None:
    connection = make()
    for size in (1, 2):
        connection.send_text("x" * size)
        connection.send_bytes(bytes(size))
    assert connection.outgoing_cost == 2 * 1 + 2 * 2 + 4 * MESSAGE_COST
