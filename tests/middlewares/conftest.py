"""Real uvicorns, each with an application of `apps/`; they run until the last test of a module has ended."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server.support.process import Server, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Server]]:
    """Gives the server that runs `apps/MODULE.py`'s application NAME, called `MODULE:NAME`."""
    servers: dict[tuple[str, ...], Server] = {}
    with ExitStack() as stack:

        def get(app: str, *options: str, **environment: str) -> Server:
            key = (app, *options, *environment)
            if key not in servers:
                target = f"tests.middlewares.apps.{app}"
                server = uvicorn(target, "--app-dir", str(ROOT), *options, environment=environment)
                servers[key] = stack.enter_context(server)
            return servers[key]

        yield get
