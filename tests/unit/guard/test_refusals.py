"""What the client and the log are told where a handshake cannot be let through."""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.guard.refusals import answer_unavailable, name_of, refuse_unguarded, report_unguarded
from asgi_upgrade.switching import lifespan as lifespans
from tests.unit.calls import CONNECT, Call, http_scope, page, run, websocket_scope

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TEXT = b"WebSockets are not available: their handshakes cannot be checked.\n"


def test_a_request_is_refused_with_503_each_time_anew() -> None:
    async def test() -> None:
        for _ in range(2):
            call = Call()
            await call.run(answer_unavailable, http_scope())
            assert (call.status, call.body) == (503, TEXT)
            call.sent[0]["headers"].append((b"x-added", b"by middleware"))
            assert len(call.sent[0]["headers"]) == 3

    run(test)


def test_a_websocket_of_the_server_is_refused_with_503() -> None:
    async def test() -> None:
        call = Call(CONNECT)
        await call.run(refuse_unguarded, websocket_scope())
        assert (call.status, call.body) == (503, TEXT)

    run(test)


class Application:
    """Has no name of its own."""


@wraps(page)
async def renamed(scope: Scope, receive: Receive, send: Send) -> None:
    """Has the name of another."""


@pytest.mark.parametrize(
    ("app", "name"),
    [
        (page, "page"),
        (renamed, "renamed"),
        (Application, "Application"),
        (Application(), "Application"),
        (partial(page), "partial"),
    ],
)
def test_what_an_application_is_called(app: Any, name: str) -> None:
    assert name_of(app) == name


@pytest.mark.parametrize("lifespan", [True, False])
def test_the_log_names_the_application_and_the_cure(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, lifespan: bool
) -> None:
    monkeypatch.setattr(lifespans, "_seen", [True] if lifespan else [])
    report_unguarded(Application())
    (record,) = caplog.records
    line = record.getMessage()
    assert record.levelname == "ERROR"
    assert "middleware around Application may not have seen them" in line
    assert line.endswith(
        "Wrap the outermost application in asgi_upgrade.HandshakeMiddleware, or set insecure_allow_unguarded=True."
    )
    assert ("No UpgradeMiddleware has been called with the server's lifespan" in line) is not lifespan
