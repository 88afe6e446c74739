"""Run the Autobahn cases against the WebSocket engine, in a real uvicorn, and judge the report strictly.

``kosoku`` runs the cases. A case passes if its behaviour and its close are both OK or INFORMATIONAL; what Autobahn
calls NON-STRICT, UNCLEAN or WRONG CODE fails here.

    python -m tests.autobahn.run               # all 517 cases
    python -m tests.autobahn.run --quick       # the 301 outside sections 12 and 13, in a few seconds
    python -m tests.autobahn.run '6.*' 7.1.1   # a selection
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sysconfig
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SECTIONS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing",
    "9": "Limits and performance",
    "10": "Miscellaneous",
    "12": "Compression of various data",
    "13": "Compression with various parameters",
}
STRICT = ("OK", "INFORMATIONAL")
COMPRESSION = ["12.*", "13.*"]
# kosoku allows each case 20 seconds, and a compression case moves up to 250 MiB in lock-step.
COMPRESSION_PARALLELISM = 2
TOO_SLOW = "did not finish within"
REPETITIONS = 3


class Case(NamedTuple):
    """What the report says of one case."""

    id: str
    behavior: str
    close: str
    explanation: str

    @property
    def section(self) -> str:
        return self.id.split(".", 1)[0]

    @property
    def strict(self) -> bool:
        return self.behavior in STRICT and self.close in STRICT

    @property
    def worst(self) -> str:
        return self.close if self.behavior in STRICT and self.close != "OK" else self.behavior


class Runner:
    """Runs selections of cases against one server, and keeps the newest report of each case."""

    def __init__(self, url: str, reports: Path) -> None:
        self.cases: dict[str, Case] = {}
        self._url = url
        self._reports = reports
        self._runs = 0

    def run(self, include: Iterable[str], exclude: Iterable[str], parallelism: int) -> None:
        self._runs += 1
        report = self._reports / str(self._runs)
        command = [str(Path(sysconfig.get_path("scripts"), "kosoku")), "-p", str(parallelism), "-o", str(report)]
        for option, selection in (("-i", include), ("-x", exclude)):
            for case in selection:
                command += [option, case]
        # It also fails if a case does; what counts is the report.
        run = subprocess.run([*command, self._url], capture_output=True, text=True, check=False)
        if not (report / "index.json").exists():
            raise SystemExit(f"kosoku wrote no report:\n{run.stdout}{run.stderr}")
        [agent] = json.loads((report / "index.json").read_bytes()).values()
        for number, entry in agent.items():
            details = json.loads((report / entry["reportfile"]).read_bytes())
            explanation = f"{details['result'].strip()} {details['resultClose'].strip()} ({details['duration']} ms)"
            self.cases[number] = Case(number, entry["behavior"], entry["behaviorClose"], explanation)

    def run_selected(self, options: argparse.Namespace) -> None:
        if options.cases:
            self.run(options.cases, (), options.parallelism)
            return
        self.run((), COMPRESSION, options.parallelism)
        if not options.quick:
            self.run(COMPRESSION, (), min(options.parallelism, COMPRESSION_PARALLELISM))
            self._repeat_slow()

    def _repeat_slow(self) -> None:
        """Run alone what took too long, because another load on the machine may have been in its way."""
        for _ in range(REPETITIONS):
            slow = [case.id for case in self.cases.values() if TOO_SLOW in case.explanation]
            if not slow:
                return
            print("Too slow, repeated one by one:", *slow, flush=True)
            self.run(slow, (), 1)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.autobahn.run", description="Run the Autobahn cases against the WebSocket engine."
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="a case or a pattern, such as 6.*; default: all")
    parser.add_argument("-q", "--quick", action="store_true", help="leave out the long cases: sections 12 and 13")
    parser.add_argument("-p", "--parallelism", type=int, default=16, help="cases to run at a time; default: 16")
    parser.add_argument("-o", "--report", type=Path, metavar="DIRECTORY", help="where to keep the reports of kosoku")
    parser.add_argument("--http", default="auto", help="uvicorn's HTTP parser: h11, httptools or zttp")
    parser.add_argument("--loop", default="auto", help="uvicorn's event loop: asyncio or uvloop")
    parser.add_argument("--bare", action="store_true", help="test uvicorn's own WebSockets instead, for comparison")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what ``arguments`` select; return the exit status."""
    options = parse(arguments)
    with ExitStack() as stack:
        reports = options.report or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(
            uvicorn(
                "app:app",
                *("--app-dir", str(Path(__file__).parent), "--no-access-log", "--ws-max-size", str(64 * 1024 * 1024)),
                http=options.http,
                loop=options.loop,
                environment={"AUTOBAHN_BARE": "1"} if options.bare else {},
            )
        )
        start = time.monotonic()
        runner = Runner(server.url("ws"), reports)
        runner.run_selected(options)
        seconds = time.monotonic() - start
        tracebacks = sum("Traceback" in line for line in server.log.lines)
    cases = sorted(runner.cases.values(), key=lambda case: [int(part) for part in case.id.split(".")])
    print_table(cases)
    print(f"\n{len(cases)} cases in {seconds:.0f} seconds.")
    offending = [case for case in cases if not case.strict]
    for case in offending:
        print(f"{case.id}: {case.behavior}, close {case.close}. {case.explanation}")
    if tracebacks:
        print(f"The server logged {tracebacks} tracebacks.")
    return 0 if cases and not offending and not tracebacks else 1


def print_table(cases: list[Case]) -> None:
    """Print how many cases of each section came out how, in Markdown."""
    seen = {case.worst for case in cases}
    outcomes = [*STRICT, *sorted(seen.difference(STRICT))]
    print("| section | cases |", *(f"{outcome} |" for outcome in outcomes))
    print("|---|---|" + "---|" * len(outcomes))
    for section, name in [*SECTIONS.items(), ("", "")]:
        counts = Counter(case.worst for case in cases if section in ("", case.section))
        if counts:
            title = f"{section} {name}" if section else "all"
            print(f"| {title} | {counts.total()} |", *(f"{counts[outcome]} |" for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
