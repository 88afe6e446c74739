"""The table of `docs/explanation/coverage.md`, from `uncovered.toml`. ``python -m tests.coverage.table`` writes it."""

from __future__ import annotations

from pathlib import Path

from tests.coverage import uncovered
from tests.docs_table import DocsTable

DOCS = DocsTable(
    Path(__file__).parents[2] / "docs" / "explanation" / "coverage.md",
    "<!-- Written by: python -m tests.coverage.table -->\n",
)


def render() -> str:
    """One line for each reason, with all the functions that it holds for."""
    lines = ["", "| why | where |", "|---|---|"]
    for entry in uncovered.read():
        places = [
            f"`{file.removeprefix('asgi_upgrade/')}`: {_list(names)}" for file, names in entry["functions"].items()
        ]
        lines.append(f"| {entry['reason']} | {'<br>'.join(places)} |")
    return "\n".join([*lines, "", ""])


def _list(functions: list[str]) -> str:
    return ", ".join(f"`{function}`" if function else "imports" for function in functions)


if __name__ == "__main__":
    DOCS.write(render())
