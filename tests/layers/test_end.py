"""Layers learn of the end of a WebSocket, however it ends, and none keeps a server from stopping."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.layers.apps.cases import CASES
from tests.layers.apps.credentials import RIGHT
from tests.layers.conftest import POSITIONS, SERVERS
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.layers.support.servers import Process

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", ["replays the body", "limits connections", "one slot", "runs a task", "spans, told"])
def test_a_server_stops_with_a_websocket_open(name: str, server: str) -> None:
    visit = CASES[name].visit(RIGHT)
    environment = {**SERVERS[server], "LAYERS_CASE": name, "LAYERS_POSITION": "innermost"}
    with (
        uvicorn("tests.layers.apps.single:app", "--app-dir", str(ROOT), environment=environment) as process,
        process.websocket(visit.path, visit.headers) as websocket,
    ):
        websocket.receive_text()
        process.terminate()
        assert websocket.receive_close()[0] == 1012
        websocket.send_close(1012)
        process.wait()
        assert not [line for line in process.log.lines if "Traceback" in line]


@pytest.fixture(params=SERVERS)
def process(request: pytest.FixtureRequest, processes: Callable[..., Process]) -> Process:
    return processes("cases", request.param)


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", ["limits connections", "one slot"])
def test_a_client_that_vanishes_gives_its_place_back(process: Process, position: str, name: str) -> None:
    app, visit = f"{name} / {position}", CASES[name].visit(RIGHT)
    for _ in range(3):
        websocket = process.server(app).websocket(visit.path)
        websocket.receive_text()
        websocket.reset()
        deadline = time.monotonic() + 30
        while process.visit(app, visit).status != 101:
            assert time.monotonic() < deadline, "the place was never given back"
            time.sleep(0.01)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_place_is_given_back_by_who_is_refused_further_inside(process: Process, position: str) -> None:
    name = "a limit of connections before a gate"
    app = f"{name} / {position}"
    for _ in range(3):
        assert process.visit(app, CASES[name].visit("wrong")).status == 401
    assert process.visit(app, CASES[name].visit(RIGHT)).status == 101


@pytest.mark.parametrize("position", POSITIONS)
def test_who_has_been_accepted_may_still_be_refused_further_inside(process: Process, position: str) -> None:
    """By then there is no status any more to refuse it with."""
    app = f"a first message before a gate / {position}"
    with process.server(app).websocket("/ws/blue") as websocket:
        websocket.send_text(RIGHT)
        code, _ = websocket.receive_close()
        assert code == 1008
        assert process.tell(key=websocket.key)["seen"] == ["FirstMessageGuard websocket", "DispatchGate http"]
    with process.server(app).websocket(f"/ws/blue?token={RIGHT}") as websocket:
        websocket.send_text(RIGHT)
        assert json.loads(websocket.receive_text())["state"] == {"gate": "passed"}
        websocket.finish()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ws/blue", 101),
        ("/ws/blue/", 401),
        ("/ws/blue/more", 401),
        ("/ws", 401),
        ("/x/ws/blue", 401),
        ("//ws/blue", 401),
        ("/WS/blue", 401),
        ("/ws%2Fblue", 101),  # as for routes: a server decodes a path before anybody looks at it
    ],
)
@pytest.mark.parametrize("position", POSITIONS)
def test_a_pattern_is_for_whole_paths(process: Process, position: str, path: str, status: int) -> None:
    app = f"gate stricter than the endpoint, by path / {position}"
    with process.server(app).handshaker() as websocket:
        websocket.send(websocket.handshake(f"{path}?token={RIGHT}"))
        assert websocket.receive_response().status == status
