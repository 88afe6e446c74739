"""The table in the docs shows what has come out; it runs last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .table import DOCS

if TYPE_CHECKING:
    from .table import Results


def test_the_docs_show_the_results(results: Results, request: pytest.FixtureRequest) -> None:
    if not results.cells:
        pytest.fail("run test_matrix.py as well: the table is made from its results")
    table = results.render()
    if request.config.getoption("--write-table", default=False):
        DOCS.write(table)
    else:
        assert DOCS.read() == table, "docs/reference/servers.md: run this again with --write-table"
