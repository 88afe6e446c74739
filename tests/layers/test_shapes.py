"""Each shape of middleware sees a handshake once, in the form it is written for, and decides as it always did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.layers.apps.cases import CASES, Case
from tests.layers.apps.credentials import RIGHT
from tests.layers.conftest import POSITIONS, SERVERS
from tests.layers.support import client
from tests.layers.support.servers import unusual

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.layers.support.servers import Process
    from tests.layers.support.visit import Outcome, Visit

VISITORS = (None, "wrong", RIGHT)


def check(case: Case, visit: Callable[[Visit], Outcome]) -> None:
    """Anonymous, wrong and right."""
    outcomes = [visit(case.visit(token)) for token in VISITORS]
    assert tuple(outcome.status for outcome in outcomes) == case.guarded, outcomes
    right = outcomes[-1]
    assert right.seen == list(case.seen), "once, in this form, in this order"
    for refused in outcomes[:-1]:
        assert refused.seen == list(case.seen)[: len(refused.seen)], "as far as it came"
    for name, value in case.report.items():
        assert right.report[name] == value
    for name, value in case.headers.items():
        assert right.all(name) == [value]


@pytest.mark.parametrize("name", CASES)
def test_on_a_plain_server(processes: Callable[..., Process], name: str) -> None:
    """What we compare with: nothing of ours is in that process."""
    case, process = CASES[name], processes("cases", "plain")
    outcomes = [process.visit(f"{name} / plain", case.visit(token)) for token in VISITORS]
    assert tuple(outcome.status for outcome in outcomes) == case.plain
    for part, value in case.plain_report.items():
        assert outcomes[-1].report[part] == value
    assert not process.tell()["ours"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", CASES)
def test_with_ours(processes: Callable[..., Process], name: str, position: str, server: str) -> None:
    process = processes("cases", server)
    app = f"{name} / {position}"
    check(CASES[name], lambda visit: process.visit(app, visit))
    check_log(CASES[name], process.logged(app))


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", CASES)
def test_with_test_client(name: str, position: str, caplog: pytest.LogCaptureFixture) -> None:
    case = CASES[name]
    with client.TestClient(case.make(position), base_url="http://127.0.0.1") as test_client:
        check(case, lambda visit: client.visit_client(test_client, visit))
        if case.close is not None:
            refused = client.visit_client(test_client, case.visit("wrong"))
            assert refused.close == case.close
    check_log(case, [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}])


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("kind", sorted({case.named for case in CASES.values() if case.named}))
def test_a_class_that_needs_a_decision_is_named_when_the_process_starts(
    processes: Callable[..., Process], kind: str, server: str
) -> None:
    process = processes("cases", server)
    lines = [line for name in process.names() for line in process.logged(name) if kind in line]
    assert len(lines) == 1, "once, however many applications have it"
    assert f"websocket_middleware=[{kind}]" in lines[0]


def check_log(case: Case, logged: list[str]) -> None:
    """Nothing but the line about a class for which there is a choice, and what the endpoint itself raises."""
    for line in unusual(logged):
        if "the endpoint is broken" not in line:
            assert case.named is not None, line
            assert case.named in line
