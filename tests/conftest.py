"""How the tests are spread over processes."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

with suppress(ImportError):  # not every environment has it
    import hypothesis

    # How long an example takes says nothing on a busy machine.
    hypothesis.settings.register_profile(
        "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's, which not every environment has
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each core: half of the time, the tests wait."""
    return 2 * (os.cpu_count() or 1)
