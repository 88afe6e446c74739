"""What is known to differ, and how a run compares with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """What a run says about the list.

    Attributes:
        listed: Ids of tests that differ and stand in the list.
        unlisted: Ids of tests that differ and do not.
        outdated: Patterns of the list, each with the ids of its tests that do not differ. None at all: there is no such
            test any more.
    """

    listed: list[str] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    outdated: dict[str, list[str]] = field(default_factory=dict)


def compare(
    differing: Iterable[str], ran: Iterable[str], differences: Iterable[str], sometimes: Iterable[str] = ()
) -> Comparison:
    """Compare a run with what is known.

    Args:
        differing: Ids of the tests that differ.
        ran: Ids of all tests that ran and could have differed.
        differences: Patterns of tests that are known to differ. ``*`` stands for anything.
        sometimes: The same, of tests that may or may not differ from run to run.
    """
    differing, ran = list(differing), list(ran)
    always = {pattern: _compiled(pattern) for pattern in differences}
    known = [*always.values(), *map(_compiled, sometimes)]
    comparison = Comparison()
    for test in differing:
        of_its_kind = comparison.listed if any(each.fullmatch(test) for each in known) else comparison.unlisted
        of_its_kind.append(test)
    for pattern, compiled in always.items():
        matching = [test for test in ran if compiled.fullmatch(test)]
        same = [test for test in matching if test not in differing]
        if same or not matching:
            comparison.outdated[pattern] = same
    return comparison


def patterns(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the patterns of a list.

    Args:
        entries: Each has ``tests``, patterns, and ``reason``, a sentence.

    Raises:
        ValueError: One has no reason.
    """
    for entry in entries:
        if not entry["reason"].endswith("."):
            raise ValueError(f"{entry['tests']} need a reason, a sentence")
    return [pattern for entry in entries for pattern in entry["tests"]]


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
