"""Streams of bytes that clients send: sessions as they should be, sessions with something wrong, and anything."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from tests.fuzz.endpoints import BITS
from tests.unit.wire import BINARY, CLOSE, CONTINUATION, PING, PONG, RSV1, TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MASKS = st.sampled_from([b"\x00\x00\x00\x00", b"\x37\xfa\x21\x3d"]) | st.binary(min_size=4, max_size=4)
SMALL = st.binary(max_size=12)
TEXTS = st.text(max_size=30) | st.sampled_from(["x" * 125, "y" * 126, "é" * 100, "€", "\U0001f600\U0001f600"])
PAYLOADS = st.binary(max_size=40) | st.sampled_from([bytes(125), bytes(126), bytes(200)])
CODES = st.sampled_from([1000, 1001, 1005, 1006, 1011, 1014, 1015, 2999, 3000, 4999, 5000]) | st.integers(0, 65535)
CLOSES = st.just(b"") | st.builds(lambda code, reason: code.to_bytes(2, "big") + reason, CODES, TEXTS.map(str.encode))


class Item(NamedTuple):
    """One thing that a client sends: a message, in fragments, with control frames in between; or a control frame."""

    opcode: int
    payload: bytes
    cuts: list[int]
    between: list[tuple[int, bytes]]
    mask: bytes
    compressed: bool


MESSAGES = st.builds(
    Item,
    opcode=st.just(TEXT),
    payload=TEXTS.map(str.encode),
    cuts=st.lists(st.integers(0, 200), max_size=4),
    between=st.lists(st.tuples(st.sampled_from([PING, PONG]), SMALL), max_size=2),
    mask=MASKS,
    compressed=st.booleans(),
) | st.builds(
    Item,
    opcode=st.just(BINARY),
    payload=PAYLOADS,
    cuts=st.lists(st.integers(0, 200), max_size=4),
    between=st.lists(st.tuples(st.sampled_from([PING, PONG]), SMALL), max_size=2),
    mask=MASKS,
    compressed=st.booleans(),
)
CONTROLS = st.builds(
    Item,
    opcode=st.sampled_from([PING, PONG]),
    payload=SMALL,
    cuts=st.just([]),
    between=st.just([]),
    mask=MASKS,
    compressed=st.just(False),
)
SESSIONS = st.lists(MESSAGES | CONTROLS, max_size=6)


def encode(items: Sequence[Item], *, deflate: bool = False) -> Iterator[bytes]:
    """The frames of a session."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -BITS)
    for opcode, payload, cuts, between, mask, compressed in items:
        rsv = 0
        if deflate and compressed:
            payload = (codec.compress(payload) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4] if payload else b"\x00"
            rsv = RSV1
        parts = cut(payload, cuts)
        for i, part in enumerate(parts):
            yield frame(CONTINUATION if i else opcode, part, fin=i == len(parts) - 1, rsv=0 if i else rsv, mask=mask)
            if i < len(parts) - 1:
                for control, data in between:
                    yield frame(control, data, mask=mask)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """`data` in pieces, which begin at `places`, taken modulo its length."""
    inner = sorted(place % (len(data) + 1) for place in places)
    return [data[start:stop] for start, stop in pairwise([0, *inner, len(data)])]


# Frames of any kind, more of them nearly right than arbitrary bytes would be.
ODD_FRAMES = st.builds(
    frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION, CONTINUATION, PING, PONG, CLOSE]) | st.integers(0, 15),
    SMALL | TEXTS.map(str.encode) | CLOSES,
    fin=st.booleans(),
    rsv=st.sampled_from([0] * 9 + [0x40, 0x20, 0x10]),
    mask=st.sampled_from([b"\x37\xfa\x21\x3d"] * 9 + [None]) | MASKS,
    form=st.sampled_from([None] * 9 + [8]),
)
CLOSE_FRAMES = st.builds(frame, st.just(CLOSE), CLOSES.filter(lambda payload: len(payload) < 126), mask=MASKS)


def mutate(data: bytes, changes: Sequence[tuple[str, int, int]]) -> bytes:
    """`data` with something wrong."""
    for kind, place, value in changes:
        i = place % (len(data) + 1)
        if kind == "flip":
            data = data[:i] + bytes(byte ^ (1 << value % 8) for byte in data[i : i + 1]) + data[i + 1 :]
        elif kind == "set":
            data = data[:i] + bytes([value]) + data[i + 1 :]
        elif kind == "insert":
            data = data[:i] + bytes([value]) + data[i:]
        elif kind == "delete":
            data = data[:i] + data[i + 1 + value % 8 :]
        elif kind == "repeat":
            data = data[: i + value] + data[i:]
        elif kind == "truncate":
            data = data[:i]
    return data


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["flip", "flip", "set", "insert", "delete", "repeat", "truncate"]),
        st.integers(0, 1000),
        st.integers(0, 255),
    ),
    max_size=3,
)
CUTS = st.lists(st.integers(0, 2000), max_size=8)


def _join(frames: Sequence[Any]) -> bytes:
    return b"".join(frames)


VALID_STREAMS = st.builds(lambda items, end: _join([*encode(items), end]), SESSIONS, st.just(b"") | CLOSE_FRAMES)
STREAMS = (
    VALID_STREAMS
    | st.builds(mutate, VALID_STREAMS, CHANGES)
    | st.lists(ODD_FRAMES, max_size=6).map(_join)
    | st.builds(lambda frames, more: _join(frames) + more, st.lists(ODD_FRAMES, max_size=3), st.binary(max_size=20))
    | st.binary(max_size=60)
)
