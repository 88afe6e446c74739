"""The table of ``docs/reference/servers.md``, made from the results of ``test_matrix.py``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.docs_table import DocsTable

from .known_limits import LIMITS
from .running import COMMANDS

DOCS = DocsTable(
    Path(__file__).parents[2] / "docs" / "reference" / "servers.md",
    "<!-- Written by: tox -e servers -- --write-table -->\n",
)
_NOTES = "¹²³⁴⁵⁶⁷⁸⁹"


@dataclass
class Results:
    """What has come out so far.

    Attributes:
        rows: Each feature's test and its words, in the order of the table.
        cells: Test and server, and whether the feature works there.
    """

    rows: dict[str, str] = field(default_factory=dict)
    cells: dict[tuple[str, str], bool] = field(default_factory=dict)

    def add(self, test: str, server: str, *, works: bool) -> None:
        """Take a result in. A feature works if it does so in all tests of it."""
        self.cells[test, server] = works and self.cells.get((test, server), True)

    def render(self) -> str:
        """The table and its notes, in Markdown."""
        servers = list(COMMANDS)
        notes: list[str] = []
        lines = ["| | " + " | ".join(servers) + " |", "|---|" + ":-:|" * len(servers)]
        for test, words in self.rows.items():
            cells = [self._cell(test, server, notes) for server in servers]
            lines.append(f"| {words} | {' | '.join(cells)} |")
        lines.append("")
        for mark, note in zip(_NOTES, notes, strict=False):
            lines.append(f"{mark} {note[0].upper()}{note[1:]}.  ")
        return "\n".join(lines) + "\n"

    def _cell(self, test: str, server: str, notes: list[str]) -> str:
        works = self.cells.get((test, server))
        if works is None:
            return ""
        if works:
            return "✓"
        note = LIMITS.get(test, {}).get(server)
        assert note is not None, f"{test} fails on {server}: repair it, or list it in known_limits.py"
        if note not in notes:
            notes.append(note)
        return "✗" + _NOTES[notes.index(note)]
