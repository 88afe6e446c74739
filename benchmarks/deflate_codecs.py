"""``python -m benchmarks.deflate_codecs``: which zlib to compress with, and how. What is not installed is left out.

Times are the best of several interleaved rounds, in microseconds of processor time for a message. All inflate the same
data. Memory is what an object adds to the process after one message of 1 KiB, and of 64 KiB (on Linux).
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from resource import getpagesize
from typing import Any

SYNC_FLUSH = 2
TAIL = b"\x00\x00\xff\xff"
OBJECTS = 200
ROUNDS = 9


@dataclass(frozen=True)
class Codec:
    """A module with the interface of zlib, and how to use it."""

    module: str
    level: int
    window_bits: int
    memory_level: int

    def compressor(self) -> Any:
        return import_module(self.module).compressobj(self.level, 8, -self.window_bits, self.memory_level)

    def inflater(self) -> Any:
        return import_module(self.module).decompressobj(-self.window_bits)

    @property
    def arguments(self) -> list[str]:
        return [self.module, str(self.level), str(self.window_bits), str(self.memory_level)]


CHOICES = [
    Codec("zlib", 1, 12, 5),
    Codec("isal.isal_zlib", 1, 12, 1),
    Codec("isal.isal_zlib", 1, 12, 5),
    Codec("isal.isal_zlib", 2, 12, 1),
    Codec("zlib_ng.zlib_ng", 1, 12, 5),
    Codec("zlib_ng.zlib_ng", 2, 12, 5),
    Codec("zlib", 6, 12, 5),
    Codec("zlib", 1, 9, 5),
    Codec("isal.isal_zlib", 1, 9, 1),
    Codec("zlib", 1, 15, 5),
    Codec("isal.isal_zlib", 1, 15, 1),
    Codec("zlib", 1, 15, 8),
    Codec("zlib", 6, 15, 8),
]
GRID = [
    Codec("zlib", level, bits, memory)
    for level in (1, 2, 4, 6)
    for bits in (10, 11, 12, 13, 15)
    for memory in (3, 4, 5, 6, 8)
]


def texts(count: int = 6, size: int = 65536) -> list[bytes]:
    """Python's own documentation in pieces."""
    whole = "\n".join(topics[name] for name in sorted(topics)).encode()
    return [whole[number * size : (number + 1) * size] for number in range(count)]


def documents(count: int = 100, size: int = 1024) -> list[bytes]:
    """JSON of about ``size`` bytes, as a chat or a feed sends it."""
    source = random.Random(7692)
    words = b"".join(texts()).decode().split()

    def entry() -> dict[str, object]:
        return {
            "id": str(uuid.UUID(int=source.getrandbits(128))),
            "user": source.choice(words),
            "time": round(1.7e9 + source.random() * 1e6, 3),
            "price": round(source.random() * 1000, 2),
            "text": " ".join(source.choices(words, k=5)),
            "read": source.random() < 0.5,
        }

    entries = [[entry() for _ in range(max(1, size // 170))] for _ in range(count)]
    return [json.dumps(each).encode() for each in entries]


def compress(codec: Any, messages: Sequence[bytes]) -> list[bytes]:
    return [codec.compress(message) + codec.flush(SYNC_FLUSH)[:-4] for message in messages]


def inflate(codec: Any, messages: Sequence[bytes]) -> None:
    for message in messages:
        codec.decompress(message + TAIL, 1 << 20)


def measure(action: Callable[[], object], count: int) -> float:
    """Microseconds of processor time for each of ``count`` messages."""
    start = time.process_time_ns()
    action()
    return (time.process_time_ns() - start) / count / 1000


def resident() -> int:
    """Resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def print_memory(codec: Codec, kind: str, message: bytes) -> None:
    """Runs in a process of its own: print what one object adds, in KiB."""
    compressed = compress(Codec("zlib", 1, codec.window_bits, 8).compressor(), [message])[0] + TAIL

    def make() -> Any:
        if kind == "compressor":
            made = codec.compressor()
            compress(made, [message])
        else:
            made = codec.inflater()
            made.decompress(compressed, 1 << 20)
        return made

    kept = [make() for _ in range(OBJECTS)]  # they take what is free already
    gc.collect()
    before = resident()
    kept += [make() for _ in range(OBJECTS)]
    print((resident() - before) / OBJECTS / 1024)


def memory(codec: Codec, kind: str, length: str) -> float:
    command = [sys.executable, "-m", "benchmarks.deflate_codecs", "--memory", kind, length, *codec.arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compare(codecs: Sequence[Codec]) -> None:
    workloads = [documents(), texts()]
    times: dict[tuple[Codec, int, str], float] = {}
    ratios: dict[tuple[Codec, int], float] = {}
    for _ in range(ROUNDS):
        for codec in codecs:
            for number, messages in enumerate(workloads):
                size = len(messages)
                maker = Codec("zlib", 1, codec.window_bits, 5)
                compressed = compress(maker.compressor(), messages)
                compressor, inflater = codec.compressor(), codec.inflater()
                results = {
                    "compress": measure(partial(compress, compressor, messages), size),
                    "inflate": measure(partial(inflate, inflater, compressed), size),
                }
                for name, result in results.items():
                    times[codec, number, name] = min(result, times.get((codec, number, name), result))
                made = sum(map(len, compress(codec.compressor(), messages)))
                ratios[codec, number] = made / sum(map(len, messages))
    print(f"{'':32}{'1 KiB of JSON':^24}{'64 KiB of text':^24}{'memory in KiB':^30}")
    print(f"{'module, level, window, memory':32}" + f"{'deflate':>8}{'ratio':>8}{'inflate':>8}" * 2, end="")
    print(f"{'compressor':>15}{'inflater':>15}")
    for codec in codecs:
        print(f"{codec.module:17}{codec.level:>5}{codec.window_bits:>5}{codec.memory_level:>5}", end="")
        for number in range(2):
            print(f"{times[codec, number, 'compress']:8.1f}{ratios[codec, number]:8.3f}", end="")
            print(f"{times[codec, number, 'inflate']:8.1f}", end="")
        for kind in ("compressor", "inflater"):
            print(f"{memory(codec, kind, 'short'):8.0f}{memory(codec, kind, 'long'):7.0f}", end="", flush=True)
        print()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deflate_codecs", description=__doc__)
    parser.add_argument("--grid", action="store_true", help="compare zlib's own settings instead")
    parser.add_argument("--memory", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        kind, length, module, *numbers = arguments.memory
        message = texts()[0] if length == "long" else documents(1)[0]
        print_memory(Codec(module, *map(int, numbers)), kind, message)
        return
    codecs = GRID if arguments.grid else CHOICES
    compare([codec for codec in codecs if find_spec(codec.module.split(".")[0])])


if __name__ == "__main__":
    main()
