"""Measure the memory of an idle connection: a fresh server for each round, many connections opened and held."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks import generator, processes
from benchmarks.generator import LoadError, Sample
from benchmarks.model import Contestant, Plan, Result, entrants
from benchmarks.rows import Row
from benchmarks.servers import ServerError, running

SETTLE = 0.5  # seconds for a server to calm down before its memory is read
FIRST = 50  # connections that are opened and closed beforehand, so that what is loaded once is loaded


def run_row(row: Row, contestants: Sequence[Contestant], plan: Plan, say: Callable[[str], None]) -> list[Result]:
    """Measure ``row`` for all contestants that may take part in it; a sample's rate is in KiB for each connection."""
    results = entrants(row, contestants)
    for number in range(plan.runs):
        for contestant, result in results.items():
            if result.error is not None:
                continue
            settings = contestant.settings(row, plan)
            try:
                with running(contestant.server, settings, contestant.python, plan.server_core) as pid:
                    result.samples.append(Sample(_per_connection(row, plan, settings.port, pid) / 1024))
            except (ServerError, LoadError) as error:
                result.error = str(error)
                continue
            figure = f"{result.samples[-1].rate:,.1f} {row.unit}"
            say(f"{row.key}  round {number + 1}  {result.name} {result.variant}  {figure}")
    return list(results.values())


def _per_connection(row: Row, plan: Plan, port: int, pid: int) -> float:
    """Bytes that each open connection adds to the server."""
    with _open(row, plan, port, FIRST):
        pass
    time.sleep(SETTLE)
    before = processes.memory(pid)
    with _open(row, plan, port, row.connections):
        time.sleep(SETTLE)
        return (processes.memory(pid) - before) / row.connections


@contextmanager
def _open(row: Row, plan: Plan, port: int, connections: int) -> Iterator[None]:
    """Hold idle connections open for the length of the block."""
    process = generator.start("idle", plan.load_core, tls=plan.tls, port=port, connections=connections, offer=row.offer)
    try:
        if generator.read_line(process.stdout) != "ready":
            raise LoadError(generator.read_line(process.stderr))
        yield
    finally:
        process.kill()
        process.communicate()
