"""Fixtures: servers that start when a test first asks for them and run until the last test has ended."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.config import HTTP_PROTOCOLS

from tests.server.support import certificates
from tests.server.support.process import Server, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.certificates import Certificate

# Old versions of uvicorn, which the project supports too, do not know zttp.
PARSERS = [name for name in ("h11", "httptools", "zttp") if name in HTTP_PROTOCOLS]
LOOPS = ["asyncio", "uvloop"]
# Every parser and every loop once; `tox` asks for every pair of them on one Python, and for one pair on some.
_ASKED = os.environ.get("COMBINATIONS", "some")
COMBINATIONS = [
    (parser, loop)
    for parser in PARSERS
    for loop in LOOPS
    if _ASKED == "every"
    or (parser, loop) == ("httptools", "uvloop")
    or (_ASKED == "some" and loop == "asyncio" and parser != "httptools")
]


@pytest.fixture(scope="session")
def shared() -> Iterator[Callable[..., Server]]:
    """Gives the server that `uvicorn(...)` would start, the same one whenever the arguments are the same."""
    servers: dict[tuple[Any, ...], Server] = {}
    with ExitStack() as stack:

        def get(app: str, *options: str, **kwargs: Any) -> Server:
            key = (app, *options, *sorted(kwargs.items()))
            if key not in servers:
                servers[key] = stack.enter_context(uvicorn(app, *options, **kwargs))
            return servers[key]

        yield get


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    """`apps/upgraded.py` under every HTTP parser and event loop."""
    parser, loop = request.param
    return shared("upgraded:app", http=parser, loop=loop)


@pytest.fixture
def one_server(shared: Callable[..., Server]) -> Server:
    """`apps/upgraded.py` once, for what has nothing to do with parser and loop."""
    return shared("upgraded:app", http="httptools", loop="asyncio")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificates.issue(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def bare(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    """`apps/plain.py`, the application without the middleware, under the parser of `server`."""
    parser, _ = request.node.callspec.params["server"]
    return shared("plain:app", http=parser, loop="asyncio")
