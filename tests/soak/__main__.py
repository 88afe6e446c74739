"""Soak a real uvicorn with the middleware: many connections, numbered messages, misbehaviour; nothing may be left over.

    python -m tests.soak                # the short form, less than a minute
    python -m tests.soak --long         # half an hour, plain uvicorn beside it
    python -m tests.soak --fault swap-outgoing     # what is said of a fault in the engine

Exits with 1 if a message is lost, doubled, reordered or damaged, if the server does anything but what it should with
a client that misbehaves, if it logs an error, or if memory, descriptors, tasks or objects are not flat at the end.
Plain uvicorn is measured for comparison: what is wrong with it is told, and is no failure. In the short form, faults
are put into the engine first, and each must be noticed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks import generator
from tests.soak import crowd, report
from tests.soak.contestant import APPS, Contestant, Work, cores, serving
from tests.soak.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

SHORT = Work(rounds=2, connections=2000, messages=16_000, clients=400)
LONG = Work(rounds=10, connections=10_000, crowd_seconds=3.0, messages=100_000, clients=1500)
OURS = "asgi-upgrade"
# What shows faults. None of a group looks like another one of it.
MESSAGES = Work(rounds=1, messages=6000, exchanging=30, patience=2.0, settle=4.0)
SESSIONS = Work(rounds=2, clients=100, settle=4.0)
GROUPS = (
    (MESSAGES, ("drop-incoming", "drop-outgoing", "double-incoming", "double-outgoing")),
    (MESSAGES, ("swap-incoming", "swap-outgoing", "flip-incoming", "flip-outgoing")),
    (SESSIONS, ("leak-tasks", "leak-descriptors", "leak-objects", "leak-memory")),
)
# What each must be called.
WORDS = {"drop": "lost", "double": "doubled", "swap": "reordered", "flip": "damaged"}
ENDS = {"incoming": "at the server", "outgoing": "at the client"}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="the long form, beside plain uvicorn")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the long form (default: %(default)s)")
    parser.add_argument("--servers", help=f"which, separated by commas: {', '.join(APPS)}")
    parser.add_argument("--connections", type=int, help="of the crowd (default: 10000, 2000 in the short form)")
    parser.add_argument("--loop", default="uvloop", help="uvloop or asyncio (default: %(default)s)")
    parser.add_argument("--fault", choices=FAULTS, help="put this into the engine, and see whether it is noticed")
    return parser.parse_args()


def notices(work: Work, faults: Sequence[str], on: tuple[int, int], loop: str) -> dict[str, str]:
    """What the soak says of each of these faults; nothing if it does not notice."""
    with serving(OURS, on, loop, ",".join(faults)) as contestant:
        for _ in range(work.rounds):
            contestant.work(work)
        contestant.judge()
    found: dict[str, str] = {}
    for fault in faults:
        kind, _, where = fault.partition("-")
        words = (WORDS.get(kind, where), ENDS.get(where, ""))
        fitting = [problem for problem in contestant.problems if all(word in problem for word in words)]
        found[fault] = fitting[0] if fitting else ""
    return found


def prove(wanted: Collection[str], on: tuple[int, int], loop: str) -> bool:
    """Put faults into the engine; tells whether each has been noticed, as what it is."""
    proven = True
    for work, group in GROUPS:
        faults = [fault for fault in group if fault in wanted]
        for fault, problem in notices(work, faults, on, loop).items() if faults else ():
            proven = proven and bool(problem)
            print(f"{fault}: {problem or 'NOT NOTICED'}", flush=True)
    return proven


def rounds(contestants: list[Contestant], work: Work, until: float) -> None:
    """Do rounds until the time is over, every other one in reverse order."""
    number = 0
    longest = 0.0
    while number < work.rounds or time.monotonic() + longest < until:
        start = time.monotonic()
        for contestant in contestants if number % 2 == 0 else reversed(contestants):
            contestant.work(work)
            print(f"round {number + 1}: {report.line(contestant)}", flush=True)
        number += 1
        longest = max(longest, time.monotonic() - start)


def main() -> int:
    """Run it; return the exit status."""
    options = arguments()
    start = time.monotonic()
    on = cores()
    os.sched_setaffinity(0, {on[1]})
    generator.build()
    if options.fault:
        return 0 if prove([options.fault], on, options.loop) else 1
    work = LONG if options.long else SHORT
    wanted = options.connections or work.connections
    connections = crowd.allowed(wanted)
    if connections < LONG.connections:
        why = "the limit of descriptors does not allow more" if connections < wanted else "for the sake of time"
        print(f"{connections:,} connections in the crowd instead of {LONG.connections:,}: {why}.")
    names = options.servers.split(",") if options.servers else list(APPS) if options.long else [OURS]
    proven = options.long or prove(FAULTS, on, options.loop)
    work = replace(work, connections=connections)
    with ExitStack() as stack:
        contestants = [stack.enter_context(serving(name, on, options.loop)) for name in names]
        rounds(contestants, work, start + options.minutes * 60 if options.long else 0.0)
        for contestant in contestants:
            contestant.judge()
        print(report.text(contestants), flush=True)
        for contestant in contestants:
            if contestant.problems:
                print(report.problems(contestant))
    failed = any(contestant.problems for contestant in contestants if contestant.name == OURS)
    print(f"{time.monotonic() - start:.0f} seconds. {'FAILED' if failed or not proven else 'Nothing is wrong.'}")
    return int(failed or not proven)


if __name__ == "__main__":
    sys.exit(main())
