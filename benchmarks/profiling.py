"""Where a server's time goes in one row: ``python -m benchmarks.profiling ROW``, which samples with py-spy."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.model import Contestant, Plan
from benchmarks.rows import ROWS, SIZES, Row
from benchmarks.servers import SERVERS, running
from benchmarks.speed import Load

RATE = 200  # samples per second
LINE = re.compile(r":\d+\)$")
SAMPLER = Path(sys.executable).parent / "py-spy"


def record(contestant: Contestant, row: Row, plan: Plan, native: bool) -> list[str]:
    """Stacks of the server while it is under load, one a line: frames separated by semicolons, then a count."""
    with tempfile.TemporaryDirectory() as folder:
        load, stacks = Load(row, plan, Path(folder)), Path(folder) / "stacks"
        (load.folder / "frames").write_bytes(row.frames())
        settings = contestant.settings(row, plan)
        with running(contestant.server, settings, contestant.python, plan.server_core) as pid:
            load.run(settings.port, 0.5)
            command: list[str | Path] = [SAMPLER, "record", "--pid", str(pid), "--format", "raw", "--output", stacks]
            # Without --nonblocking the sampler stops the server each time, which distorts what it sees.
            options = [
                "--nonblocking",
                "--rate",
                str(RATE),
                "--duration",
                str(int(plan.seconds)),
                *(["--native"] if native else []),
            ]
            with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE):
                print(load.run(settings.port, plan.seconds + 1), file=sys.stderr)
        return stacks.read_text().splitlines()


def shares(stacks: list[str], top: int) -> str:
    """A Markdown table of the functions that take the most time: by themselves, and with all they call."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    samples = 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = [LINE.sub(")", frame.strip()) for frame in stack.split(";")]
        samples += int(count)
        own[frames[-1]] += int(count)
        for frame in set(frames):
            total[frame] += int(count)
    lines = ["| function | alone | with all it calls |", "|---|--:|--:|"]
    for frame, alone in own.most_common(top):
        lines.append(f"| `{frame}` | {alone / samples:.1%} | {total[frame] / samples:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Run it."""
    rows = {row.key: row for row in (*ROWS, *SIZES) if row.mode != "idle"}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description=__doc__)
    parser.add_argument("row", choices=rows)
    parser.add_argument("--server", choices=SERVERS, default="asgi-upgrade")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--top", type=int, default=30, help="functions to show (default: %(default)s)")
    parser.add_argument("--native", action="store_true", help="look into C code as well")
    parser.add_argument("--stacks", type=Path, metavar="FILE", help="keep the stacks, for a flame graph")
    options = parser.parse_args()
    plan = Plan(seconds=options.seconds)
    stacks = record(Contestant(SERVERS[options.server], sys.executable), rows[options.row], plan, options.native)
    if options.stacks:
        options.stacks.write_text("\n".join(stacks) + "\n")
    print(shares(stacks, options.top))


if __name__ == "__main__":
    main()
