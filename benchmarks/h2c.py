"""``python -m benchmarks.h2c``: requests a second on connections that were upgraded to HTTP/2, beside other servers.

All servers are up at once, on one core with uvloop; the load generator runs on another and goes to them in turn, every
other round in reverse order. A ratio is the median of the rounds' ratios. A machine that does other things as well
disturbs the rates, and hardly the CPU time for each request.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import generator
from benchmarks.processes import cpu_time
from benchmarks.servers import MANY, Server, Settings, free_port, running

SERVER_CORE, LOAD_CORE = 0, 1


def _uvicorn(settings: Settings) -> list[str]:
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return ["uvicorn", "benchmarks.h2c_apps:plain", "--port", str(settings.port), "--backlog", MANY, *options]


def _hypercorn(settings: Settings) -> list[str]:
    options = ("-k", "uvloop", "-w", "1", "-c", "python:benchmarks.hypercorn_h2c", "--log-level", "warning")
    return ["hypercorn", "benchmarks.apps:plain", "-b", f"127.0.0.1:{settings.port}", "--backlog", MANY, *options]


def _gunicorn(settings: Settings) -> list[str]:
    return [
        *("gunicorn", "benchmarks.apps:plain", "-k", "asgi", "-b", f"127.0.0.1:{settings.port}", "-w", "1"),
        *("--asgi-loop", "uvloop", "--worker-connections", MANY, "--backlog", MANY, "--log-level", "warning"),
        *("--http-protocols", "h1,h2", "--http2-cleartext", "upgrade"),
    ]


OURS = "asgi-upgrade"
SERVERS = (
    Server(OURS, "uvicorn", _uvicorn),
    Server("hypercorn", "hypercorn", _hypercorn),
    Server("gunicorn", "gunicorn", _gunicorn),
)


@dataclass(frozen=True)
class Target:
    """A running server."""

    name: str
    pid: int
    port: int


def measure(target: Target, connections: int, depth: int, seconds: float) -> tuple[float, float]:
    """One run: requests a second, and microseconds of CPU time for each."""
    before = cpu_time(target.pid)
    sample = generator.run("h2c", LOAD_CORE, seconds=seconds, port=target.port, connections=connections, depth=depth)
    return sample.rate, (cpu_time(target.pid) - before) / sample.answers * 1e6


def compare(targets: list[Target], plan: argparse.Namespace) -> None:
    """Print one line for each shape of the load and server."""
    print("| connections | streams each | server | requests/s | CPU time each | ours to it: speed | thrift |")
    print("|---|---|---|---|---|---|---|")
    for connections, depth in plan.shapes:
        rounds = []
        for number in range(plan.runs):
            order = targets if number % 2 else targets[::-1]
            rounds.append({target.name: measure(target, connections, depth, plan.seconds) for target in order})
        for target in targets:
            rate, cost = (
                statistics.median(column) for column in zip(*(each[target.name] for each in rounds), strict=True)
            )
            speed = statistics.median(each[OURS][0] / each[target.name][0] for each in rounds)
            thrift = statistics.median(each[target.name][1] / each[OURS][1] for each in rounds)
            figures = f"{rate:,.0f} | {cost:.1f} µs | {speed:.2f} | {thrift:.2f}"
            print(f"| {connections} | {depth} | {target.name} | {figures} |", flush=True)


def shape(text: str) -> tuple[int, int]:
    """Connections and streams on each, with an ``x`` between."""
    connections, _, depth = text.partition("x")
    return int(connections), int(depth)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.h2c", description=__doc__)
    parser.add_argument("--shapes", type=shape, nargs="+", default=[(1, 1), (1, 50), (16, 10)])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    generator.build()
    with ExitStack() as stack:
        targets = []
        for server in SERVERS:
            settings = Settings("", free_port(), "uvloop", None, None)
            pid = stack.enter_context(running(server, settings, sys.executable, SERVER_CORE))
            targets.append(Target(server.name, pid, settings.port))
        for target in targets:
            measure(target, 1, 10, 0.5)
        compare(targets, arguments)


if __name__ == "__main__":
    main()
