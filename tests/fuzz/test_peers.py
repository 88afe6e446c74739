"""The servers of wsproto and websockets against the same streams.

They must do what the engine does, except where `WSPROTO` and `WEBSOCKETS` say that they read the rules differently.
Each of these differences is recorded below, with the passage of the RFC that decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings

from tests.fuzz.endpoints import Outcome, engine, websockets, wsproto
from tests.fuzz.model import Rules, read
from tests.fuzz.streams import CUTS, SESSIONS, STREAMS, Item, cut, encode
from tests.unit.wire import BINARY, CLOSE, CONTINUATION, MASK, PING, RSV1, TEXT, close, frame, header

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SIZE = 150

RFC = Rules(max_size=MAX_SIZE)
WSPROTO = Rules(code_1014=False, late_surrogates=True)
WEBSOCKETS = Rules(
    max_size=MAX_SIZE, shortest_length_only=False, close_between_fragments=False, messages_only_are_limited=False
)


def run_engine(stream: bytes) -> Outcome:
    return engine([stream], max_size=MAX_SIZE, max_frames=1000)


def run_wsproto(stream: bytes) -> Outcome:
    return wsproto([stream])


def run_websockets(stream: bytes) -> Outcome:
    return websockets(stream, max_size=MAX_SIZE)


def check(stream: bytes, outcome: Outcome, rules: Rules) -> None:
    reading = read(stream, rules)
    assert outcome.messages == reading.messages
    assert outcome.pongs == reading.pings
    if reading.cut and outcome.code is None:
        return  # they judge most frames when these have arrived whole; the engine does it at once (test_model)
    if reading.broken:
        assert outcome.code in reading.broken
    elif reading.closed:
        assert (outcome.code, outcome.reason or "") == reading.closed
    else:
        assert outcome.code is None


@settings(deadline=None)
@given(STREAMS, CUTS)
def test_wsproto_agrees(stream: bytes, cuts: list[int]) -> None:
    check(stream, wsproto([stream]), WSPROTO)
    check(stream, wsproto(cut(stream, cuts)), WSPROTO)


@settings(deadline=None)
@given(STREAMS)
@example(frame(CLOSE, b"", form=2))
@example(frame(PING, b"", form=8))
def test_websockets_agrees(stream: bytes) -> None:
    check(stream, run_websockets(stream), WEBSOCKETS)


@settings(deadline=None)
@given(SESSIONS, CUTS)
def test_all_agree_on_compressed_sessions(items: list[Item], cuts: list[int]) -> None:
    stream = b"".join([*encode(items, deflate=True), close(1000, b"done")])
    ours = engine(cut(stream, cuts), max_size=1000, max_frames=10, deflate=True)
    assert websockets(stream, max_size=1000, deflate=True) == ours
    # wsproto loses its way with control frames between compressed fragments, see below.
    items = [item._replace(between=[]) for item in items]
    stream = b"".join([*encode(items, deflate=True), close(1000, b"done")])
    ours = engine(cut(stream, cuts), max_size=1000, max_frames=10, deflate=True)
    assert wsproto(cut(stream, cuts), deflate=True) == ours


@dataclass(frozen=True)
class Difference:
    """A stream that is read differently.

    Attributes:
        stream: The stream.
        ours: What the engine makes of it.
        theirs: What the other library makes of it.
        why: What decides.
    """

    stream: bytes
    ours: Outcome
    theirs: Outcome
    why: str


DIFFERENCES: list[tuple[Callable[[bytes], Outcome], Difference]] = [
    (
        run_websockets,
        Difference(
            frame(TEXT, b"Hello", form=2),
            Outcome(code=1002),
            Outcome(["Hello"]),
            "RFC 6455 section 5.2: the minimal number of bytes MUST be used to encode the length",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(TEXT, b"Hello", form=8),
            Outcome(code=1002),
            Outcome(["Hello"]),
            "RFC 6455 section 5.2: the same",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(TEXT, b"Hel", fin=False) + close(1000, b"bye"),
            Outcome(code=1000, reason="bye"),
            Outcome(code=1002),
            "RFC 6455 section 5.4: control frames MAY be injected in the middle of a fragmented message",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(PING, b"p", form=2),
            Outcome(code=1002),
            Outcome(pongs=[b"p"]),
            "RFC 6455 section 5.2: the same; and section 5.5: a control frame has a length of at most 125",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(PING, bytes(MAX_SIZE + 1)),
            Outcome(code=1002),
            Outcome(code=1009),
            "RFC 6455 section 5.5: a control frame has at most 125 bytes, whatever the limit of messages is",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(TEXT, b"x" * MAX_SIZE, fin=False) + frame(PING, b"p") + frame(CONTINUATION),
            Outcome(["x" * MAX_SIZE], [b"p"]),
            Outcome(code=1009),
            "RFC 6455 section 5.4: a control frame in the middle is not part of the message",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(BINARY, b"x" * 100, rsv=RSV1)[:20],
            Outcome(code=1002),
            Outcome(),
            "RFC 6455 section 5.2: a nonzero value MUST fail the connection; nothing says to wait for the payload",
        ),
    ),
    (
        run_websockets,
        Difference(
            frame(TEXT, b"\xff" + b"x" * 100)[:20],
            Outcome(code=1007),
            Outcome(),
            "RFC 6455 section 8.1: the same",
        ),
    ),
    (
        run_wsproto,
        Difference(
            close(1014),
            Outcome(code=1014, reason=""),
            Outcome(code=1002, reason="CLOSE with unknown reserved code"),
            "the IANA registry (RFC 6455 section 11.7) has 1014, Bad Gateway",
        ),
    ),
    (
        run_wsproto,
        Difference(
            frame(TEXT, b"\xed\xa0", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"\x80"),
            Outcome(code=1007),
            Outcome(pongs=[b"p"], code=1007),
            "RFC 3629 section 4: no character begins with ED A0",
        ),
    ),
    (
        run_wsproto,
        Difference(
            header(0x82, 1 << 40) + MASK,
            Outcome(code=1009),
            Outcome(),
            "RFC 6455 section 10.4: implementations MUST impose limits; wsproto leaves them to its user",
        ),
    ),
]


@pytest.mark.parametrize(("run", "difference"), DIFFERENCES)
def test_differences(run: Callable[[bytes], Outcome], difference: Difference) -> None:
    ours, theirs = run_engine(difference.stream), run(difference.stream)
    assert ours == difference.ours
    if theirs.code is not None and difference.theirs.reason is None:
        theirs.reason = None
    assert theirs == difference.theirs
    assert ours != theirs
    check(difference.stream, ours, RFC)


def deflated(*frames: bytes) -> tuple[Outcome, Outcome, Outcome]:
    stream = b"".join(frames)
    return (
        engine([stream], max_size=1000, max_frames=10, deflate=True),
        wsproto([stream], deflate=True),
        websockets(stream, max_size=1000, deflate=True),
    )


def test_invalid_compressed_data_has_no_code_of_its_own() -> None:
    # RFC 7692 does not name one. RFC 6455 section 7.4.1 has 1007 for data that does not fit the type of the message.
    ours, from_wsproto, from_websockets = deflated(frame(BINARY, b"\xff\xff", rsv=RSV1))
    assert (ours.code, from_wsproto.code, from_websockets.code) == (1007, 1007, 1002)


def test_a_final_block_does_not_end_the_stream_of_messages() -> None:
    # RFC 7692 section 7.2.3.4: an endpoint may set the bit BFINAL; the messages behind it are as good as any.
    ours, from_wsproto, from_websockets = deflated(
        frame(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=RSV1),
        frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=RSV1),
        frame(CLOSE),
    )
    assert ours == Outcome(["Hello", "Hello"], code=1005, reason="")
    assert (from_wsproto.messages, from_wsproto.code) == (["Hello"], 1007)
    assert (from_websockets.messages, from_websockets.code) == (["Hello", ""], 1005)


def test_control_frames_stand_between_compressed_fragments() -> None:
    # RFC 7692 section 6: an extended message may be fragmented like any; RFC 6455 section 5.4 allows the ping.
    ours, from_wsproto, from_websockets = deflated(
        frame(TEXT, bytes.fromhex("f248"), fin=False, rsv=RSV1),
        frame(PING, b"p"),
        frame(CONTINUATION, bytes.fromhex("cdc9c90700")),
    )
    assert ours == from_websockets == Outcome(["Hello"], [b"p"])
    assert (from_wsproto.messages, from_wsproto.code) == ([], 1007)
