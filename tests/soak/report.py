"""What was measured, for people."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.fairness import percentile
from benchmarks.report import machine
from tests.soak.contestant import middle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.contestant import Contestant
    from tests.soak.numbered import Totals


def line(contestant: Contestant) -> str:
    """The last round of a contestant."""
    done = contestant.rounds[-1]
    parts = [contestant.name]
    if done.crowd is not None:
        parts.append(f"{done.crowd.size / 1024:.1f} KiB each, {done.crowd.opened:,.0f} opened/s")
        parts.append(f"{done.crowd.echo.rate:,.0f} msg/s, p99 {done.crowd.echo.p99 / 1000:.1f} ms")
    parts.append(f"{done.exchange.totals.came:,} each way in {done.exchange_seconds:.1f} s")
    waits = percentile(done.storm.waits, 0.99) if done.storm.waits else 0.0
    parts.append(f"storm of {done.storm.clients}, witness p99 {waits:.1f} ms")
    state = done.state
    parts.append(f"{state.memory / 1024**2:.1f} MiB, {state.descriptors} fds, {state.tasks} tasks")
    parts.append(f"load {os.getloadavg()[0]:.1f}")
    return "; ".join(parts)


def problems(contestant: Contestant, most: int = 20) -> str:
    """What was wrong, each kind once."""
    found = Counter(contestant.problems).most_common()
    lines = [f"{contestant.name}: {what}" + (f" ({count} times)" if count > 1 else "") for what, count in found[:most]]
    return "\n".join([*lines, *([f"{contestant.name}: and {len(found) - most} more"] if len(found) > most else [])])


def text(contestants: Sequence[Contestant]) -> str:
    """A table in Markdown: medians of all rounds; memory of the first, later ones find room in what was given back."""
    rows: list[tuple[str, list[str]]] = []

    def row(title: str, *cells: str) -> None:
        rows.append((title, list(cells)))

    crowds = [[each.crowd for each in contestant.rounds if each.crowd is not None] for contestant in contestants]
    if all(crowds):
        row("connections open at once", *(f"{each[0].connections:,}" for each in crowds))
        row("memory for each", *(f"{each[0].size / 1024:.1f} KiB" for each in crowds))
        row("opened in a second", *(f"{middle([one.opened for one in each]):,.0f}" for each in crowds))
        row("messages in a second, 1 % active", *(f"{middle([one.echo.rate for one in each]):,.0f}" for each in crowds))
        trips = [
            (middle([one.echo.p50 / 1000 for one in each]), middle([one.echo.p99 / 1000 for one in each]))
            for each in crowds
        ]
        row("their round trip, p50 / p99", *(f"{p50:.1f} / {p99:.1f} ms" for p50, p99 in trips))
    both = [(contestant.totals["server"], contestant.totals["client"]) for contestant in contestants]
    row("numbered messages to the server and back", *(f"{ours.came:,} / {theirs.came:,}" for ours, theirs in both))
    row("lost", *(f"{ours.lost + theirs.lost}" for ours, theirs in both))
    row("doubled, reordered or damaged", *(str(sum(map(_wrong, each))) for each in both))
    costs = [
        sum(each.exchange_cpu for each in contestant.rounds) / max(contestant.totals["client"].came, 1) * 1e6
        for contestant in contestants
    ]
    row("the server's processor time for one each way", *(f"{cost:.0f} µs" for cost in costs))
    row("clients in storms", *(f"{sum(each.storm.clients for each in one.rounds):,}" for one in contestants))
    states = [(each.first, each.rounds[0].state, each.rounds[-1].state) for each in contestants]
    sizes = [[each.most_memory / 2**20 for each in contestant.rounds] for contestant in contestants]
    row("memory at most, first / last round", *(f"{each[0]:.0f} / {each[-1]:.0f} MiB" for each in sizes))
    row("blocks of memory after the first / last round", *(f"{a.blocks:,} / {b.blocks:,}" for _, a, b in states))
    before = [first for first, _, _ in states if first is not None]
    for what in ("descriptors", "tasks"):
        pairs = zip(before, states, strict=True)
        row(f"{what} before / after", *(f"{getattr(a, what)} / {getattr(b, what)}" for a, (_, _, b) in pairs))
    head = ["", *(contestant.name for contestant in contestants)]
    lines = [f"| {' | '.join(head)} |", "|---" + "|--:" * len(contestants) + "|"]
    lines += [f"| {title} | {' | '.join(cells)} |" for title, cells in rows]
    return "\n".join(
        ["", *lines, "", f"{len(contestants[0].rounds)} rounds. {_circumstances()} {_mix(contestants[0])}", ""]
    )


def _circumstances() -> str:
    found = machine()
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    parts = [found["cpu"], f"{found['cores']} cores", f"Linux {found['kernel']}", f"Python {found['python']}"]
    return ", ".join([*map(str, parts), f"load average {load}."])


def _mix(contestant: Contestant) -> str:
    exchanged = [each.exchange for each in contestant.rounds]
    counts = {
        "fragments": sum(each.fragments for each in exchanged),
        "pings": sum(each.pings for each in exchanged),
        "pings of the server": sum(each.server_pings for each in exchanged),
        "connections with deflate": sum(each.deflated for each in exchanged),
    }
    return f"{contestant.name} had " + ", ".join(f"{count:,} {what}" for what, count in counts.items()) + "."


def _wrong(totals: Totals) -> int:
    return totals.doubled + totals.reordered + totals.damaged
