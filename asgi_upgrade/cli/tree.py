"""Trees on a terminal: with colours if the package ``rich`` is there, and without it as plain text."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TextIO

__all__ = ["Tree", "show"]


@dataclass
class Tree:
    """A line, and what stands below it.

    Attributes:
        text: The line.
        style: How ``rich`` shows it: ``"green"``, ``"bold red"``. Default: plain.
        branches: What stands below it.
    """

    text: str
    style: str = ""
    branches: list[Tree] = field(default_factory=list)

    def add(self, text: str, style: str = "") -> Tree:
        """Add a line below, and return it."""
        branch = Tree(text, style)
        self.branches.append(branch)
        return branch


def show(tree: Tree, stream: TextIO | None = None) -> None:
    """Write a tree.

    Args:
        tree: What to write.
        stream: Where to. Default: the standard output.
    """
    stream = stream or sys.stdout
    if not stream.isatty() or not _show_rich(tree, stream):
        _write_plain(tree, stream)


def _show_rich(tree: Tree, stream: TextIO) -> bool:
    try:
        from rich.console import Console
        from rich.text import Text
        from rich.tree import Tree as RichTree
    except ImportError:
        return False
    # `Text`: square brackets in names are no markup.
    shown = RichTree(Text(tree.text, tree.style))
    pairs = [(shown, branch) for branch in tree.branches]
    while pairs:
        parent, branch = pairs.pop(0)
        child = parent.add(Text(branch.text, branch.style))
        pairs += [(child, each) for each in branch.branches]
    Console(file=stream).print(shown)
    return True


def _write_plain(tree: Tree, stream: TextIO) -> None:
    lines = [tree.text, *_below(tree, "")]
    text = "\n".join(lines) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))


def _below(tree: Tree, indent: str) -> list[str]:
    lines = []
    for number, branch in enumerate(tree.branches):
        last = number == len(tree.branches) - 1
        lines.append(f"{indent}{'└── ' if last else '├── '}{branch.text}")
        lines += _below(branch, indent + ("    " if last else "│   "))
    return lines
