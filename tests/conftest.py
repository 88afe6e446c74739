"""How the tests are spread over processes."""

from __future__ import annotations

import os

import pytest


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's, which not every environment has
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each core: half of the time, the tests wait."""
    return 2 * (os.cpu_count() or 1)
