"""Where a mounted application has an `UpgradeMiddleware` of its own, both have to let an origin in."""

from __future__ import annotations

import pytest
from starlette.middleware import Middleware
from starlette.routing import Mount

from asgi_upgrade import UpgradeMiddleware
from tests.guard.apps.applications import base, pure, starlette
from tests.guard.support.deployments import Call

ONE, BOTH = ["https://one.example"], ["https://one.example", "https://both.example"]


@pytest.mark.parametrize("lifespan", [True, False])
@pytest.mark.parametrize(
    ("outer", "inner", "status"),
    [(BOTH, BOTH, 101), (BOTH, ONE, 403), (ONE, BOTH, 403), (BOTH, None, 101), (ONE, None, 403)],
)
def test_each_judges_the_origin(
    caplog: pytest.LogCaptureFixture, outer: list[str], inner: list[str] | None, status: int, *, lifespan: bool
) -> None:
    own = [] if inner is None else [Middleware(UpgradeMiddleware, allowed_origins=inner)]
    mounted = starlette(pure, *own)
    app = starlette(base, Middleware(UpgradeMiddleware, allowed_origins=outer), routes=[Mount("/sub", mounted)])
    call = Call(caplog, lifespan=lifespan, denial=True)
    outcome = call.connect(app, "/sub/echo", {"Origin": "https://both.example"})
    assert outcome.status == status
