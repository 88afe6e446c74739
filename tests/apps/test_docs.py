"""`docs/reference/compatibility.md` lists what is tried."""

from __future__ import annotations

import pytest

from .table import DOCS, render, without_versions


def test_the_docs_have_the_table(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--write-table", default=False):
        DOCS.write(render())
    assert without_versions(DOCS.read()) == without_versions(render()), "run with --write-table"
