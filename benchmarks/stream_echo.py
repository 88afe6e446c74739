"""``python -m benchmarks.stream_echo``: `UpgradeStream` beside asyncio's own streams, and a long transfer's memory.

Both servers are up at once, on one core with uvloop; the load generator runs on another and goes to them in turn, every
other round in reverse order. A ratio is the median of the rounds' ratios. A machine that does other things as well
disturbs the rates, and hardly the CPU time for each chunk.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import generator
from benchmarks.processes import cpu_time, memory, on_core
from benchmarks.servers import ROOT, free_port

SERVER_CORE, LOAD_CORE = 0, 1
MEBIBYTE = 1024 * 1024
TIMEOUT = 20.0  # seconds


@dataclass(frozen=True)
class Target:
    """A running server."""

    name: str
    pid: int
    port: int


@contextmanager
def running(name: str, command: Callable[[int], list[str]]) -> Iterator[Target]:
    """Run a server on its core for the length of the block."""
    port = free_port()
    with tempfile.TemporaryFile() as log, on_core(SERVER_CORE):
        process = subprocess.Popen([sys.executable, "-m", *command(port)], cwd=ROOT, stdout=log, stderr=log)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()
                break
            except ConnectionRefusedError:
                process.poll()
                threading.Event().wait(0.1)
        yield Target(name, process.pid, port)
    finally:
        process.kill()
        process.wait()


def _uvicorn(port: int) -> list[str]:
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return ["uvicorn", "benchmarks.stream_servers:app", "--port", str(port), *options]


def _bare(port: int) -> list[str]:
    return ["benchmarks.stream_servers", str(port)]


def measure(target: Target, size: int, connections: int, seconds: float) -> tuple[float, float]:
    """One run: chunks a second, and microseconds of CPU time for each."""
    before = cpu_time(target.pid)
    sample = generator.run(
        "stream", LOAD_CORE, seconds=seconds, port=target.port, segment=size, connections=connections
    )
    return sample.rate, (cpu_time(target.pid) - before) / sample.answers * 1e6


def compare(ours: Target, bare: Target, plan: argparse.Namespace) -> None:
    """Print one line for each size of chunks and number of connections."""
    print("| chunk | connections | UpgradeStream, chunks/s | asyncio streams | ratio | CPU time each | ratio |")
    print("|---|---|---|---|---|---|---|")
    for size in plan.sizes:
        for connections in plan.connections:
            rounds = []
            for number in range(plan.runs):
                order = (ours, bare) if number % 2 else (bare, ours)
                figures = {target.name: measure(target, size, connections, plan.seconds) for target in order}
                rounds.append((figures[ours.name], figures[bare.name]))
            rates = [statistics.median(column) for column in zip(*((a[0], b[0]) for a, b in rounds), strict=True)]
            costs = [statistics.median(column) for column in zip(*((a[1], b[1]) for a, b in rounds), strict=True)]
            speed = statistics.median(a[0] / b[0] for a, b in rounds)
            thrift = statistics.median(b[1] / a[1] for a, b in rounds)
            print(
                f"| {size} B | {connections} | {rates[0]:,.0f} | {rates[1]:,.0f} | {speed:.2f} "
                f"| {costs[0]:.1f} µs, {costs[1]:.1f} µs | {thrift:.2f} |",
                flush=True,
            )


def connect(target: Target, path: str) -> socket.socket:
    """An upgraded connection."""
    connection = socket.create_connection(("127.0.0.1", target.port), timeout=TIMEOUT)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    connection.sendall(request.encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return connection


def upload(target: Target, size: int) -> None:
    """Send ``size`` bytes, which the server counts."""
    with connect(target, "/count") as connection:
        send(connection, size)
        connection.shutdown(socket.SHUT_WR)
        assert int(connection.recv(100)) == size


def download(target: Target, size: int) -> None:
    """Receive ``size`` bytes."""
    with connect(target, f"/pour?{size}") as connection:
        receive(connection, size)


def both(target: Target, size: int) -> None:
    """Send ``size`` bytes and receive them again."""
    with connect(target, "/") as connection:
        sender = threading.Thread(target=send, args=(connection, size))
        sender.start()
        receive(connection, size, end=False)
        sender.join()


def send(connection: socket.socket, size: int) -> None:
    """Send ``size`` bytes, whole mebibytes."""
    piece = bytes(MEBIBYTE)
    for _ in range(size // MEBIBYTE):
        connection.sendall(piece)


def receive(connection: socket.socket, size: int, *, end: bool = True) -> None:
    """Receive ``size`` bytes, and the end if there is to be one."""
    buffer = bytearray(MEBIBYTE)
    left = size
    while left:
        received = connection.recv_into(buffer)
        assert received, f"{left} bytes are missing"
        left -= received
    assert not end or connection.recv(1) == b""


def transfer(target: Target, size: int) -> None:
    """Print what memory the server takes while ``size`` bytes pass through it."""
    for run in (upload, download, both):
        run(target, 16 * MEBIBYTE)
    print(f"\n| {size // MEBIBYTE} MiB | memory before | most during | growth |")
    print("|---|---|---|---|")
    for run in (upload, download, both):
        before = most = memory(target.pid)
        worker = threading.Thread(target=run, args=(target, size))
        worker.start()
        while worker.is_alive():
            worker.join(0.1)
            most = max(most, memory(target.pid))
        print(
            f"| {run.__name__} | {before / MEBIBYTE:.1f} MiB | {most / MEBIBYTE:.1f} MiB "
            f"| {(most - before) / MEBIBYTE:.1f} MiB |",
            flush=True,
        )


def numbers(text: str) -> list[int]:
    """A list that is separated by commas."""
    return [int(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_echo", description=__doc__)
    parser.add_argument("--sizes", type=numbers, default=[64, 65536])
    parser.add_argument("--connections", type=numbers, default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--transfer", type=int, default=1024, help="MiB; 0 leaves it out")
    arguments = parser.parse_args()
    with running("ours", _uvicorn) as ours, running("bare", _bare) as bare:
        for target in (ours, bare):
            measure(target, 64, 8, 0.5)
        compare(ours, bare, arguments)
        if arguments.transfer:
            transfer(ours, arguments.transfer * MEBIBYTE)


if __name__ == "__main__":
    main()
