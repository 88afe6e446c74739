"""Times the package alone, without sockets, and compares trees: ``python -m benchmarks.in_process --tree ../before``.

Bytes are given to the server's protocol, and a transport that keeps nothing takes the answers. So a few percent can be
told apart, which the noise of two processes and the kernel between them would hide. Each tree is measured in processes
of its own, in turn with the others; the shortest time of all rounds counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks import apps
from benchmarks.hops import HANDSHAKE, Transport, connect, serving
from benchmarks.messages import client_frame
from benchmarks.processes import on_core
from benchmarks.rows import ROWS, Row

ROOT = Path(__file__).parents[1]
LEAST = "least"
KEYS = (LEAST, "lockstep", "pipelined", "16k", "starlette", "deflate")
BATCH = 64  # messages in one timing: all JSON texts once
SECONDS = 0.4  # for each row in a process


class Sink(Transport):
    """Counts the bytes that are written."""

    size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.size += len(data)

    def writelines(self, list_of_data: Any) -> None:
        self.size += sum(map(len, list_of_data))


async def open_websocket(row: Row, server: Any) -> Sink:
    """Open a WebSocket as a client does."""
    transport = Sink()
    connect(server, transport)
    offer = "" if row.offer is None else f"Sec-WebSocket-Extensions: {row.offer}\r\n"
    transport.feed(HANDSHAKE.removesuffix(b"\r\n") + offer.encode() + b"\r\n")
    for _ in range(100):
        await asyncio.sleep(0)
    if not transport.size:
        raise RuntimeError("the handshake was not answered")
    return transport


async def measure(row: Row, server: Any) -> float:
    """Return the nanoseconds for one message and its answer: those of the quickest batch."""
    deflate = row.offer is not None
    frames = [client_frame(message, text=row.text, deflate=deflate) for message in row.messages]
    reads = [frame * row.depth for frame in frames]
    transport = await open_websocket(row, server)
    best, end, position = float("inf"), perf_counter_ns() + SECONDS * 1e9, 0
    while perf_counter_ns() < end:
        started = perf_counter_ns()
        for _ in range(BATCH):
            before = transport.size
            transport.feed(reads[position % len(reads)])
            position += 1
            turns = 0
            while transport.size == before:
                await asyncio.sleep(0)
                turns += 1
                if turns > 100:
                    raise RuntimeError("a message was not answered")
        # What is shown is the mean of a batch, because messages differ in length.
        best = min(best, (perf_counter_ns() - started) / (BATCH * row.depth))
    transport.close()
    await asyncio.sleep(0)
    return best


class Lists:
    """The least that serves the application: coroutines and dictionaries, but no bytes and no event loop."""

    def __init__(self) -> None:
        self.ready: list[bytes] = []
        self.sent: list[bytes] = []

    async def receive(self) -> dict[str, Any]:
        """ASGI ``receive``."""
        if not self.ready:
            return {"type": "websocket.disconnect"}
        return {"type": "websocket.receive", "bytes": self.ready.pop()}

    async def send(self, message: Any) -> None:
        """ASGI ``send``."""
        self.sent.append(message.get("bytes"))


async def measure_least() -> float:
    """Return the nanoseconds that the application itself takes for a message and its answer."""
    best, end = float("inf"), perf_counter_ns() + SECONDS * 1e9
    while perf_counter_ns() < end:
        lists = Lists()
        lists.ready = [bytes(32)] * 256
        started = perf_counter_ns()
        await apps.echo(lists.receive, lists.send)
        best = min(best, (perf_counter_ns() - started) / 256)
    return best


async def measure_all(keys: Sequence[str]) -> dict[str, float]:
    """Return nanoseconds by row."""
    results: dict[str, float] = {}
    if LEAST in keys:
        results[LEAST] = await measure_least()
    for row in [row for row in ROWS if row.key in keys]:
        async with serving(getattr(apps, row.app)) as server:
            results[row.key] = await measure(row, server)
    return results


def compare(best: dict[Path, dict[str, float]]) -> str:
    """A Markdown table: nanoseconds by row and tree, and by how much the first tree takes longer than each other."""
    first, *others = best
    head = ["nanoseconds for a message and its answer", *map(str, best), *(f"than {tree}" for tree in others)]
    lines = [f"| {' | '.join(head)} |", "|---" + "|--:" * (len(head) - 1) + "|"]
    for key, own in best[first].items():
        times = [f"{found[key]:,.0f}" for found in best.values()]
        ratios = [f"{own / best[tree][key] - 1:+.1%}" for tree in others]
        lines.append(f"| {' | '.join([key, *times, *ratios])} |")
    return "\n".join(lines)


def run(tree: Path, rows: str) -> dict[str, float]:
    """Measure the package of a tree, with the benchmarks of this one, in a process of its own."""
    package = f"import sys; sys.path.insert(0, {str(tree)!r}); import asgi_upgrade"
    measure = f"sys.path.insert(0, {str(ROOT)!r}); from benchmarks.in_process import main; main()"
    command: list[str] = [sys.executable, "-c", f"{package}; {measure}", "--measure", "--rows", rows]
    # Where things happen to lie in memory makes some percent. So they lie elsewhere each time.
    environment = {**os.environ, "SHIFT": "x" * random.randrange(4096)}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT.anchor, env=environment)
    found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure in this process, or compare trees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, action="append", default=[], help="compare this one too; may be repeated")
    parser.add_argument("--rows", default=",".join(KEYS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--core", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    keys = options.rows.split(",")
    if options.measure:
        import uvloop

        print(json.dumps(uvloop.run(measure_all(keys))))
        return
    trees = [ROOT, *(tree.resolve() for tree in options.tree)]
    best: dict[Path, dict[str, float]] = {tree: {} for tree in trees}
    with on_core(options.core):
        for _ in range(options.rounds):
            for tree in trees:
                for key, value in run(tree, options.rows).items():
                    best[tree][key] = min(value, best[tree].get(key, float("inf")))
    print(compare(best))


if __name__ == "__main__":
    main()
