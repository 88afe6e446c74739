"""Checks the types of the Python examples in the README and the docs, of fragments too.

They are checked less strictly than the package: an example need not annotate everything.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from tests.docs.blocks import ROOT, Block, join_chains, read_all

_PREAMBLE = "from tests.docs.preamble import *"


def write_program(chain: list[Block]) -> str:
    """A module of a block and what continues it, whose lines are those of the page."""
    first = chain[0]
    lines: list[str] = []
    for block in chain:
        lines += [""] * (block.line - 1 - len(lines))
        if block.mark == "fragment" and _waits(block):
            lines[-1] = "async def shown() -> None:"  # on the line of the fence
            lines += textwrap.indent(block.code, "    ").splitlines()
        else:
            lines += block.code.splitlines()
    # Every page has a heading, so its first line is free.
    if first.mark in ("fragment", "tested"):
        lines[0] = "from tests.docs.preamble import *"
    elif first.mark == "with":
        lines[0] = f"from {first.program.removesuffix('.py').replace('/', '.')} import *"
    return "\n".join(lines) + "\n"


def _waits(block: Block) -> bool:
    """Whether the code waits for something outside of any function."""
    try:
        compile(block.code, str(block), "exec", dont_inherit=True)
    except SyntaxError:
        compile(block.code, str(block), "exec", dont_inherit=True, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return True
    return False


def main() -> int:
    pages: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for chain in join_chains(read_all()):
            if chain[0].mark != "from":
                path = Path(folder) / f"block_{len(pages)}.py"
                path.write_text(write_program(chain), encoding="utf-8")
                pages[str(path)] = chain[0].page
        command = [sys.executable, "-m", "mypy", "--config-file", "tests/docs/mypy.ini", folder]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(re.sub(r"\S*block_\d+\.py", lambda found: pages.get(found[0], found[0]), done.stdout + done.stderr), end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
