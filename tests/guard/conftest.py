"""Fixtures: every way to run an application. Servers run until the last test has ended."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.config import WS_PROTOCOLS

from tests.guard.support.deployments import Call, Deployment, StarletteClient, Uvicorn
from tests.server.conftest import PARSERS
from tests.server.support.process import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WEBSOCKETS = [name for name in ("websockets", "websockets-sansio", "wsproto") if name in WS_PROTOCOLS]
PROTOCOLS = {"h11": "H11UpgradeProtocol", "httptools": "HttpToolsUpgradeProtocol", "zttp": "ZttpUpgradeProtocol"}

# uvicorn with our protocol, which the middleware puts in place, or which is named; and with its own protocols.
ATTACHED = [f"uvicorn attached, {parser}" for parser in PARSERS]
EXPLICIT = [f"uvicorn explicit, {parser}, lifespan {lifespan}" for parser in PARSERS for lifespan in ("off", "on")]
BARE = [f"uvicorn bare, {name}, lifespan {lifespan}" for name in WEBSOCKETS for lifespan in ("on", "off")]
IN_PROCESS = [
    f"{caller}, lifespan {lifespan}"
    for caller in ("TestClient", "call", "call without denial responses")
    for lifespan in ("on", "off")
]
DEPLOYMENTS = [*ATTACHED, *EXPLICIT, *BARE, *IN_PROCESS]
if os.environ.get("COMBINATIONS") != "every":
    # What the guard stands behind, parsers and implementations of WebSocket, varies less.
    EXPLICIT = [f"uvicorn explicit, {parser}, lifespan off" for parser in PARSERS[:1]]
    BARE = [BARE[0], BARE[1], BARE[-1]]
    DEPLOYMENTS = [ATTACHED[-1], *EXPLICIT, *BARE, *IN_PROCESS[:-1]]


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Uvicorn]]:
    """Gives the process called so."""
    started: dict[str, Uvicorn] = {}
    with ExitStack() as stack:

        def get(name: str) -> Uvicorn:
            if name not in started:
                kind, option, *_ = name.removeprefix("uvicorn ").split(", ")
                lifespan = "off" if name.endswith("off") else "on"
                options = ["--lifespan", lifespan]
                environment = {"GUARD_TEST_SERVER": "1"}
                if kind == "bare":
                    options += ["--ws", option]
                    environment["GUARD_TEST_UNATTACHED"] = "1"
                elif kind == "explicit":
                    options += ["--http", f"asgi_upgrade.servers.uvicorn:{PROTOCOLS[option]}"]
                else:
                    options += ["--http", option]
                command = ["-m", "tests.guard.serve", *options]
                process = stack.enter_context(running(command, ready="^PORTS ", environment=environment))
                started[name] = Uvicorn(
                    process, direct=kind == "bare", lifespan=lifespan == "on", attached=kind == "attached"
                )
            return started[name]

        yield get


@pytest.fixture
def deploy(servers: Callable[[str], Uvicorn], caplog: pytest.LogCaptureFixture) -> Callable[[str], Deployment]:
    """Gives the deployment called so; applications that run in this process are new for each test."""

    def get(name: str) -> Deployment:
        if name.startswith("uvicorn"):
            return servers(name)
        options: dict[str, Any] = {"lifespan": name.endswith("on")}
        if name.startswith("TestClient"):
            return StarletteClient(caplog, **options)
        return Call(caplog, denial="without" not in name, **options)

    return get


@pytest.fixture(params=DEPLOYMENTS)
def deployment(request: pytest.FixtureRequest, deploy: Callable[[str], Deployment]) -> Deployment:
    return deploy(request.param)
