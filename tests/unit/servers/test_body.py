"""Where the body of a request ends, however it arrives."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_upgrade.servers.uvicorn.body import BodyEnd

CHUNKED = [(b"transfer-encoding", b"chunked")]
REST = b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
ALIKE = st.text("0\r\n;a", max_size=12).map(str.encode)


@st.composite
def chunk(draw: st.DrawFn) -> bytes:
    data = draw(ALIKE.filter(bool))
    length = b"%x" % len(data)
    line = b"0" * draw(st.sampled_from([0, 1, 30])) + draw(st.sampled_from([length, length.upper()]))
    return line + draw(EXTENSIONS) + b"\r\n" + data + b"\r\n"


EXTENSIONS = st.sampled_from([b"", b";", b";a=b", b";0", b";a=0;b", b";" + b"a" * 40])
LASTS = st.builds(
    lambda zeros, extension, fields: b"0" * zeros + extension + b"\r\n" + b"".join(fields) + b"\r\n",
    st.sampled_from([1, 2, 30]),
    EXTENSIONS,
    st.lists(st.sampled_from([b"A: b\r\n", b"0: 0\r\n", b"A:\r\n"]), max_size=3),
)


def follow(end: BodyEnd, data: bytes, cuts: list[int]) -> int:
    """Return how much is taken of data that is cut at these places."""
    taken = 0
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = end.take(data[start:stop])
        assert 0 <= piece <= stop - start
        taken += piece
        if end.reached:
            return taken
        assert piece == stop - start
    return taken


@given(st.lists(chunk(), max_size=4), LASTS, st.lists(st.integers(0, 200), max_size=6))
def test_chunks_end_behind_the_last_one_and_its_fields(chunks: list[bytes], last: bytes, cuts: list[int]) -> None:
    body = b"".join(chunks) + last
    data = body + REST
    at = sorted(cut for cut in cuts if cut < len(data))
    for places in (at, range(1, len(data))):
        end = BodyEnd(CHUNKED)
        assert follow(end, data, list(places)) == len(body)
        assert end.reached


def test_an_empty_line_in_a_chunk_is_no_end() -> None:
    end = BodyEnd(CHUNKED)
    body = b"6\r\n\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n"
    assert end.reached is False
    assert end.take(body + REST) == len(body)
    assert end.reached is True


@pytest.mark.parametrize("length", [b"1", b"40", b"0" * 5000 + b"40", b"40" + b" \t" * 30, b"%d" % 2**64])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_length_says_where_the_end_is(length: bytes, size: int) -> None:
    end = BodyEnd([(b"host", b"x"), (b"content-length", length)])
    data = bytes(60)
    expected = int(length.lstrip(b"0"))
    assert follow(end, data, list(range(size, 60, size))) == min(expected, 60)
    assert end.reached == (expected <= 60)


@pytest.mark.parametrize("line", [b"g", b"", b"5 5", b";5", b"-", b"5\r5"])
@pytest.mark.parametrize("cut", [False, True])
def test_what_begins_with_no_length_is_an_error(line: bytes, cut: bool) -> None:
    end = BodyEnd(CHUNKED)
    line = b"1\r\nx\r\n" + line + b"\r"
    if cut:
        assert end.take(line) == len(line)
        line = b""
    with pytest.raises(ValueError):  # noqa: PT011 -- of `int`
        end.take(line + b"\n")


@pytest.mark.parametrize("begin", [b"1;", b"1", b"0" * 30, b"0;", b"0\r\nA: ", b"F" * 16 + b"\r\n"])
@pytest.mark.parametrize("size", [1, 1000])
def test_nothing_is_kept_of_what_is_long(begin: bytes, size: int) -> None:
    end = BodyEnd(CHUNKED)
    end.take(begin)
    piece = (b"0" if begin.isalnum() else b"a") * size
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(20_000 // size):
            assert end.take(piece) == size
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1000


@pytest.mark.parametrize("digits", [b"1" + b"0" * 40, b"0" * 40 + b"1" + b"0" * 15])
def test_a_number_that_is_cut_keeps_its_size(digits: bytes) -> None:
    """A length of 64 bits is known; a longer one, which parsers refuse, ends nowhere."""
    end = BodyEnd(CHUNKED)
    for digit in digits:
        end.take(bytes([digit]))
    data = b"\r\n" + b"0\r\n\r\n" * 1000
    assert end.take(data) == len(data)
    assert not end.reached
