"""All middlewares in one stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.middlewares.conversation import BROWSER, complaints, exchange, get, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

HTTPS = {**BROWSER, "X-Forwarded-Proto": "https"}


@pytest.fixture(params=[{}, {"UNATTACHED": "1"}], ids=["converted", "delivered"])
def server(request: pytest.FixtureRequest, start: Callable[..., Server]) -> Server:
    return start("stacked:behind_proxy", **request.param)


def test_a_websocket_passes_all_of_them(server: Server) -> None:
    correlation_id, request_id = uuid4().hex, uuid4().hex
    headers = {**HTTPS, "X-Name": "ada", "X-Correlation-ID": correlation_id, "X-Request-ID": request_id}
    with server.handshaker() as websocket:
        response = websocket.open("/rooms/blue", {**headers, "Origin": f"https://{server.host}"})
        assert response.header("content-encoding") is None
        assert response.header("x-dispatched") == "101"
        assert response.header("x-correlation-id") == correlation_id
        assert response.header("x-request-id") == request_id
        assert response.header("x-frame-options") == "SAMEORIGIN"
        assert response.header("access-control-allow-origin") == "*"
        assert len(response.all("x-ratelimit-remaining")) == 1, "slowapi counts once"
        cookies = {cookie.partition("=")[0] for cookie in response.all("set-cookie")}
        assert cookies == {"session", "csrftoken"}
        assert json.loads(websocket.receive_text()) == {
            "user": "ada",
            "correlation id": correlation_id,
            "request id": request_id,
            "state": "yes",
        }
        exchange(websocket)
    assert get(server, "/page", HTTPS).status == 200  # by then the WebSocket has ended for all of them
    assert [line for line in complaints(server) if "does not offer http.upgrade" not in line] == []


def test_each_of_them_may_still_refuse(server: Server) -> None:
    assert refuse(server, headers=BROWSER).status == 307
    assert refuse(server, headers={**HTTPS, "Host": "evil.example"}).status == 400


def test_pages_pass_all_of_them(server: Server) -> None:
    response = get(server, "/page", HTTPS)
    assert response.status == 200
    assert response.header("content-encoding") == "gzip"
