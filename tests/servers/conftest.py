"""Fixtures: each server, started once for each application. The results of the matrix are collected here."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from .known_limits import LIMITS
from .running import COMMANDS, Running, run
from .table import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

RESULTS = pytest.StashKey[Results]()
APPLICATIONS = {"fastapi": "fastapi_rooms:app", "asgi": "asgi_rooms:app"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write the table of docs/reference/servers.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect what is known to fail, and prepare a row for each test of the matrix."""
    results = config.stash.setdefault(RESULTS, Results())
    for item in items:
        if not _is_of_matrix(item):
            continue
        test, server = _cell(item)
        results.rows[test] = _words(item)
        if server in LIMITS.get(test, {}):
            item.add_marker(pytest.mark.xfail(reason=LIMITS[test][server], strict=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take the result in."""
    report = yield
    if _is_of_matrix(item) and call.when == "call":
        test, server = _cell(item)
        item.config.stash[RESULTS].add(test, server, works=report.passed)
    return report


def _is_of_matrix(item: pytest.Item) -> bool:
    return item.path.name == "test_matrix.py" and item.path.parent.name == "servers"


def _cell(item: Any) -> tuple[str, str]:
    return item.originalname, item.callspec.params.get("server") or item.callspec.params["http2_server"]


def _words(item: Any) -> str:
    return str(item.function.__doc__)


@pytest.fixture(scope="session")
def started() -> Iterator[Callable[[str, str], Running]]:
    """Gives the server of that name that runs that application."""
    servers: dict[tuple[str, str], Running] = {}
    with ExitStack() as stack:

        def get(name: str, app: str) -> Running:
            if (name, app) not in servers:
                servers[name, app] = stack.enter_context(run(name, app))
            return servers[name, app]

        yield get
        for server in servers.values():
            server.process.terminate()  # all at once, because each takes its time


@pytest.fixture(params=APPLICATIONS)
def app(request: pytest.FixtureRequest) -> str:
    """The application."""
    return APPLICATIONS[request.param]


@pytest.fixture(params=COMMANDS)
def server(request: pytest.FixtureRequest, app: str, started: Callable[[str, str], Running]) -> Running:
    """Every server with every application."""
    return started(request.param, app)


@pytest.fixture(params=["hypercorn", "hypercorn, not extended", "h2corn"])
def http2_server(request: pytest.FixtureRequest, app: str, started: Callable[[str, str], Running]) -> Running:
    """Those that speak HTTP/2 and have WebSockets there (RFC 8441), with every application."""
    return started(request.param, app)


@pytest.fixture
def results(request: pytest.FixtureRequest) -> Results:
    """What has come out of the matrix."""
    return request.config.stash[RESULTS]
