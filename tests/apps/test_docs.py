"""`docs/compatibility.md` lists what is tried."""

from __future__ import annotations

import pytest

from .table import read_docs, render, without_versions, write_docs


def test_the_docs_have_the_table(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--write-table", default=False):
        write_docs(render())
    assert without_versions(read_docs()) == without_versions(render()), "docs/compatibility.md: run with --write-table"
