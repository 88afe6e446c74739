"""``python -m benchmarks.fairness``: what others notice of greedy applications and of a broadcast.

Four applications send without end to clients that read: 32 bytes, 1 KiB deflated, 60 KiB, and a raw stream, which only
asgi-upgrade has. Meanwhile a WebSocket is echoed and a page is asked for on new connections. Then the clients reset
their connections, and the loops should end.

A broadcast goes to many connections from one loop of the application; the first and the last of them look at when.
"""

from __future__ import annotations

import argparse
import base64
import multiprocessing
import select
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from benchmarks import generator
from benchmarks.generator import LoadError
from benchmarks.processes import on_core
from benchmarks.servers import SERVERS, Settings, free_port, running

SERVER_CORE, LOAD_CORE = 0, 1
PATIENCE = 5.0  # seconds after which an answer counts as none
NAMES = ("asgi-upgrade", "uvicorn", "h2corn")
KEY = base64.b64encode(bytes(16)).decode()
RESET = struct.pack("ii", 1, 0)


def connect(port: int) -> socket.socket:
    """A connection with a timeout on everything."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_head(sock: socket.socket) -> bytes:
    """The head of a response; what has come behind it is lost."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise LoadError(f"the connection ended after {data!r}")
        data += more
    return data


def upgrade(port: int, path: str, protocol: str = "websocket", extensions: str = "") -> socket.socket:
    """A connection that has been switched."""
    sock = connect(port)
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: Upgrade", f"Upgrade: {protocol}"]
    if protocol == "websocket":
        lines += ["Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]
    if extensions:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    sock.sendall("\r\n".join([*lines, "", ""]).encode())
    head = read_head(sock)
    if not head.startswith(b"HTTP/1.1 101"):
        raise LoadError(f"no 101, but {head!r}")
    return sock


def get(port: int, path: str = "/") -> bytes:
    """The body of a page, over a connection of its own."""
    with connect(port) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while more := sock.recv(65536):
            data += more
    return data.partition(b"\r\n\r\n")[2]


def read_greedy(port: int, paths: Sequence[tuple[str, str, str]], control: Connection) -> None:
    """Open connections and take what comes until told to stop; then reset them."""
    socks = [upgrade(port, path, protocol, extensions) for path, protocol, extensions in paths]
    control.send("ready")
    buffer = bytearray(1 << 20)
    while not control.poll():
        for sock in select.select(socks, [], [], 0.05)[0]:
            sock.recv_into(buffer)
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
    control.send("gone")


@contextmanager
def greedy(port: int, *, stream: bool) -> Iterator[Connection]:
    """The greedy applications and their clients; gives what tells the clients to leave."""
    paths = [("/greedy/32", "websocket", ""), ("/greedy/61440", "websocket", "")]
    paths.append(("/greedy/1024", "websocket", "permessage-deflate"))
    if stream:
        paths.append(("/", "greedy", ""))
    ours, theirs = multiprocessing.Pipe()
    with on_core(LOAD_CORE):
        process = multiprocessing.Process(target=read_greedy, args=(port, paths, theirs), daemon=True)
        process.start()
    try:
        if not ours.poll(PATIENCE) or ours.recv() != "ready":
            raise LoadError("the server does not even accept them all")
        yield ours
    finally:
        process.kill()
        process.join()


@dataclass
class Noticed:
    """Milliseconds."""

    echo: list[float] = field(default_factory=list)
    page: list[float] = field(default_factory=list)
    end: float | None = None  # from the clients' reset to the end of the loops
    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)


def measure_greedy(port: int, seconds: float, noticed: Noticed, *, stream: bool) -> None:
    """Ask others while the greedy ones run. Stops at the first answer that does not come."""
    with greedy(port, stream=stream) as control:
        echo = upgrade(port, "/echo")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            start = time.monotonic()
            echo.sendall(b"\x81\x84\0\0\0\0ping")
            if len(echo.recv(6, socket.MSG_WAITALL)) != 6:
                raise LoadError("the echo has ended")
            noticed.echo.append((time.monotonic() - start) * 1000)
            start = time.monotonic()
            get(port)
            noticed.page.append((time.monotonic() - start) * 1000)
        control.send("leave")
        control.recv()
        start = time.monotonic()
        while get(port, "/running") != b"0":
            if time.monotonic() - start > PATIENCE:
                return
            time.sleep(0.01)
        noticed.end = (time.monotonic() - start) * 1000


def read_text(sock: socket.socket) -> bytes:
    """The next short text message; pings may come before it."""
    while True:
        head = sock.recv(2, socket.MSG_WAITALL)
        if len(head) < 2:
            raise LoadError("a connection in the room has ended")
        payload = sock.recv(head[1], socket.MSG_WAITALL) if head[1] else b""
        if head[0] == 0x81:
            return payload


def measure_broadcast(port: int, connections: int, runs: int, noticed: Noticed) -> None:
    """How long after the beginning the first and the last of many have their copy."""
    first = upgrade(port, "/room")
    process = generator.start("idle", LOAD_CORE, tls=False, port=port, connections=connections)
    try:
        if generator.read_line(process.stdout) != "ready":
            raise LoadError(generator.read_line(process.stderr))
        last = upgrade(port, "/room")
        for _ in range(runs):
            trigger = connect(port)
            trigger.sendall(b"GET /broadcast HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            for sock, times in ((first, noticed.first), (last, noticed.last)):
                began = int(read_text(sock))
                times.append((time.monotonic_ns() - began) / 1e6)
            trigger.close()
            time.sleep(0.2)
    finally:
        process.kill()
        process.communicate()


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which ``part`` of ``values`` are."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def shown(values: Sequence[float]) -> str:
    """Median and 99th percentile."""
    return f"{statistics.median(values):.1f} / {percentile(values, 0.99):.1f}" if values else "no answer"


def measure(name: str, loop: str, options: argparse.Namespace) -> Noticed:
    """Measure one server."""
    noticed = Noticed()
    app = "greedy_apps:upgraded" if name == "asgi-upgrade" else "greedy_apps:plain"
    for part in ("greedy", "broadcast"):
        settings = Settings(app, free_port(), loop, None, None)
        with running(SERVERS[name], settings, sys.executable, SERVER_CORE):
            try:
                if part == "greedy":
                    measure_greedy(settings.port, options.seconds, noticed, stream=name == "asgi-upgrade")
                else:
                    measure_broadcast(settings.port, options.connections, options.runs, noticed)
            except (LoadError, OSError) as error:
                print(f"{name}, {loop}, {part}: {error}", file=sys.stderr)
    return noticed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--servers", default=",".join(NAMES), help="which, separated by commas (default: %(default)s)")
    parser.add_argument("--loops", default="uvloop,asyncio", help="on which event loops (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of greed (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=8000, help="of the broadcast (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="broadcasts (default: %(default)s)")
    options = parser.parse_args()
    generator.build()
    print("| server | echo p50 / p99, ms | page p50 / p99, ms | end after the clients', ms | first, ms | last, ms |")
    print("|---|--:|--:|--:|--:|--:|")
    for loop in options.loops.split(","):
        for name in options.servers.split(","):
            noticed = measure(name, loop, options)
            end = "never" if noticed.end is None else f"{noticed.end:.0f}"
            copies = [f"{statistics.median(each):.1f}" if each else "" for each in (noticed.first, noticed.last)]
            print(
                f"| {name}, {loop} | {shown(noticed.echo)} | {shown(noticed.page)} | {end} | {' | '.join(copies)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
