"""pytest plugin: writes down how each test came out, and how often the package was called by it.

Each line of the file that ``--outcomes`` names is one test in JSON, the fields of `tests.peers.outcomes.Outcome`.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# What the test that runs has called so far: requests that reached an `UpgradeMiddleware`,
# handshakes that became WebSockets, connections of the engine. `peers_counting` counts.
calls: Counter[str] = Counter()

_SEVERITY = ("passed", "skipped", "xfailed", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="the file to write to")


def pytest_configure(config: pytest.Config) -> None:
    # The workers of pytest-xdist send their reports to the process that started them.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer(config.getoption("outcomes")))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart() -> None:
    calls.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    report.calls = dict(calls)
    return report


class _Writer:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome: str = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "failed"
        test = self._tests.setdefault(report.nodeid, {"id": report.nodeid, "outcome": "passed", "message": ""})
        test["calls"] = getattr(report, "calls", {})  # a worker that died made no report of its own
        if _SEVERITY.index(outcome) > _SEVERITY.index(test["outcome"]):
            test["outcome"] = outcome
            test["message"] = report.longreprtext

    def pytest_sessionfinish(self) -> None:
        self._path.write_text("".join(json.dumps(test) + "\n" for test in self._tests.values()))
