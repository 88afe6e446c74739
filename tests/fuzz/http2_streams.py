"""What clients send on an HTTP/2 connection: frames as they should be, frames with something wrong, and anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpack import Encoder
from hypothesis import strategies as st

from tests.unit import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"

# Mostly the streams of a client, some of them again and again.
STREAM_IDS = st.sampled_from([1, 3, 5, 7, 9, 11, 13]) | st.sampled_from([0, 2, 2**31 - 1, 2**31 + 3])
FLAGS = st.sampled_from([0, 1, 4, 5]) | st.integers(0, 255)
PATHS = st.sampled_from(["/echo", "/pour", "/fail", "/wait", "/early", "*", "nowhere", ""])
METHODS = st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "CONNECT", ""])
SMALL = st.binary(max_size=20)
# For streams that carry a WebSocket.
MESSAGES = st.sampled_from(
    [
        wire.frame(wire.TEXT, b"hello"),
        wire.frame(wire.PING, b"?"),
        wire.close(1000),
        wire.frame(wire.BINARY, bytes(200)),
    ]
)


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def _fields(
    method: str, path: str, protocol: str | None, more: Sequence[tuple[bytes, bytes]], order: int
) -> list[tuple[bytes, bytes]]:
    pseudo = [(b":method", method.encode()), (b":scheme", b"http"), (b":authority", b"a"), (b":path", path.encode())]
    if protocol is not None:
        pseudo.append((b":protocol", protocol.encode()))
    fields = [*pseudo, *more]
    return fields[order:] + fields[:order]


HEADERS = st.builds(
    _fields,
    METHODS,
    PATHS,
    st.none() | st.sampled_from(["websocket", "echo"]),
    st.lists(
        st.sampled_from(
            [
                (b"cookie", b"a=1"),
                (b"content-length", b"5"),
                (b"expect", b"100-continue"),
                (b"sec-websocket-version", b"13"),
                (b"connection", b"close"),
                (b"te", b"trailers"),
                (b"Upper", b"x"),
                (b"host", b"b"),
                (b"x", b"\r\n"),
            ]
        )
        | st.tuples(SMALL, SMALL),
        max_size=3,
    ),
    st.just(0) | st.integers(0, 4),
)


def _head(fields: list[tuple[bytes, bytes]], stream_id: int, flags: int, split: int) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    block = encoder.encode(fields)
    if not split:
        return frame(1, flags | 4, stream_id, block)
    split %= len(block)
    return frame(1, flags & ~4, stream_id, block[:split]) + frame(9, 4, stream_id, block[split:])


_HANDSHAKE = _fields("CONNECT", "/echo", "websocket", [(b"sec-websocket-version", b"13")], 0)
REQUESTS = st.builds(_head, HEADERS, STREAM_IDS, st.sampled_from([0, 1]), st.just(0) | st.integers(0, 100))
NUMBERS = st.sampled_from([b"\0\0\0\0", b"\0\0\0\1", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"])
CHANGES = st.lists(
    st.tuples(
        st.sampled_from([b"\0\1", b"\0\2", b"\0\3", b"\0\4", b"\0\5", b"\0\6", b"\0\x08", b"\xff\xff"]), NUMBERS
    ).map(b"".join),
    max_size=3,
).map(b"".join)
FRAMES = st.one_of(
    REQUESTS,
    st.builds(frame, st.just(0), st.sampled_from([0, 1, 8]), STREAM_IDS, SMALL | MESSAGES),  # DATA
    st.builds(frame, st.just(2), st.just(0), STREAM_IDS, st.binary(min_size=5, max_size=5)),  # PRIORITY
    st.builds(frame, st.just(3), st.just(0), STREAM_IDS, NUMBERS),  # RST_STREAM
    st.builds(frame, st.just(4), st.sampled_from([0, 0, 1]), st.just(0), CHANGES),  # SETTINGS
    st.builds(frame, st.just(6), st.sampled_from([0, 1]), st.just(0), st.binary(min_size=8, max_size=8)),  # PING
    st.builds(frame, st.just(7), st.just(0), st.just(0), st.builds(bytes.__add__, NUMBERS, NUMBERS)),  # GOAWAY
    st.builds(frame, st.just(8), st.just(0), STREAM_IDS, NUMBERS),  # WINDOW_UPDATE
    st.builds(frame, st.integers(0, 16), FLAGS, STREAM_IDS, SMALL),
)
WEBSOCKETS = st.lists(
    st.builds(frame, st.just(0), st.sampled_from([0, 0, 0, 1]), st.just(3), MESSAGES | SMALL)
    | st.builds(frame, st.just(3), st.just(0), st.just(3), st.just(b"\0\0\0\x08"))
    | st.builds(frame, st.just(8), st.just(0), st.just(3), NUMBERS),
    max_size=12,
).map(lambda frames: _head(_HANDSHAKE, 3, 0, 0) + b"".join(frames))
STREAMS = st.one_of(
    WEBSOCKETS.map(lambda data: PREFACE + SETTINGS + data),
    st.lists(FRAMES, max_size=12).map(lambda frames: PREFACE + SETTINGS + b"".join(frames)),
    st.lists(REQUESTS, max_size=12).map(lambda frames: PREFACE + SETTINGS + b"".join(frames)),
    SMALL.map(lambda data: PREFACE + data),
    SMALL,
)
