"""The Python examples of the documentation.

Every block of Python in the README and the docs runs as it is printed, unless a comment in front of it says otherwise:

- ``<!-- block: continues -->``: it goes on where the block that runs before it ends.
- ``<!-- block: fragment -->``: it shows some lines of a program. Their types are checked; `preamble` has the names
  that they take for granted.
- ``<!-- block: with examples/x/app.py -->``: it runs with the names of that program.
- ``<!-- block: from examples/x/app.py -->``: it is a part of that program, word for word. Other tests run that.
- ``<!-- block: tested -->``: a test of the page's own runs it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?:^ *<!-- block: (?P<mark>.*?) -->\n\n?)?^(?P<indent> *)```python\b.*\n(?P<code>(?s:.*?))^ *```$", re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A block of Python in a page.

    Attributes:
        page: The page, from the root of the repository.
        line: The line of the page on which the code begins.
        mark: One of the above, or an empty string.
        program: The file that ``with`` and ``from`` name.
        code: What is printed.
    """

    page: str
    line: int
    mark: str
    program: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def placed_code(self) -> str:
        """The code, on the lines that it has in the page, so that tracebacks and messages name these."""
        return "\n" * (self.line - 1) + self.code


def read_blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    text = path.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        mark, _, program = (found["mark"] or "").partition(" ")
        assert mark in ("", "continues", "fragment", "from", "tested", "with"), f"{path}: {mark} is no mark"
        line = text.count("\n", 0, found.start("code")) + 1
        yield Block(path.relative_to(ROOT).as_posix(), line, mark, program, _dedent(found["code"], found["indent"]))


def _dedent(code: str, indent: str) -> str:
    """The code of a block in a list, whose indentation is not its own."""
    return re.sub(f"^{indent}", "", code, flags=re.MULTILINE) if indent else code


def read_all() -> list[Block]:
    """The blocks of all pages."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [block for page in pages for block in read_blocks(page)]


def join_chains(blocks: list[Block]) -> list[list[Block]]:
    """The blocks, each with those that continue it."""
    chains: list[list[Block]] = []
    for block in blocks:
        if block.mark == "continues":
            chain = next(chain for chain in reversed(chains) if chain[0].mark in ("", "with"))
            assert chain[0].page == block.page
            chain.append(block)
        else:
            chains.append([block])
    return chains
