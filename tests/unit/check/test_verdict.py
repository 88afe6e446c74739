"""Verdicts: what shows that a route is guarded, what shows that it is open, and what shows nothing."""

from __future__ import annotations

import pytest

from asgi_upgrade.check.verdict import Verdict, is_named, judge
from asgi_upgrade.guard.survey import Layer, SurveyedRoute
from asgi_upgrade.testing.anonymous import Answer, Trial

POLICY = Layer("asgi_upgrade.middleware.UpgradeMiddleware", "http", may_refuse=False, is_policy=True)
CORS = Layer("starlette.middleware.cors.CORSMiddleware", "http", may_refuse=False)
LOGIN = Layer("app.auth.Login", "http", may_refuse=True)
UNSEEN = Layer("app.auth.Login", "websocket", may_refuse=True, sees=False)


def route(*layers: Layer, opaque: bool = False, bypassed: bool = False) -> SurveyedRoute:
    return SurveyedRoute("/ws", "app.ws", layers, opaque=opaque, bypassed=bypassed, sample="/ws")


def trial(answer: Answer) -> Trial:
    return Trial("/ws", answer, "so and so")


@pytest.mark.parametrize(
    ("found", "guards", "tried", "verdict", "words"),
    [
        (route(POLICY, CORS), [], None, Verdict.OPEN, "nothing in front of the endpoint"),
        (route(CORS), [], None, Verdict.OPEN, "no UpgradeMiddleware is on the way"),
        (route(LOGIN, POLICY), [], None, Verdict.UNDECIDED, "may be refused by app.auth.Login"),
        (route(UNSEEN, POLICY, bypassed=True), [], None, Verdict.OPEN, "insecure_skip_http_middleware"),
        (route(POLICY, opaque=True), [], None, Verdict.UNDECIDED, "cannot be seen"),
        (route(LOGIN, POLICY), ["Login"], None, Verdict.GUARDED, "passes app.auth.Login"),
        (route(LOGIN, POLICY), ["app.auth:Login"], None, Verdict.GUARDED, "passes app.auth.Login"),
        (route(CORS, POLICY), ["Login"], None, Verdict.OPEN, "does not pass Login"),
        (route(UNSEEN, POLICY), ["Login"], None, Verdict.OPEN, "lets pass unseen"),
        (route(POLICY), [], Answer.REFUSED, Verdict.GUARDED, "refuses a client"),
        (route(LOGIN, POLICY), ["Login"], Answer.LET_IN, Verdict.OPEN, "lets a client without credentials in"),
        (route(LOGIN, POLICY), [], Answer.UNDECIDED, Verdict.UNDECIDED, "no refusal"),
        (route(LOGIN, POLICY), ["Login"], Answer.UNDECIDED, Verdict.GUARDED, "passes app.auth.Login; /ws answers"),
        (route(CORS, POLICY), ["Login"], Answer.UNDECIDED, Verdict.OPEN, "does not pass Login; /ws answers"),
    ],
)
def test_verdict(found: SurveyedRoute, guards: list[str], tried: Answer | None, verdict: Verdict, words: str) -> None:
    judgement = judge(found, guards, None if tried is None else trial(tried))
    assert judgement.verdict is verdict
    assert words in judgement.reason


@pytest.mark.parametrize(
    ("guard", "named"),
    [("Login", True), ("auth.Login", True), ("app.auth:Login", True), ("ogin", False), ("other:Login", False)],
)
def test_a_guard_is_named_by_whole_parts(guard: str, named: bool) -> None:
    assert is_named("app.auth.Login", [guard]) is named
