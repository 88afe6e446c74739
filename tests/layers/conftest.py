"""Fixtures: processes that run until the last test has ended."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.layers.support.servers import Process, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# How handshakes reach the application: a server that we extend, or one that delivers WebSockets.
SERVERS: dict[str, dict[str, str]] = {"converted": {}, "delivered": {"LAYERS_UNATTACHED": "1"}}
POSITIONS = ("innermost", "outermost")


@pytest.fixture(scope="session")
def processes() -> Iterator[Callable[..., Process]]:
    """Gives the process that `serving` would start, the same one for the same arguments."""
    started: dict[tuple[str, ...], Process] = {}
    with ExitStack() as stack:

        def get(module: str, server: str) -> Process:
            if (module, server) not in started:
                positions = ("plain",) if server == "plain" else POSITIONS
                environment = SERVERS.get(server, {})
                started[module, server] = stack.enter_context(serving(module, *positions, **environment))
            return started[module, server]

        yield get
