"""Fifty clients over a network that loses packets: nobody who is there is taken for gone.

    python -m tests.soak.network                           # 50 ms each way, 2 % loss, pings each second
    python -m tests.soak.network --interval 20 --timeout 20 --seconds 300     # with the default pings

The clients are `websockets`' own. Some chat, some read what a server sends without end, some send as much as they can
to an application that is slow, some have much echoed. Exits with 1 if a connection ends while they do: with 1011,
"keepalive ping timeout", or otherwise. Needs Linux and root; without, it says so and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import ssl
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.environments import certificate
from benchmarks.servers import Server, Settings, free_port, running
from tests.soak import contestant, lossy

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LONG = bytes(range(256)) * 256  # 64 KiB


@dataclass
class Seen:
    """What the clients have seen."""

    messages: Counter[str] = field(default_factory=Counter)
    silences: list[float] = field(default_factory=list)  # the longest of each reader, in seconds
    problems: list[str] = field(default_factory=list)


async def chat(socket: ClientConnection, source: random.Random, seen: Seen) -> None:
    """A short message now and then."""
    for number in range(1_000_000):
        await socket.send(str(number))
        assert await socket.recv() == str(number)
        seen.messages["chat"] += 1
        await asyncio.sleep(source.random())


async def read(socket: ClientConnection, source: random.Random, seen: Seen) -> None:
    """Read all the time."""
    longest, last = 0.0, time.monotonic()
    try:
        async for _ in socket:
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            seen.messages["read"] += 1
    finally:
        seen.silences.append(longest)


async def write(socket: ClientConnection, source: random.Random, seen: Seen) -> None:
    """Write all the time; the application is slow."""
    while True:
        await socket.send(LONG)
        seen.messages["write"] += 1


async def echo(socket: ClientConnection, source: random.Random, seen: Seen) -> None:
    """Write and read all the time."""

    async def send() -> None:
        for _ in range(1_000_000):
            await socket.send(LONG[: source.randrange(len(LONG))])

    sending = asyncio.ensure_future(send())
    try:
        async for _ in socket:
            seen.messages["echo"] += 1
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


KINDS = {"/echo": (chat, echo), "/push": (read,), "/slow": (write,)}
WORK = [(path, kind) for path, kinds in KINDS.items() for kind in kinds]


async def clients(url: str, options: argparse.Namespace, tls: ssl.SSLContext | None, control: Connection) -> Seen:
    """Have them work. If an application takes nothing for some time, the news that it goes on gets lost."""
    held, until = options.hold, time.monotonic() + options.seconds
    seen = Seen()
    work = [(f"/hold/{held}", write)] if held else WORK

    async def one(number: int) -> None:
        path, kind = work[number % len(work)]
        start = time.monotonic()
        # Our own keepalive is off: it is the server's that is looked at.
        async with connect(
            f"{url}{path}",
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=60,
            close_timeout=1,
            ssl=tls,
        ) as socket:
            try:
                await asyncio.wait_for(kind(socket, random.Random(number), seen), max(until - time.monotonic(), 1))
                raise AssertionError("the server has closed")
            except asyncio.TimeoutError:
                socket.transport.abort()
            except (ConnectionClosed, AssertionError) as error:
                after = time.monotonic() - start
                seen.problems.append(f"{kind.__name__}, after {after:.1f} s: {error}, code {socket.close_code}")

    async def be_deaf() -> None:
        await asyncio.sleep(held - 0.5)
        control.send("deaf")
        await asyncio.sleep(1.5)
        control.send("hearing")

    deafness = asyncio.ensure_future(be_deaf()) if held else None
    results = await asyncio.gather(*(one(number) for number in range(options.clients)), return_exceptions=True)
    if deafness:
        await deafness
    for result in results:
        if isinstance(result, BaseException):
            seen.problems.append(f"{type(result).__name__}: {result}")
    return seen


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.network", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="(default: %(default)s)")
    parser.add_argument("--clients", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds each way (default: %(default)s)")
    parser.add_argument("--loss", type=float, default=0.02, help="part of the packets (default: %(default)s)")
    parser.add_argument("--interval", type=float, default=1.0, help="ping_interval (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=5.0, help="ping_timeout (default: %(default)s)")
    parser.add_argument("--loop", default="uvloop", help="uvloop or asyncio (default: %(default)s)")
    parser.add_argument("--server", default="asgi-upgrade", choices=contestant.APPS, help="(default: %(default)s)")
    parser.add_argument(
        "--hold",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="the application takes nothing for so long, and what then tells the clients to go on gets lost",
    )
    parser.add_argument("--tls", action="store_true", help="over TLS")
    return parser.parse_args()


def main() -> int:
    """Run it; return the exit status."""
    options = arguments()
    if not lossy.possible():
        print("No network can be made here: that needs root, /dev/net/tun and the command ip.")
        return 0
    files = certificate() if options.tls else (None, None)
    context = None
    if options.tls:
        context = ssl.create_default_context(cafile=str(files[0]))
        context.check_hostname = False
    app = contestant.APPS[options.server]

    def command(settings: Settings) -> list[str]:
        pings = ["--ws-ping-interval", str(options.interval), "--ws-ping-timeout", str(options.timeout)]
        tls = settings.tls("--ssl-certfile", "--ssl-keyfile")
        return [*contestant.command(settings), "--host", "0.0.0.0", *pings, *tls]

    with tempfile.TemporaryFile() as log, lossy.network(options.delay, options.loss) as network:
        network.enter_host(lossy.SERVER, lossy.CLIENT)
        settings = Settings(app, free_port(), options.loop, *files)
        core = min(contestant.cores())
        with contestant.environment(options.server):
            server = running(Server(options.server, "uvicorn", command), settings, sys.executable, core, log)
            with server:
                network.enter_host(lossy.CLIENT, lossy.SERVER)
                with lossy.carrying(network) as control:
                    url = f"{'wss' if context else 'ws'}://{lossy.SERVER}:{settings.port}"
                    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
                    seen = asyncio.run(clients(url, options, context, control))
        log.seek(0)
        logged = log.read().decode(errors="replace").splitlines()
    complaints = [line for line in logged if any(complaint in line for complaint in contestant.COMPLAINTS)]
    print(f"Messages: {dict(seen.messages)}.")
    if seen.silences:
        print(f"The longest time without a message for who reads: {max(seen.silences):.1f} s.")
    print(*seen.problems, *complaints, sep="\n")
    return int(bool(seen.problems or complaints or not seen.messages))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
