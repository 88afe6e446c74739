"""What FastAPI's OpenAPI says of endpoints that return an `UpgradeResponse`."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from asgi_upgrade import UpgradeResponse, UpgradeStream


async def handler(stream: UpgradeStream) -> None:
    raise AssertionError("not to be run")


async def endpoint() -> UpgradeResponse:
    return UpgradeResponse(handler)


def described(app: FastAPI) -> Any:
    return app.openapi()["paths"]["/exec"]["post"]["responses"]


def test_the_class_gives_101_without_a_body() -> None:
    app = FastAPI()
    app.post("/exec", response_class=UpgradeResponse)(endpoint)
    assert list(described(app)) == ["101"]
    assert "content" not in described(app)["101"]


@pytest.mark.parametrize("routed", [False, True])
def test_its_responses_give_both(routed: bool) -> None:
    app = FastAPI()
    if routed:
        router = APIRouter(default_response_class=UpgradeResponse, responses=UpgradeResponse.responses)
        router.post("/exec")(endpoint)
        app.include_router(router)
    else:
        app.post("/exec", response_class=UpgradeResponse, responses=UpgradeResponse.responses)(endpoint)
    responses = described(app)
    assert set(responses) == {"101", "426"}
    assert responses["101"]["description"] == "The connection speaks another protocol from now on."
    assert "content" not in responses["101"]
    assert set(responses["426"]["content"]) == {"text/plain"}
    assert "Upgrade" in responses["426"]["headers"]


def test_the_status_is_101_and_nothing_else() -> None:
    assert UpgradeResponse(handler, status_code=101).status_code == 101
    with pytest.raises(ValueError, match="status_code must be 101, not 200"):
        UpgradeResponse(handler, status_code=200)
