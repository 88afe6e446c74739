"""Fixtures of the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.connected import LOOPS, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.connected import Test


@pytest.fixture(params=list(LOOPS))
def on_loop(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Runs a test on each kind of event loop."""

    def run_it(test: Test) -> None:
        run(request.param, test)

    return run_it
