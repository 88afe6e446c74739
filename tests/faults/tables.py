"""Tables of what has to happen: a line for each cell, columns between bars."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT_OUT = "left out:"


class Cell(NamedTuple):
    """What is seen when something goes wrong in a phase.

    Attributes:
        phase: One of `phases.PHASES`.
        fault: What goes wrong.
        seen: What the client sees from there on; here and in the next column, what stands in brackets may be missing.
        told: What the application tells.
        logged: What the log says, see `logs.logged`.
    """

    phase: str
    fault: str
    seen: str
    told: str
    logged: str


def read(table: str) -> Iterator[Cell]:
    """The cells of a table. One that says why it is left out is none."""
    phase = ""
    for line in table.strip().splitlines():
        columns = [column.strip() for column in line.split("|")]
        phase = columns[0] or phase
        if columns[2].startswith(LEFT_OUT):
            continue
        columns += [""] * (5 - len(columns))
        yield Cell(phase, *columns[1:])


def matches(words: str, expected: str) -> bool:
    """Whether that is what was expected, with or without what stands in brackets."""
    optional = re.sub(r"\\\[(.*?)\\\]", r"(?:\1)?", re.escape(expected))
    return re.fullmatch(optional, words) is not None


def phases_and_faults(table: str) -> set[tuple[str, str]]:
    """All that a table speaks of, also what it leaves out."""
    pairs, phase = set(), ""
    for line in table.strip().splitlines():
        columns = [column.strip() for column in line.split("|")]
        phase = columns[0] or phase
        pairs.add((phase, columns[1]))
    return pairs
