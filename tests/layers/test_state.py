"""What layers keep from one handshake to the next, and while a WebSocket is open."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.layers.apps.cases import CASES, Case
from tests.layers.apps.credentials import RIGHT
from tests.layers.conftest import POSITIONS, SERVERS
from tests.layers.support.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.layers.support.servers import Process


@pytest.fixture(params=SERVERS)
def process(request: pytest.FixtureRequest, processes: Callable[..., Process]) -> Process:
    return processes("cases", request.param)


@pytest.fixture(params=POSITIONS)
def position(request: pytest.FixtureRequest) -> str:
    position: str = request.param
    return position


def right(name: str) -> tuple[Case, Visit]:
    return CASES[name], CASES[name].visit(RIGHT)


def test_a_limit_of_connections_holds_while_one_is_open(process: Process, position: str) -> None:
    app, (_, visit) = f"limits connections / {position}", right("limits connections")
    for _ in range(2):  # the end of the first makes room
        with process.visiting(app, visit) as (websocket, first):
            assert first.status == 101
            second = process.visit(app, visit)
            assert (second.status, second.seen) == (403, ["ConnectionLimit websocket"])
            websocket.send_text("still here")
            assert websocket.receive_text() == "still here"
        wait_for_room(process, app, visit)


def wait_for_room(process: Process, app: str, visit: Visit) -> None:
    """The application may learn a moment later that its client has gone."""
    deadline = time.monotonic() + 30
    while process.visit(app, visit).status != 101:
        assert time.monotonic() < deadline, "the limit never gave the place back"
        time.sleep(0.01)


def test_a_limit_of_messages_counts_them(process: Process, position: str) -> None:
    app, (_, visit) = f"limits messages / {position}", right("limits messages")
    with process.server(app).handshaker() as websocket:
        websocket.open(visit.path)
        websocket.receive_text()
        for number in range(2):
            websocket.send_text(f"{number}")
            assert websocket.receive_text() == f"{number}"
        websocket.send_text("one too many")
        assert websocket.receive_close() == (1008, "too many")


def test_a_ticket_is_good_for_one_handshake(process: Process, position: str) -> None:
    app, (_, visit) = f"one-time ticket / {position}", right("one-time ticket")
    assert [process.visit(app, visit).status for _ in range(2)] == [101, 400]


@pytest.mark.parametrize("name", ["once", "rate limit"])
def test_a_counter_counts_a_handshake_once(process: Process, position: str, name: str) -> None:
    app, (_, visit) = f"{name} / {position}", right(name)
    outcomes = [process.visit(app, visit) for _ in range(3)]
    assert [outcome.status for outcome in outcomes] == [101, 429, 429]
    assert all(len(outcome.seen) == 1 for outcome in outcomes[1:])


def test_a_slot_is_taken_until_the_websocket_ends(process: Process, position: str) -> None:
    app, (_, visit) = f"one slot / {position}", right("one slot")
    with process.server(app).handshaker() as waiting:
        with process.visiting(app, visit) as (_, first):
            assert first.status == 101
            waiting.send(waiting.handshake(visit.path))
            process.wait_until_seen(waiting.key, "OneSlot http")
            assert process.tell(key=waiting.key)["seen"] == ["OneSlot http"]
        assert waiting.receive_response().status == 101
        process.wait_until_seen(waiting.key, "endpoint websocket")
        assert process.tell(key=waiting.key)["seen"] == ["OneSlot http", "endpoint websocket"]


def test_a_request_id_is_the_same_within_and_without(process: Process, position: str) -> None:
    app, (_, visit) = f"request id / {position}", right("request id")
    ids = set()
    for _ in range(2):
        outcome = process.visit(app, visit)
        assert outcome.all("x-request-id") == [outcome.report["request_id"]]
        ids.add(outcome.report["request_id"])
    assert len(ids) == 2


def test_an_error_of_the_endpoint_passes_each_layer_once(process: Process, position: str) -> None:
    app, (_, visit) = f"catches / {position}", right("catches")
    with process.visiting(app, visit) as (websocket, _):
        pass
    process.wait_until_seen(websocket.key, "caught http")
    assert process.tell(key=websocket.key)["seen"] == ["Catcher http", "endpoint websocket", "caught http"]


def test_layers_that_take_time_take_it_once(process: Process, position: str) -> None:
    app, (_, visit) = f"three that take time / {position}", right("three that take time")
    process.visit(app, visit)
    for _ in range(300):
        started = time.monotonic()
        with process.server(app).handshaker() as websocket:
            websocket.open(visit.path)
            took = time.monotonic() - started
        assert took >= 0.03
        if took < 0.06:
            return
    pytest.fail("it always took as long as twice would take")


@pytest.mark.parametrize("name", ["gate", "several, and HTTP between", "closes", "replays the body"])
def test_pages_are_served_as_before(process: Process, position: str, name: str) -> None:
    headers = {"Authorization": f"Bearer {RIGHT}"}
    with process.server(f"{name} / {position}").peer() as peer:
        assert peer.ask("GET", f"/page?token={RIGHT}", headers=headers).body == b"page"


@pytest.mark.parametrize(
    "name", ["dispatches, by path", "gate stricter than the endpoint, by path", "closes", "dispatches, told"]
)
def test_no_layer_lets_a_foreign_page_in(process: Process, position: str, name: str) -> None:
    """The origin policy holds on each way, also where the HTTP middleware is skipped."""
    app, (_, visit) = f"{name} / {position}", right(name)
    own = {"Origin": f"http://{process.server(app).host}"}
    assert process.visit(app, replace(visit, headers={**visit.headers, **own})).status == 101
    foreign = process.visit(app, replace(visit, headers={**visit.headers, "Origin": "https://evil.example"}))
    assert foreign.status == 403
    assert "endpoint websocket" not in foreign.seen
