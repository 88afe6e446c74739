"""Servers that run until the last test has ended: one for each parser and loop that a phase depends on."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.phases import BEFORE_THE_SWITCH
from tests.faults.tables import Cell, read
from tests.server.conftest import COMBINATIONS
from tests.server.support.process import Server, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = Path(__file__).parent / "apps"


# Here clients take in what they are sent, and answer: no server gives up on those, however busy the machine is.
READERS = ("half closes", "trickles", "raise", "return", "cancel")


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str, str, bool], Server]]:
    """Gives the server with this parser and this loop, and whether it waits long for silent clients."""
    started: dict[tuple[str, str, bool], Server] = {}
    with ExitStack() as stack:

        def get(parser: str, loop: str, patient: bool) -> Server:
            key = parser, loop, patient
            if key not in started:
                environment = {"SILENCE": "30" if patient else "1"}
                started[key] = stack.enter_context(faulty(http=parser, loop=loop, environment=environment))
            return started[key]

        yield get


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each cell with every parser before the switch, and with each loop behind it: no parser is left there."""
    if "cell" not in metafunc.fixturenames:
        return
    pairs = [
        pytest.param(combination, cell, id=f"{'-'.join(combination)}: {cell.phase}: {cell.fault}")
        for cell in read(metafunc.module.TABLE)
        for combination in (COMBINATIONS if cell.phase in BEFORE_THE_SWITCH else COMBINATIONS[:2])
    ]
    metafunc.parametrize(("combination", "cell"), pairs)


@pytest.fixture
def server(combination: tuple[str, str], cell: Cell, servers: Callable[[str, str, bool], Server]) -> Server:
    return servers(*combination, cell.fault in READERS)


def faulty(*options: str, app: str = "faulty:app", **kwargs: Any) -> Any:
    """Run `apps/faulty.py` under uvicorn, or `app` of another folder."""
    if "--app-dir" not in options:
        options = "--app-dir", str(APPS), *options
    return uvicorn(app, "--timeout-keep-alive", "1", *options, **kwargs)
