"""The engine against the RFC: the same events and the same end, however the stream is cut."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.checks import check_compressed, check_plain, compare
from tests.fuzz.endpoints import Outcome, engine
from tests.fuzz.model import Rules, is_text, may_become_text, read
from tests.fuzz.streams import CUTS, SESSIONS, STREAMS, Item, cut, encode, mutate
from tests.unit.wire import BINARY, CLOSE, CONTINUATION, PING, RSV1, TEXT, frame, header

MAX_SIZE = 150
MAX_FRAMES = 4

COMPRESSED_STREAMS = (
    st.builds(
        lambda items, changes: mutate(b"".join(encode(items, deflate=True)), changes),
        SESSIONS,
        st.lists(st.tuples(st.sampled_from(["flip", "set", "delete"]), st.integers(0, 500), st.integers(0, 255))),
    )
    | st.lists(
        st.builds(
            frame,
            st.sampled_from([TEXT, BINARY, CONTINUATION]),
            st.binary(max_size=60),
            fin=st.booleans(),
            rsv=st.sampled_from([0, RSV1, RSV1]),
        )
    ).map(b"".join)
    | STREAMS
)


@settings(deadline=None)
@given(STREAMS, CUTS, st.integers(0, MAX_SIZE), st.integers(1, MAX_FRAMES))
@example(frame(TEXT, b"\xed\xa0", fin=False), [], MAX_SIZE, MAX_FRAMES)
@example(frame(TEXT, b"", fin=False) + header(0x00, 0), [], MAX_SIZE, 1)
@example(frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"b"), [3, 9], MAX_SIZE, MAX_FRAMES)
def test_the_engine_does_what_the_rfc_says(stream: bytes, cuts: list[int], max_size: int, max_frames: int) -> None:
    check_plain(stream, cuts, max_size=max_size, max_frames=max_frames)


@settings(deadline=None)
@given(STREAMS, CUTS)
def test_every_beginning_of_a_stream_is_read_as_such(stream: bytes, cuts: list[int]) -> None:
    """What has happened by then does not depend on what follows, so each rule is applied as early as it can be."""
    for place in cuts:
        beginning = stream[: place % (len(stream) + 1)]
        outcome = engine([beginning], max_size=MAX_SIZE, max_frames=MAX_FRAMES)
        compare(outcome, beginning, Rules(max_size=MAX_SIZE, max_frames=MAX_FRAMES))


@settings(deadline=None)
@given(SESSIONS, CUTS)
def test_compressed_sessions(items: list[Item], cuts: list[int]) -> None:
    """Compressed or not, the same messages arrive."""
    reading = read(b"".join(encode(items)), Rules())
    stream = b"".join(encode(items, deflate=True))
    for pieces in ([stream], cut(stream, cuts), [stream[i : i + 1] for i in range(len(stream))]):
        outcome = engine(pieces, max_size=1000, max_frames=10, deflate=True)
        assert outcome == Outcome(reading.messages, reading.pings)


@settings(deadline=None)
@given(COMPRESSED_STREAMS, CUTS, st.integers(0, MAX_SIZE))
@example(frame(BINARY, b"\x03\x00", rsv=RSV1) * 2 + frame(CLOSE), [], MAX_SIZE)
def test_with_compression_anything_gives_events_or_one_close_code(
    stream: bytes, cuts: list[int], max_size: int
) -> None:
    check_compressed(stream, cuts, max_size=max_size, max_frames=MAX_FRAMES)


@given(st.text(max_size=20).map(str.encode) | st.binary(max_size=8), st.binary(max_size=4))
def test_the_models_utf8_is_pythons(beginning: bytes, rest: bytes) -> None:
    data = beginning + rest
    try:
        data.decode()
    except UnicodeDecodeError:
        assert not is_text(data)
    else:
        assert is_text(data)
        assert all(may_become_text(data[:size]) for size in range(len(data) + 1))
    if may_become_text(data):
        # It does, with one of the continuations that its last character may still need.
        tails = (b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80", b"\x90\x80\x80")
        assert any(is_text(data + tail) for tail in tails)
