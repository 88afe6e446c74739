"""Every application under every deployment: all its guards see each handshake, and may refuse it or dress the 101."""

from __future__ import annotations

import pytest

from tests.guard.apps.applications import CASES
from tests.guard.support.deployments import Call, Deployment, Uvicorn


def guards_of(name: str, deployment: Deployment) -> tuple[str, ...] | None:
    """The guards that must see a handshake; `None` if that cannot be arranged, so that it must be refused."""
    case = CASES[name]
    direct = deployment.direct
    if isinstance(deployment, Uvicorn) and deployment.attached:
        direct = not case.attaches
    return case.guards_where(direct=direct)


@pytest.mark.parametrize("name", CASES)
def test_the_guards_see_each_handshake_once_and_may_dress_the_101(deployment: Deployment, name: str) -> None:
    guards = guards_of(name, deployment)
    for _ in range(2):
        outcome = deployment.shake(name)
        if guards is None:
            assert outcome.status == deployment.unavailable
            assert "endpoint" not in outcome.notes
            assert all(outcome.notes.count(note) == 1 for note in outcome.notes)
            continue
        assert outcome.status == 101, outcome
        assert outcome.echoed
        assert outcome.all("x-endpoint") == ["echo"]
        assert outcome.all("x-guard") == list(guards[::-1]), "each adds its header once, the innermost first"
        passed_by = [f"{guard} websocket" for guard in CASES[name].guards if guard not in guards]
        assert outcome.notes == [*passed_by, *(f"{guard} http" for guard in guards), "endpoint"], "each once"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.guards])
def test_each_guard_may_refuse(deployment: Deployment, name: str) -> None:
    guards = guards_of(name, deployment)
    for guard in CASES[name].guards:
        outcome = deployment.shake(name, {"X-Refuse": guard})
        if guards is None:
            # Those inside the application see the handshake before it is refused.
            assert (outcome.status, outcome.body) in (
                (deployment.unavailable, outcome.body),
                (401, f"refused by {guard}"),
            )
        elif guard not in guards:
            assert outcome.status == 101, "unguarded is what was asked for"
            continue
        elif isinstance(deployment, Call) and not deployment.denial:
            assert outcome.status == 403
        else:
            assert (outcome.status, outcome.body) == (401, f"refused by {guard}")
            assert outcome.all("www-authenticate") == ["Bearer"]
            assert outcome.all("x-guard") == list(guards[: guards.index(guard)][::-1])
        assert "endpoint" not in outcome.notes
