"""Measure asgi-upgrade beside the ASGI servers that are installed; prints tables in Markdown."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from benchmarks import chart, environments, memory, report, speed
from benchmarks.model import Contestant, Plan, Result
from benchmarks.rows import ROWS, SIZES, Row
from benchmarks.servers import SERVERS


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    row_names = ", ".join(row.key for row in (*ROWS, *SIZES))
    parser.add_argument(
        "--rows", type=_names, help=f"which rows, separated by commas (default: all up to http): {row_names}"
    )
    all_servers = [name for name, server in SERVERS.items() if server.by_default]
    parser.add_argument(
        "--servers",
        type=_names,
        default=all_servers,
        help=f"which servers (default: {','.join(all_servers)}); bare is what the event loop can do at most",
    )
    parser.add_argument("--runs", type=int, default=5, help="runs for each server and row (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a run (default: %(default)s)")
    parser.add_argument("--loops", type=_names, default=["uvloop"], help="event loops to compare: uvloop,asyncio")
    parser.add_argument("--pythons", type=_names, default=[], help="Python versions to compare, such as 3.10,3.13")
    parser.add_argument("--tls", action="store_true", help="over TLS (needs openssl and its headers)")
    parser.add_argument("--server-core", type=int, default=0, help="core of the servers (default: %(default)s)")
    parser.add_argument("--load-core", type=int, default=1, help="core of the load generator (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the results as SVG")
    return parser.parse_args()


def contestants(options: argparse.Namespace) -> list[Contestant]:
    """Each installed server on each event loop and Python that is to be compared."""
    pythons = {version: environments.python(version) for version in options.pythons} or {"": sys.executable}
    installed = [SERVERS[name] for name in options.servers if options.pythons or find_spec(SERVERS[name].package)]
    found: list[Contestant] = []
    for (version, python), loop, server in product(pythons.items(), options.loops, installed):
        compared = [f"Python {version}" if version else "", loop if len(options.loops) > 1 else ""]
        found.append(Contestant(server, python, loop, variant=", ".join(filter(None, compared))))
    return found


def main() -> None:
    """Run it."""
    options = arguments()
    plan = Plan(
        runs=options.runs,
        seconds=options.seconds,
        server_core=options.server_core,
        load_core=options.load_core,
        certificate=environments.certificate() if options.tls else None,
    )
    rows = [row for row in (*ROWS, *SIZES) if row.key in options.rows] if options.rows else ROWS
    results: dict[Row, Sequence[Result]] = {}
    taking_part = contestants(options)
    for row in rows:
        run_row = memory.run_row if row.mode == "idle" else speed.run_row
        results[row] = run_row(row, taking_part, plan, lambda line: print(line, file=sys.stderr, flush=True))
        # After each row, so that a run that is broken off leaves what it has.
        if options.json:
            options.json.write_text(report.as_json(results, plan))
        if options.chart:
            options.chart.write_text(chart.draw(results))
    print(report.text(results))


if __name__ == "__main__":
    main()
