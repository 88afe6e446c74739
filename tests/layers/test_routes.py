"""Guards behind the router see a handshake wherever they are, and what is no Starlette gets a WebSocket or nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.layers.apps.credentials import RIGHT
from tests.layers.apps.routes import BURIED, GUARDS, HIDDEN, LEAVES, PATH, PLACES, Place, visit
from tests.layers.conftest import SERVERS
from tests.layers.support import client
from tests.layers.support.servers import unusual

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.layers.support.servers import Process
    from tests.layers.support.visit import Outcome, Visit

POSITION = "innermost"
SERVED = [*(f"guard: {name}" for name in GUARDS), *(f"leaf: {name}" for name in LEAVES)]
REFUSED = [f"hidden: {name}" for name in HIDDEN]


@pytest.fixture(params=SERVERS)
def process(request: pytest.FixtureRequest, processes: Callable[..., Process]) -> Process:
    return processes("routes", request.param)


def check_served(place: Place, connect: Callable[[Visit], Outcome]) -> None:
    """Only to the right one."""
    for token in (None, "wrong"):
        outcome = connect(visit(token))
        assert outcome.status in {401, 403}, outcome
        assert outcome.seen == list(place.seen)[: len(outcome.seen)]
        assert len(outcome.seen) < len(place.seen)
    outcome = connect(visit(RIGHT))
    assert outcome.status == 101, outcome
    assert outcome.seen in (list(place.seen), [*place.seen[:-1], "endpoint http"])


def check_refused(place: Place, connect: Callable[[Visit], Outcome], logged: Callable[[], list[str]]) -> None:
    """To all, and the log says why, where there is somebody to name."""
    for token in (None, "wrong"):
        assert connect(visit(token)).status == 401
    outcome = connect(visit(RIGHT))
    assert (outcome.status, outcome.seen) == (404, list(place.seen)), "the answer to the request counts"
    if place.refused is None:
        return
    deadline = time.monotonic() + 30
    while not (lines := [line for line in logged() if place.refused in line]):
        assert time.monotonic() < deadline, "nothing tells why"
        time.sleep(0.01)
    (line,) = lines
    assert "UpgradeMiddleware" in line


@pytest.mark.parametrize("name", [name for name, place in PLACES.items() if place.plain is not None])
def test_on_a_plain_server(processes: Callable[..., Process], name: str) -> None:
    """Each is a WebSocket that works, and no HTTP guard sees it."""
    process, place = processes("routes", "plain"), PLACES[name]
    outcomes = [process.visit(f"{name} / plain", visit(token)) for token in (None, RIGHT)]
    assert tuple(outcome.status for outcome in outcomes) == place.plain
    assert not process.tell()["ours"]


@pytest.mark.parametrize("name", SERVED)
def test_only_the_right_one_is_served(process: Process, name: str) -> None:
    app = f"{name} / {POSITION}"
    check_served(PLACES[name], lambda visit: process.visit(app, visit))
    assert unusual(process.logged(app)) == []


@pytest.mark.parametrize("name", SERVED)
def test_only_the_right_one_is_served_by_test_client(name: str) -> None:
    with client.TestClient(PLACES[name].make(POSITION), base_url="http://127.0.0.1") as test_client:
        check_served(PLACES[name], lambda visit: client.visit_client(test_client, visit))


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_hide_a_guard_is_refused(process: Process, name: str) -> None:
    app = f"{name} / {POSITION}"
    check_refused(PLACES[name], lambda visit: process.visit(app, visit), lambda: process.logged(app))


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_hide_a_guard_is_refused_by_test_client(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with client.TestClient(PLACES[name].make(POSITION), base_url="http://127.0.0.1") as test_client:
        check_refused(
            PLACES[name],
            lambda visit: client.visit_client(test_client, visit),
            lambda: [record.getMessage() for record in caplog.records],
        )


def check_buried(connect: Callable[[Visit], Outcome]) -> bool:
    """The right one or nobody; gives whether the right one was served."""
    for token in (None, "wrong"):
        outcome = connect(visit(token))
        assert 400 <= outcome.status < 600, outcome
        assert not [entry for entry in outcome.seen if entry.startswith("endpoint")]
    return connect(visit(RIGHT)).status == 101


@pytest.mark.parametrize("name", BURIED)
def test_a_websocket_guard_is_never_passed_by(process: Process, name: str) -> None:
    app = f"buried: {name} / {POSITION}"
    if not check_buried(lambda visit: process.visit(app, visit)):
        # Once for each guard, whichever application has met it first.
        lines = [line for name in process.names() for line in unusual(process.logged(name))]
        assert [line for line in lines if "is written for WebSockets" in line and "are refused" in line]


@pytest.mark.parametrize("name", BURIED)
def test_a_websocket_guard_is_never_passed_by_with_test_client(name: str) -> None:
    app = PLACES[f"buried: {name}"].make(POSITION)
    with client.TestClient(app, base_url="http://127.0.0.1") as test_client:
        check_buried(lambda visit: client.visit_client(test_client, visit))


def test_a_route_may_be_replaced_in_place(process: Process) -> None:
    app = f"swapped / {POSITION}"
    assert process.visit(app, visit(None)).status == 101
    with process.server(app).peer() as peer:
        assert peer.ask("GET", "/swap").body == b"swapped"
    assert process.visit(app, visit(None)).status == 401
    assert process.visit(app, visit(RIGHT)).seen == ["Gate http", "endpoint websocket"]


def test_a_page_and_a_websocket_may_share_a_path(process: Process) -> None:
    app = f"shared path / {POSITION}"
    assert process.visit(app, visit(RIGHT)).seen == ["Gate http", "endpoint websocket"]
    with process.server(app).peer() as peer:
        assert peer.ask("GET", PATH, headers=visit(RIGHT).headers).body == b"page"


def test_a_path_that_no_websocket_has_is_not_found(process: Process) -> None:
    app = f"shared path / {POSITION}"
    for path in ("/page", "/nowhere"):
        for headers, status in ((visit(RIGHT).headers, 404), ({}, 401)):
            with process.server(app).handshaker() as websocket:
                assert websocket.refused(path, headers).status == status


def test_wsgi_applications_never_run_for_a_handshake(process: Process) -> None:
    app = f"WSGI / {POSITION}"
    outcome = process.visit(app, visit(RIGHT))
    assert 400 <= outcome.status < 500
    assert outcome.seen == []
    with process.server(app).peer() as peer:
        assert peer.ask("GET", "/somewhere").body == b"WSGI"
