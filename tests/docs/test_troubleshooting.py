"""Every line that the package logs, so that somebody may look for it, is in `docs/guides/troubleshooting.md`."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
LEVELS = ("info", "warning", "error", "exception")
# Lines of uvicorn's, which it would write in our place: nothing is wrong with us.
UVICORNS = {"Exception in ASGI application", '%s - "%s %s HTTP/%s" %d'}


def find_lines() -> Iterator[str]:
    """The texts that the package gives to a logger, as they are formatted."""
    for path in sorted((ROOT / "asgi_upgrade").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and "logger" in ast.unparse(node.func.value)
                and node.args
                and isinstance(node.args[0], ast.Constant)
                and isinstance(node.args[0].value, str)
            ):
                yield node.args[0].value


LINES = sorted({line for line in find_lines() if line not in UVICORNS and re.sub(r"%\S", "", line).strip()})


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_log_is_explained(line: str) -> None:
    written = " ".join(PAGE.split())
    parts = [part.strip(" .:;,'\"()") for part in re.split(r"%(?:\.\d)?[a-z]", line)]
    first = next((part for part in parts if len(part) >= 12), max(parts, key=len))
    # Its beginning is enough to look for.
    assert first[:40] in written


def test_there_are_lines() -> None:
    assert len(LINES) > 15
