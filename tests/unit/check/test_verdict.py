"""Verdicts: what shows that a route is guarded, what shows that it is open, and what shows nothing."""

from __future__ import annotations

import pytest

from asgi_upgrade.check.verdict import Verdict, is_named, judge
from asgi_upgrade.guard.survey import Layer, SurveyedRoute
from asgi_upgrade.testing.anonymous import Answer, Trial

POLICY = Layer("asgi_upgrade.middleware.UpgradeMiddleware", "http", may_refuse=False, is_policy=True)
CORS = Layer("starlette.middleware.cors.CORSMiddleware", "http", may_refuse=False)
LOGIN = Layer("app.auth.Login", "http", may_refuse=True)
TOKEN = Layer("app.auth.Token", "dependency", may_refuse=True)
UNSEEN = Layer("app.auth.Login", "websocket", may_refuse=True, sees=False)
UNSEEN_TOKEN = Layer("app.auth.Token", "websocket", may_refuse=True, sees=False)


def route(*layers: Layer, opaque: bool = False, bypassed: bool = False) -> SurveyedRoute:
    return SurveyedRoute("/ws", "app.ws", layers, opaque=opaque, bypassed=bypassed, sample="/ws")


def trial(answer: Answer) -> Trial:
    return Trial("/ws", answer, "so and so")


IN_FRONT = "in front of the endpoint could refuse a client"
BOTH = "app.auth.Login, app.auth.Token"
STRANGER = "a client without credentials"


@pytest.mark.parametrize(
    ("found", "guards", "tried", "verdict", "words"),
    [
        (route(POLICY, CORS), [], None, Verdict.OPEN, f"nothing {IN_FRONT}"),
        (route(POLICY, UNSEEN), [], None, Verdict.OPEN, f"nothing {IN_FRONT}"),
        (route(CORS), [], None, Verdict.OPEN, f"no UpgradeMiddleware is on the way: nothing {IN_FRONT}"),
        (
            route(UNSEEN, POLICY, bypassed=True),
            [],
            None,
            Verdict.OPEN,
            f"insecure_skip_http_middleware: nothing {IN_FRONT}",
        ),
        (
            route(LOGIN, TOKEN, POLICY),
            [],
            None,
            Verdict.UNDECIDED,
            f"may be refused by {BOTH}: show it with --guard or --try",
        ),
        (
            route(POLICY, opaque=True),
            [],
            None,
            Verdict.UNDECIDED,
            "what is inside app.ws cannot be seen: show it with --try",
        ),
        (route(LOGIN, POLICY), ["Login"], None, Verdict.GUARDED, "passes app.auth.Login"),
        (route(LOGIN, POLICY), ["app.auth:Login"], None, Verdict.GUARDED, "passes app.auth.Login"),
        (route(LOGIN, TOKEN, CORS, POLICY), ["Token", "Login"], None, Verdict.GUARDED, f"passes {BOTH}"),
        (route(CORS, POLICY), ["Login"], None, Verdict.OPEN, "does not pass Login"),
        (route(CORS, POLICY), ["Login", "Token"], None, Verdict.OPEN, "does not pass Login or Token"),
        (
            route(UNSEEN, UNSEEN_TOKEN, POLICY),
            ["Login", "Token"],
            None,
            Verdict.OPEN,
            f"passes {BOTH} as a WebSocket, which it lets pass unseen",
        ),
        (route(UNSEEN, TOKEN, POLICY), ["Login", "Token"], None, Verdict.GUARDED, "passes app.auth.Token"),
        (route(POLICY), [], Answer.REFUSED, Verdict.GUARDED, f"/ws refuses {STRANGER}: so and so"),
        (route(CORS, POLICY), ["Login"], Answer.REFUSED, Verdict.GUARDED, f"/ws refuses {STRANGER}: so and so"),
        (route(LOGIN, POLICY), ["Login"], Answer.LET_IN, Verdict.OPEN, f"/ws lets {STRANGER} in"),
        (
            route(LOGIN, POLICY),
            [],
            Answer.UNDECIDED,
            Verdict.UNDECIDED,
            f"not shown; /ws answers {STRANGER} with so and so, which is no refusal",
        ),
        (
            route(POLICY),
            [],
            Answer.UNDECIDED,
            Verdict.UNDECIDED,
            f"not shown; /ws answers {STRANGER} with so and so, which is no refusal",
        ),
        (
            route(LOGIN, POLICY),
            ["Login"],
            Answer.UNDECIDED,
            Verdict.GUARDED,
            f"passes app.auth.Login; /ws answers {STRANGER} with so and so",
        ),
        (
            route(CORS, POLICY),
            ["Login"],
            Answer.UNDECIDED,
            Verdict.OPEN,
            f"does not pass Login; /ws answers {STRANGER} with so and so",
        ),
        (
            route(UNSEEN, POLICY),
            ["Login"],
            Answer.UNDECIDED,
            Verdict.OPEN,
            f"passes app.auth.Login as a WebSocket, which it lets pass unseen; /ws answers {STRANGER} with so and so",
        ),
    ],
)
def test_verdict(found: SurveyedRoute, guards: list[str], tried: Answer | None, verdict: Verdict, words: str) -> None:
    judgement = judge(found, guards, None if tried is None else trial(tried))
    assert (judgement.verdict, judgement.reason) == (verdict, words)


@pytest.mark.parametrize(
    ("guard", "named"),
    [
        ("Login", True),
        ("auth.Login", True),
        ("auth:Login", True),
        ("app.auth:Login", True),
        ("app.auth.Login", True),
        ("ogin", False),
        ("other:Login", False),
    ],
)
def test_a_guard_is_named_by_whole_parts(guard: str, named: bool) -> None:
    assert is_named("app.auth.Login", [guard]) is named
    assert is_named("app.auth.Login", ["Other", guard]) is named
