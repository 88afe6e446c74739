"""What the docs say of coverage."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import pytest

from tests.coverage import uncovered
from tests.coverage.__main__ import README_LINE, check_readme, check_reasons
from tests.coverage.table import DOCS, render
from tests.docs.blocks import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

reads_toml = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is not there")


def functions(node: ast.AST, prefix: str = "") -> Iterator[str]:
    """The names of all functions inside, as coverage.py writes them."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{prefix}{child.name}"
            if not isinstance(child, ast.ClassDef):
                yield name
            yield from functions(child, f"{name}.")
        else:
            yield from functions(child, prefix)


@reads_toml
def test_the_table_of_what_is_not_covered_is_that_of_the_list() -> None:
    assert DOCS.read() == render(), "run `python -m tests.coverage.table`"


@reads_toml
def test_each_function_that_has_a_reason_is_there() -> None:
    for file, function in uncovered.load():
        there = {"", *functions(ast.parse((ROOT / file).read_text(encoding="utf-8")))}
        assert function in there, f"{file} has no {function}"


def test_the_readme_says_one_number_and_it_is_compared() -> None:
    (said,) = README_LINE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    text = f"They [cover {said} %](...) of the lines"
    assert check_readme(float(said) + 1.9, text) == []
    assert check_readme(float(said) + 2.1, text) != []
    assert check_readme(float(said) - 0.9, text) == []
    assert check_readme(float(said) - 1.1, text) != []


def test_lines_without_a_reason_are_too_many_soon() -> None:
    reasons = {("a.py", "explained"): "because"}
    assert check_reasons({("a.py", "explained"): list(range(100))}, reasons) == []
    assert check_reasons({("a.py", "other"): list(range(100))}, reasons) != []
