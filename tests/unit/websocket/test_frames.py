import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import asgi_upgrade
from asgi_upgrade.websocket import frames
from asgi_upgrade.websocket.frames import (
    CloseCode,
    apply_mask,
    encode_close,
    encode_header,
    is_valid_close_code,
    read_messages,
)
from tests.unit import wire

# Runs in a process of its own, where the websockets package is not there.
FALLBACK = """
import sys
for name in "websockets", "websockets.speedups", "asgi_upgrade.websocket.speedups":
    sys.modules[name] = None
from asgi_upgrade.websocket.frames import apply_mask, read_messages
assert apply_mask.__module__ == "asgi_upgrade.websocket.frames"
assert read_messages.__module__ == "asgi_upgrade.websocket.frames"
for line in sys.stdin:
    kind, data, mask, expected = line.strip().split(",")
    kind = {"bytes": bytes, "bytearray": bytearray, "memoryview": memoryview}[kind]
    masked = apply_mask(kind(bytes.fromhex(data)), bytes.fromhex(mask))
    assert type(masked) is bytes
    assert masked.hex() == expected, line
print("done")
"""


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, "8100"),
        (1, "8101"),
        (125, "817d"),
        (126, "817e007e"),
        (127, "817e007f"),
        (65535, "817effff"),
        (65536, "817f0000000000010000"),
        (65537, "817f0000000000010001"),
        (2**63 - 1, "817f7fffffffffffffff"),
    ],
)
def test_lengths_take_their_shortest_form(size: int, header: str) -> None:
    assert encode_header(0x81, size).hex() == header


# RFC 6455 section 7.4.2 and the IANA registry: 1004 is reserved; 1005, 1006 and 1015 never travel; the registry goes up
# to 1014; 1016 to 2999 belong to the protocol; from 3000 on libraries and applications choose.
@pytest.mark.parametrize(
    ("first", "last", "valid"),
    [
        (0, 999, False),
        (1000, 1003, True),
        (1004, 1006, False),
        (1007, 1014, True),
        (1015, 2999, False),
        (3000, 4999, True),
        (5000, 65535, False),
    ],
)
def test_close_codes(first: int, last: int, *, valid: bool) -> None:
    assert {is_valid_close_code(code) for code in range(first, last + 1)} == {valid}


@pytest.mark.parametrize("code", [code for name, code in vars(CloseCode).items() if name.isupper()])
def test_codes_that_never_travel_are_the_only_named_ones_that_may_not(code: int) -> None:
    never = (CloseCode.NO_STATUS, CloseCode.ABNORMAL_CLOSURE)
    assert is_valid_close_code(code) is (code not in never)


@pytest.mark.parametrize(
    ("code", "reason", "frame"),
    [
        (1000, "", "880203e8"),
        (1000, "bye", "880503e8627965"),
        (CloseCode.GOING_AWAY, "é", "880403e9c3a9"),
        (4999, "", "88021387"),
        (1005, "", "8800"),
        (1005, "lost", "8800"),
    ],
)
def test_close_frames(code: int, reason: str, frame: str) -> None:
    assert encode_close(code, reason).hex() == frame


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("a" * 123, "a" * 123),
        ("a" * 124, "a" * 123),
        ("a" * 121 + "é", "a" * 121 + "é"),
        ("a" * 122 + "é", "a" * 122),
        ("a" * 120 + "€", "a" * 120 + "€"),
        ("a" * 121 + "€", "a" * 121),
        ("a" * 122 + "€", "a" * 122),
        ("a" * 119 + "\U0001f600", "a" * 119 + "\U0001f600"),
        ("a" * 120 + "\U0001f600", "a" * 120),
        ("\U0001f600" * 100, "\U0001f600" * 30),
    ],
)
def test_a_long_reason_is_cut_between_characters(reason: str, kept: str) -> None:
    [frame] = wire.read_frames(encode_close(1000, reason))
    assert frame == (wire.CLOSE, b"\x03\xe8" + kept.encode(), True, 0)


def test_a_close_frame_needs_no_reason() -> None:
    assert encode_close(1000).hex() == "880203e8"


def test_what_is_no_character_is_replaced_in_a_reason() -> None:
    assert encode_close(1000, "a\ud800b").hex() == "880503e8613f62"


@given(st.text(st.characters(), max_size=200))
def test_every_reason_gives_a_valid_close_frame(reason: str) -> None:
    [frame] = wire.read_frames(encode_close(3000, reason))
    assert len(frame.payload) <= 125
    sent = frame.payload[2:].decode()
    assert reason.encode("utf-8", "replace").decode().startswith(sent)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1006, 1015, 2999, 5000, 70000])
def test_a_code_that_may_not_be_sent_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match=f"close code {code} may not be sent"):
        encode_close(code)


def test_the_compiled_mask_is_in_use() -> None:
    assert frames.apply_mask.__module__ != frames.__name__


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.sampled_from([bytes, bytearray, memoryview]))
def test_masking(data: bytes, mask: bytes, kind: Callable[[bytes], bytes]) -> None:
    assert apply_mask(kind(data), mask) == wire.xor(data, mask)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 7, 8, 9, 31, 32, 33, 39, 40, 41, 63, 64, 65, 1000, 65_537])
def test_masking_of_every_length(size: int) -> None:
    data = os.urandom(size + 3)
    for start in range(4):
        assert apply_mask(data[start : start + size], wire.MASK) == wire.xor(data[start : start + size], wire.MASK)


# Also runs in a process of its own, where something stands for what is compiled.
COMPILED = """
import sys
from types import ModuleType
speedups = ModuleType("asgi_upgrade.websocket.speedups")
speedups.apply_mask, speedups.read_messages = object(), object()
sys.modules[speedups.__name__] = speedups
from asgi_upgrade.websocket.frames import apply_mask, read_messages
assert apply_mask is speedups.apply_mask
assert read_messages is speedups.read_messages
print("done")
"""


def alone(code: str, text: str = "") -> None:
    """Run code with this package in a process of its own."""
    package = frames.__file__
    assert package is not None
    run = subprocess.run(
        [sys.executable, "-c", code],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(package).parent.parent.parent)},
    )
    assert run.stdout == "done\n", run.stderr


@pytest.mark.skipif(asgi_upgrade.compiled, reason="compiled modules import each other before, and look at types")
def test_what_is_compiled_comes_first() -> None:
    alone(COMPILED)


def test_masking_without_compiled_help() -> None:
    lines = []
    for size in (*range(20), 125, 126, 4096, 65537):
        for kind in ("bytes", "bytearray", "memoryview"):
            data, mask = os.urandom(size), os.urandom(4)
            lines.append(f"{kind},{data.hex()},{mask.hex()},{wire.xor(data, mask).hex()}")
    alone(FALLBACK, "\n".join(lines))


# The way in C, if it is compiled, and the way in Python: they are to be the same
READERS = list(dict.fromkeys([frames.read_in_python, read_messages]))
NO_LIMIT = 2**64


def letters(size: int) -> bytes:
    return (b"abcdefghijklmnopqrstuvwxyz" * (size // 26 + 1))[:size]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 1023, 1024, 1025, 8191, 8192, 8193, 65_535])
def test_whole_messages_are_read(reader: Callable[..., int], size: int) -> None:
    binary, text = wire.frame(wire.BINARY, letters(size)), wire.frame(wire.TEXT, letters(size))
    data = b"??" + binary + text + binary
    messages: list[str | bytes] = ["before"]
    assert reader(data, 2, NO_LIMIT, messages) == len(data)
    assert messages == ["before", letters(size), letters(size).decode(), letters(size)]
    for missing in (1, 2, size + 4, size + 5):
        messages.clear()
        assert reader(data[:-missing], 2, size, messages) == len(data) - len(binary)
        assert messages == [letters(size), letters(size).decode()]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535])
def test_no_message_is_read_that_is_too_long(reader: Callable[..., int], size: int) -> None:
    messages: list[str | bytes] = []
    data = wire.frame(wire.TEXT, letters(size))
    assert reader(data, 0, size - 1, messages) == 0
    assert messages == []
    assert reader(data, 0, size, messages) == len(data)


OTHERS = {
    "nothing": b"",
    "a byte": b"\x82",
    "two bytes": b"\x82\x80",
    "a header": wire.header(0x82, 300) + wire.MASK,
    "half a header": wire.header(0x82, 300) + wire.MASK[:3],
    "half a length": wire.header(0x82, 300)[:3] + wire.MASK[:3],
    "no mask": wire.frame(wire.BINARY, b"hello", mask=None),
    "no mask, and a longer message": wire.frame(wire.BINARY, bytes(300), mask=None),
    "a part of a message": wire.frame(wire.TEXT, b"hello", fin=False),
    "a further part": wire.frame(wire.CONTINUATION, b"hello"),
    "a compressed message": wire.frame(wire.TEXT, b"hello", rsv=wire.RSV1),
    "a close frame": wire.close(1000),
    "a ping": wire.frame(wire.PING, b"hello"),
    "an opcode of none": wire.frame(0x3, b"hello"),
    "two bytes for a short length": wire.frame(wire.BINARY, b"a" * 125, form=2),
    "eight bytes for a short length": wire.frame(wire.BINARY, b"a" * 300, form=8),
    "eight bytes for a length whose first two would be one": wire.header(0x82, 300 << 48) + wire.MASK + bytes(400),
    "64 KiB": wire.frame(wire.BINARY, bytes(65_536)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_whole_message_is_left(reader: Callable[..., int], other: str) -> None:
    whole = wire.frame(wire.BINARY, b"whole")
    messages: list[str | bytes] = []
    assert reader(whole + OTHERS[other], 0, NO_LIMIT, messages) == len(whole)
    assert messages == [b"whole"]
    assert reader(OTHERS[other], 0, NO_LIMIT, messages) == 0
    assert messages == [b"whole"]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("size", [0, 120, 1020, 1100])
def test_text_that_is_not_valid_is_an_error(reader: Callable[..., int], size: int) -> None:
    good, bad = wire.frame(wire.TEXT, "é€".encode()), wire.frame(wire.TEXT, letters(size) + b"\xed\xa0\x80")
    messages: list[str | bytes] = []
    with pytest.raises(UnicodeDecodeError):
        reader(good + bad, 0, NO_LIMIT, messages)
    assert messages == ["é€"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([wire.TEXT, wire.BINARY, wire.PING]), st.text(max_size=200), st.integers(0, 2**32 - 1)
        ),
        max_size=6,
    ),
    st.integers(0, 300),
    st.integers(0, 12),
)
def test_both_ways_read_the_same(parts: list[tuple[int, str, int]], max_size: int, cut: int) -> None:
    data = b"".join(wire.frame(kind, text.encode()[:125], mask=key.to_bytes(4, "big")) for kind, text, key in parts)
    results = []
    for reader in READERS:
        messages: list[str | bytes] = []
        position: int | None = None
        with suppress(UnicodeDecodeError):
            position = reader(data[: len(data) - cut], 0, max_size, messages)
        results.append((position, messages))
    assert results[0] == results[-1]
