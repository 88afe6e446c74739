"""The engine as a target of atheris, which looks for streams that reach new code.

    python -m tests.fuzz.target -max_total_time=600

takes the options of libFuzzer. It ends with a stream that breaks something, or without one when the time is over.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["asgi_upgrade.websocket.connection", "asgi_upgrade.websocket.deflate"]):
    from asgi_upgrade.websocket import connection  # noqa: F401

from tests.fuzz.checks import check_compressed, check_plain
from tests.unit.wire import BINARY, CONTINUATION, PING, RSV1, TEXT, close, frame

# The first bytes of an input say how the stream, which is the rest, is read: with what limits, and where it is cut.
HEAD = 5

SEEDS = [
    frame(TEXT, "Grüße, €".encode()) + frame(BINARY, bytes(130)) + close(1000, b"bye"),
    frame(TEXT, b"Hel", fin=False) + frame(PING, b"?") + frame(CONTINUATION, b"lo") + frame(TEXT, b"x", form=8),
    frame(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=RSV1) + frame(TEXT, bytes.fromhex("f200110000"), rsv=RSV1),
    frame(TEXT, bytes.fromhex("f248"), rsv=RSV1, fin=False) + frame(CONTINUATION, bytes.fromhex("cdc9c90700")),
    frame(BINARY, bytes.fromhex("f348cdc9c9070000"), rsv=RSV1) + frame(BINARY, bytes(126)),
]


def run_one(data: bytes) -> None:
    """Read one stream; raises `AssertionError` where the engine does what it must not, or whatever it raises."""
    if len(data) < HEAD:
        return
    options, *cuts = data[:HEAD]
    check = check_compressed if options & 1 else check_plain
    max_size = (0, 1, 125, 126, 150, 1000, 65536, 1 << 20)[options >> 1 & 7]
    check(data[HEAD:], cuts, max_size=max_size, max_frames=1 + (options >> 4))


def main() -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            for compressed in (0, 1):
                Path(corpus, f"{number}-{compressed}").write_bytes(bytes([0xFE | compressed, 3, 9, 20, 50]) + seed)
        atheris.Setup([sys.argv[0], "-max_len=1000", *sys.argv[1:], corpus], run_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
