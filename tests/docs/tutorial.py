"""The steps of the tutorial: files to save, and commands to enter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PAGE = ROOT / "docs" / "tutorial" / "index.md"
_FENCE = re.compile(r'^```(?:python title="(?P<title>.*)"|console)\n(?P<text>(?s:.*?))^```$', re.MULTILINE)


def read_steps() -> Iterator[tuple[str, str]]:
    """Of each file its title and its code; of commands an empty title, and what a terminal shows."""
    for fence in _FENCE.finditer(_PAGE.read_text(encoding="utf-8")):
        yield fence["title"] or "", fence["text"]


def save(folder: Path, title: str, code: str) -> None:
    """Save a file, or put lines into it, if its title says more than its name."""
    name, comma, _ = title.partition(",")
    path = folder / name
    if comma:
        code = _insert(path.read_text(encoding="utf-8"), code)
    path.write_text(code, encoding="utf-8")


def save_all(folder: Path) -> None:
    """Save the files, as they are at the end of the tutorial."""
    for title, code in read_steps():
        if title:
            save(folder, title, code)


def _insert(before: str, code: str) -> str:
    """Put what is new around the line that both have: an import above everything, the rest behind that line."""
    [shared] = [line for line in code.splitlines() if line and line in before.splitlines()]
    above, _, behind = code.partition(shared)
    return above + before.replace(shared, shared + behind.rstrip(), 1)
