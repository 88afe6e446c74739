"""Fixtures: each application under uvicorn, with us and without us, until the last of its tests has ended."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.server.support.process import Server, uvicorn

from .table import PLACES, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


class Pair(NamedTuple):
    """An application, served without us and with us."""

    without_us: Server
    with_us: Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write the table of docs/reference/compatibility.md")


# The tests of a place run in the order of the file: the last one ends the servers.
@pytest.fixture(scope="module", params=PLACES, ids=lambda place: place.app)
def place(request: pytest.FixtureRequest) -> Place:
    """An application at one place."""
    place: Place = request.param
    return place


@pytest.fixture(scope="module")
def pair(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two servers. Imports take seconds, so both start at the same time."""
    environment = {
        "CHAINLIT_APP_ROOT": str(tmp_path_factory.mktemp("chainlit")),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
        "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false",
    }
    with ExitStack() as stack, ThreadPoolExecutor() as threads:

        def start(more: dict[str, str]) -> Server:
            app = f"tests.apps.apps.{place.app}"
            server: Server = stack.enter_context(
                uvicorn(app, "--app-dir", str(ROOT), environment={**environment, **more}, start_timeout=100)
            )
            return server

        yield Pair(*threads.map(start, ({"WITHOUT_US": "1"}, {})))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep clients from looking for servers elsewhere."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
