"""What must hold for every stream, for Hypothesis and for atheris."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.endpoints import engine
from tests.fuzz.model import Rules, read
from tests.fuzz.streams import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fuzz.endpoints import Outcome


def check_plain(stream: bytes, cuts: Sequence[int], *, max_size: int, max_frames: int) -> None:
    """Without compression: the engine does what the RFC says, however the stream is cut."""
    for pieces in _segmentations(stream, cuts):
        outcome = engine(pieces, max_size=max_size, max_frames=max_frames)
        compare(outcome, stream, Rules(max_size=max_size, max_frames=max_frames))


def compare(outcome: Outcome, stream: bytes, rules: Rules) -> None:
    """`outcome` is what `rules` make of `stream`."""
    reading = read(stream, rules)
    assert outcome.messages == reading.messages
    assert outcome.pongs == reading.pings
    if reading.broken:
        assert outcome.code in reading.broken
        assert outcome.reason is None
    elif reading.closed:
        assert (outcome.code, outcome.reason) == reading.closed
    else:
        assert outcome.code is None


def check_compressed(stream: bytes, cuts: Sequence[int], *, max_size: int, max_frames: int) -> None:
    """With compression: events, or one close code, and the cuts change nothing."""
    whole, *others = (
        engine(pieces, max_size=max_size, max_frames=max_frames, deflate=True)
        for pieces in _segmentations(stream, cuts)
    )
    for other in others:
        assert other.messages == whole.messages
        assert other.pongs == whole.pongs
        # Compressed data may be invalid, and too long, and not text; the cuts decide what is noticed first.
        assert other.code == whole.code or {other.code, whole.code} <= {1007, 1009}


def _segmentations(stream: bytes, cuts: Sequence[int]) -> Iterator[list[bytes]]:
    yield [stream]
    yield cut(stream, cuts)
    yield [stream[i : i + 1] for i in range(len(stream))]
