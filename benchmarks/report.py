"""The results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from benchmarks.model import Plan, Result
from benchmarks.rows import Row

Results = Mapping[Row, Sequence[Result]]

PACKAGES = (
    *("asgi-upgrade", "uvicorn", "uvloop", "httptools", "websockets", "starlette"),
    *("h2corn", "granian", "gunicorn", "hypercorn", "picows"),
)
OWN = "asgi-upgrade"
COMPILED = "asgi-upgrade-compiled"
BASE = "uvicorn"


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": versions,
    }


def figure(value: float, unit: str) -> str:
    """A figure in the fewest digits that still tell something."""
    return f"{value:,.0f}" if unit != "KiB" and value >= 100 else f"{value:.1f}"


def finished(found: Sequence[Result]) -> dict[str, Result]:
    """The results of those that went through all runs, by name."""
    return {result.name: result for result in found if result.samples and result.error is None}


def ratios(row: Row, found: Sequence[Result], own: str) -> tuple[str, str]:
    """The ratio of asgi-upgrade, pure or compiled, to uvicorn, and to the best of all others."""
    done = finished(found)
    ours = done.get(own)
    others = [result for name, result in done.items() if name not in (OWN, COMPILED)]
    if ours is None or not others:
        return "", ""
    best = (max if row.more_is_better else min)(others, key=lambda result: result.median)
    to_base = f"{ours.ratio(done[BASE]):.2f}" if BASE in done else ""
    return to_base, f"{ours.ratio(best):.2f} ({best.name})"


def table(title: str, results: Results, cell: Callable[[Row, Result], str], with_ratios: bool = False) -> str:
    """A Markdown table with a line for each row and a column for each server."""
    names = list(dict.fromkeys(result.name for found in results.values() for result in found))
    owns = [name for name in (OWN, COMPILED) if name in names and with_ratios]
    head = [title, *names]
    for own in owns:
        which = f"{own}, " if len(owns) > 1 else ""
        head += [f"{which}ratio to {BASE}", f"{which}ratio to the best other"]
    lines = [_line(head), "|---" + "|--:" * (len(head) - 1) + "|"]
    for row, found in results.items():
        done = finished(found)
        cells = [cell(row, done[name]) if name in done else "" for name in names]
        lines.append(_line([row.title, *cells, *(each for own in owns for each in ratios(row, found, own))]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rate(row: Row, result: Result) -> str:
    return f"{figure(result.median, row.unit)} {row.unit}"


def _trip(_: Row, result: Result) -> str:
    middle = statistics.median(sample.p50 for sample in result.samples)
    late = statistics.median(sample.p99 for sample in result.samples)
    return f"{middle / 1000:.2f} / {late / 1000:.2f}"


def _cpu(_: Row, result: Result) -> str:
    return figure(statistics.median(sample.cpu for sample in result.samples), "µs")


def text(results: Results) -> str:
    """All tables, one set for each variant: figures with ratios, round trips, CPU time, and who did not finish."""
    parts: list[str] = []
    for variant in dict.fromkeys(result.variant for found in results.values() for result in found):
        part = {row: [result for result in found if result.variant == variant] for row, found in results.items()}
        loads = {row: found for row, found in part.items() if row.mode != "idle"}
        parts.append(table(f"work {variant}".strip(), part, _rate, with_ratios=True))
        if loads:
            parts.append(table("round trip p50 / p99, ms", loads, _trip))
            parts.append(table("CPU time of the server for each answer, µs", loads, _cpu))
    lines = [f"{row.key}: {_failure(result)}" for row, found in results.items() for result in found if result.error]
    return "\n\n".join([*parts, "\n".join(lines)]).strip() + "\n"


def _failure(result: Result) -> str:
    last = (result.error or "").strip().splitlines()[-1:]
    return " ".join([result.name, result.variant, "did not finish:", *last])


def as_json(results: Results, plan: Plan) -> str:
    """Everything that was measured."""
    rows = [
        {
            "key": row.key,
            "title": row.title,
            "unit": row.unit,
            "more_is_better": row.more_is_better,
            "results": [{**asdict(result), "median": result.median if result.samples else None} for result in found],
        }
        for row, found in results.items()
    ]
    plan_values = {"runs": plan.runs, "seconds": plan.seconds, "tls": plan.certificate is not None}
    return json.dumps({"machine": machine(), "plan": plan_values, "rows": rows}, indent=2) + "\n"
