"""Measure how fast: all servers are up, and the load goes to them in turn, round after round."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import generator, messages
from benchmarks.generator import LoadError, Sample
from benchmarks.model import Contestant, Plan, Result, entrants
from benchmarks.processes import cpu_time
from benchmarks.rows import Row
from benchmarks.servers import ServerError, running

WARM_UP = 0.5  # seconds of load that do not count, for each server before the first round


@dataclass(frozen=True)
class Target:
    """A running server: process id and port."""

    pid: int
    port: int


@dataclass(frozen=True)
class Load:
    """The load of one row; ``folder`` holds its files."""

    row: Row
    plan: Plan
    folder: Path

    def run(self, port: int, seconds: float, record: Path | None = None) -> Sample:
        """Put the load on the server at ``port``; raises LoadError if an answer is wrong."""
        return generator.run(
            self.row.mode,
            self.plan.load_core,
            seconds=seconds,
            tls=self.plan.tls,
            port=port,
            connections=self.row.connections,
            depth=self.row.depth,
            frames=self.folder / "frames",
            offer=self.row.offer,
            segment=self.row.segment,
            record=record,
        )

    def measure(self, target: Target) -> Sample:
        """One run that counts, with the CPU time that the server spent."""
        before = cpu_time(target.pid)
        sample = self.run(target.port, self.plan.seconds)
        return replace(sample, cpu=(cpu_time(target.pid) - before) / sample.answers * 1e6)

    def warm_up(self, target: Target) -> float | None:
        """A run that does not count. The generator compares plain answers by itself; compressed ones are checked here.

        Returns the size of compressed answers over their plain size, None if they are not compressed.
        """
        if self.row.offer is None:
            self.run(target.port, WARM_UP)
            return None
        record = self.folder / "record"
        self.run(target.port, WARM_UP, record)
        return messages.check_answers(record.read_bytes(), self.row.messages)


def run_row(row: Row, contestants: Sequence[Contestant], plan: Plan, say: Callable[[str], None]) -> list[Result]:
    """Measure ``row`` for all contestants that may take part in it."""
    results = entrants(row, contestants)
    rounds = range(plan.runs)
    with tempfile.TemporaryDirectory() as folder:
        load = Load(row, plan, Path(folder))
        (load.folder / "frames").write_bytes(row.frames())
        for numbers in [range(number, number + 1) for number in rounds] if row.fresh_servers else [rounds]:
            _run_rounds(load, results, numbers, say)
    return list(results.values())


def _run_rounds(
    load: Load, results: Mapping[Contestant, Result], rounds: Iterable[int], say: Callable[[str], None]
) -> None:
    """Start the servers, and measure each of them once in each round."""
    row, plan = load.row, load.plan
    with ExitStack() as stack:
        targets: dict[Contestant, Target] = {}
        for contestant, result in results.items():
            if result.error is not None:
                continue
            settings = contestant.settings(row, plan)
            try:
                pid = stack.enter_context(running(contestant.server, settings, contestant.python, plan.server_core))
                targets[contestant] = Target(pid, settings.port)
                result.compressed_to = load.warm_up(targets[contestant])
            except (ServerError, LoadError, ValueError) as error:
                result.error = str(error)
        for number in rounds:
            fit = [contestant for contestant in targets if results[contestant].error is None]
            # Every other round runs backwards, so that nobody always follows the same neighbour.
            for contestant in fit if number % 2 == 0 else reversed(fit):
                result = results[contestant]
                try:
                    result.samples.append(load.measure(targets[contestant]))
                except LoadError as error:
                    result.error = str(error)
                    continue
                figure = f"{result.samples[-1].rate:,.0f} {row.unit}"
                say(f"{row.key}  round {number + 1}  {result.name} {result.variant}  {figure}")
