import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_upgrade.websocket import frames
from asgi_upgrade.websocket.frames import CloseCode, apply_mask, encode_close, encode_header, is_valid_close_code
from tests.unit import wire

# Runs in a process of its own, where the websockets package is not there.
FALLBACK = """
import sys
sys.modules["websockets"] = sys.modules["websockets.speedups"] = None
from asgi_upgrade.websocket.frames import apply_mask
assert apply_mask.__module__ == "asgi_upgrade.websocket.frames"
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


def test_masking_without_compiled_help() -> None:
    lines = []
    for size in (*range(20), 125, 126, 4096, 65537):
        for kind in ("bytes", "bytearray", "memoryview"):
            data, mask = os.urandom(size), os.urandom(4)
            lines.append(f"{kind},{data.hex()},{mask.hex()},{wire.xor(data, mask).hex()}")
    package = frames.__file__
    assert package is not None
    run = subprocess.run(
        [sys.executable, "-c", FALLBACK],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(package).parent.parent.parent)},
    )
    assert run.stdout == "done\n", run.stderr
