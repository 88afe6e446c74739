"""Layers around a whole application: they guard it as before, or nobody gets in, and the log says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.layers.apps.around import ARRANGEMENTS
from tests.layers.apps.credentials import RIGHT
from tests.layers.conftest import SERVERS
from tests.layers.support import client
from tests.layers.support.servers import unusual
from tests.layers.support.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.layers.support.servers import Process
    from tests.layers.support.visit import Outcome


def visit(token: str | None) -> Visit:
    """With the token wherever one of the guards may look for it."""
    if token is None:
        return Visit("/ws/blue")
    return Visit("/ws/blue", {"Authorization": f"Bearer {token}", "Sec-WebSocket-Protocol": f"chat, token.{token}"})


def check(name: str, seen: list[str], connect: Callable[[Visit], Outcome], logged: Callable[[], list[str]]) -> None:
    right = connect(visit(RIGHT))
    if seen:
        assert (right.status, right.seen) == (101, seen)
        assert not [line for line in logged() if "HandshakeMiddleware" in line]
    else:
        assert right.status == 503, right
        assert "endpoint websocket" not in right.seen
        (line,) = [line for line in logged() if "HandshakeMiddleware" in line]
        assert "insecure_allow_unguarded" in line
    for token in (None, "wrong"):
        outcome = connect(visit(token))
        if name == "ours around":
            assert outcome.status == 101, "there is no guard"
        else:
            assert outcome.status in {401, 403, 503}, outcome
            assert "endpoint websocket" not in outcome.seen


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_under_a_server(processes: Callable[..., Process], name: str, server: str) -> None:
    process, arrangement = processes("around", server), ARRANGEMENTS[name]
    seen = arrangement.converted if server == "converted" else arrangement.delivered
    check(name, seen, lambda visit: process.visit(name, visit), lambda: unusual(process.logged(name)))


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_with_test_client(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """It delivers WebSockets."""
    arrangement = ARRANGEMENTS[name]
    with client.TestClient(arrangement.make(), base_url="http://127.0.0.1") as test_client:
        check(
            name,
            arrangement.delivered,
            lambda visit: client.visit_client(test_client, visit),
            lambda: [record.getMessage() for record in caplog.records],
        )
