"""Fixtures: each server, started once for each application."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from .running import COMMANDS, Running, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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


@pytest.fixture(params=["framework:app", "plain:app"])
def app(request: pytest.FixtureRequest) -> str:
    """The application."""
    name: str = request.param
    return name


@pytest.fixture(params=COMMANDS)
def server(request: pytest.FixtureRequest, app: str, started: Callable[[str, str], Running]) -> Running:
    """Every server with every application."""
    return started(request.param, app)
