"""Where a handshake would pass by middleware that we know nothing of, it is refused, and the log names the remedy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.guard.apps.applications import CASES
from tests.guard.apps.guards import PureGuard
from tests.guard.conftest import BARE, IN_PROCESS
from tests.guard.support.deployments import Call, StarletteClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from tests.guard.support.deployments import Deployment, Uvicorn

REFUSED = [name for name, case in CASES.items() if case.direct is None]
ALLOWED = [name for name, case in CASES.items() if case.direct is not None]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("how", [how for how in IN_PROCESS if how.startswith("TestClient")])
def test_the_log_says_once_why_and_what_to_do(deploy: Callable[[str], Deployment], how: str, name: str) -> None:
    deployment = deploy(how)
    for _ in range(2):
        outcome = deployment.shake(name)
        assert outcome.status == deployment.unavailable
        if deployment.unavailable == 503:
            assert outcome.body == "WebSockets are not available: their handshakes cannot be checked.\n"
    (line,) = [line for line in deployment.log(name).splitlines() if "ERROR" in line]
    assert "they are refused" in line
    assert (
        "Wrap the outermost application in asgi_upgrade.HandshakeMiddleware, or set insecure_allow_unguarded=True"
        in line
    )


@pytest.mark.parametrize("how", BARE)
def test_a_server_logs_it_too(deploy: Callable[[str], Deployment], how: str) -> None:
    deployment = deploy(how)
    assert deployment.shake("plain").status == 503
    assert "Wrap the outermost application in asgi_upgrade.HandshakeMiddleware" in deployment.log("plain")


@pytest.mark.parametrize("name", [name for name in CASES if not re.search("HandshakeMiddleware|allowed", name)])
@pytest.mark.parametrize("denial", [True, False])
def test_a_caller_that_is_not_known_proves_nothing(
    caplog: pytest.LogCaptureFixture, name: str, *, denial: bool
) -> None:
    call = Call(caplog, lifespan=True, denial=denial, outermost=False)
    outcome = call.shake(name)
    assert outcome.status == call.unavailable
    assert "endpoint" not in outcome.notes
    (line,) = [line for line in call.log(name).splitlines() if "ERROR" in line]
    assert (
        "Wrap the outermost application in asgi_upgrade.HandshakeMiddleware, or set insecure_allow_unguarded=True"
        in line
    )


@pytest.mark.parametrize("name", ALLOWED)
def test_nothing_is_logged_where_the_guards_are_seen_to(deploy: Callable[[str], Deployment], name: str) -> None:
    deployment = deploy("call, lifespan on")
    assert deployment.shake(name).status == 101
    log = deployment.log(name)
    assert "ERROR" not in log
    assert "will not see" not in log


@pytest.mark.parametrize("how", [how for how in BARE if how.endswith("on")])
def test_uvicorn_also_tells_of_a_guard_that_leaves_no_trace_in_the_stack(
    servers: Callable[[str], Uvicorn], how: str
) -> None:
    assert servers(how).shake("guard around that starts a task").status == 503


class Responder:
    """Keeps what it was called with, as compressing middlewares do."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self.app = app
        self.asgi = scope, receive, send

    async def respond(self) -> None:
        await self.app(*self.asgi)


class RespondingGuard(PureGuard):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Responder(self.app, scope, receive, send).respond()


class VariadicGuard(PureGuard):
    async def __call__(self, *asgi: Any) -> None:
        await self.app(*asgi)


class RenamingGuard(PureGuard):
    async def __call__(self, environment: Scope, pull: Receive, push: Send) -> None:
        await self.app(environment, pull, push)


@pytest.mark.parametrize("guard", [RespondingGuard, VariadicGuard, RenamingGuard])
@pytest.mark.parametrize("inner", ["starlette first", "starlette wrapped", "plain alone"])
def test_guards_are_found_however_they_are_written(
    caplog: pytest.LogCaptureFixture, guard: type[PureGuard], inner: str
) -> None:
    for lifespan in (True, False):
        client = StarletteClient(caplog, lifespan=lifespan)
        assert client.connect(CASES[inner].make(), "/echo", {}).status == 101
        assert client.connect(guard(CASES[inner].make(), "outside"), "/echo", {}).status == 503
