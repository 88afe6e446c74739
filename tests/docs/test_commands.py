"""The commands of this repository that the documentation names are there, and each claim of the comparison has one."""

from __future__ import annotations

import re

import pytest

from tests.docs.blocks import ROOT
from tests.docs.commands import find_commands, find_mistakes

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = [(page, command) for page in PAGES for command in find_commands(page.read_text(encoding="utf-8"))]
COMPARISON = (ROOT / "docs" / "explanation" / "comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted({command for _, command in COMMANDS}))
def test_what_a_command_names_is_there(command: str) -> None:
    assert list(find_mistakes(command)) == []


@pytest.mark.parametrize(
    "command",
    [
        "pytest tests/docs/test_nothing.py",
        "pytest tests/docs/test_comparison.py -k no_such_thing",
        "tox -e nothing",
        "tox -e e2e -- -k no_such_thing",
        "tox -e servers -- tests/servers/test_hypercorn.py",  # beside all others
        "tox -e bench -- --rows nothing --servers uvicorn",
        "python -m benchmarks --rows lockstep --servers nothing",
        "python -m benchmarks.nothing",
    ],
)
def test_what_is_not_there_is_noticed(command: str) -> None:
    assert list(find_mistakes(command)) != []


def test_each_claim_of_the_comparison_has_a_command_or_a_link() -> None:
    rows = [line.strip("| ").split(" | ") for line in COMPARISON.splitlines() if line.startswith("|")]
    claims = [row for row in rows if row[-1] != "shown by" and set(row[0]) != {"-", "|"}]
    assert len(claims) > 25
    for *claim, shown_by in claims:
        assert find_commands(shown_by) or re.search(r"\]\(https://", shown_by), claim


def test_commands_are_found() -> None:
    """In the comparison, in other pages, and in blocks."""
    commands = {command for _, command in COMMANDS}
    assert {"tox -e demo", "tox -e lowest", "python -m benchmarks.h2c", "tox -e servers -- -k tornado"} <= commands
