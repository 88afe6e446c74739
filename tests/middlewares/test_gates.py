"""Starlette's middlewares that let a request in or not: AuthenticationMiddleware, CORS, TrustedHost, HTTPSRedirect."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conversation import complaints, converse, exchange, get, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(("headers", "user"), [(basic("ada", "secret"), "ada"), ({}, "")], ids=["ada", "anonymous"])
def test_authentication_middleware_tells_the_endpoint_who_it_is(
    start: Callable[..., Server], headers: dict[str, str], user: str
) -> None:
    with start("authentication:app").websocket("/anyone", headers) as websocket:
        assert websocket.receive_text() == user
        exchange(websocket)


def test_authentication_middleware_refuses_wrong_credentials(start: Callable[..., Server]) -> None:
    response = refuse(start("authentication:app"), "/anyone", basic("ada", "wrong"))
    assert (response.status, response.body) == (400, b"wrong password")


def test_an_endpoint_may_require_what_authentication_middleware_found(start: Callable[..., Server]) -> None:
    server = start("authentication:app")
    assert refuse(server, "/members").status == 403
    with server.websocket("/members", basic("ada", "secret")) as websocket:
        assert websocket.receive_text() == "ada"
        exchange(websocket)
    assert complaints(server) == []


def test_cors_dresses_the_101_for_its_own_origin(start: Callable[..., Server]) -> None:
    server = start("gates:cors")
    response = converse(server, headers={"Origin": f"http://{server.host}"})
    assert response.header("access-control-allow-credentials") == "true"


def test_cors_does_not_keep_other_sites_out_but_we_do(start: Callable[..., Server]) -> None:
    for origin in ("https://app.example", "https://evil.example"):
        assert refuse(start("gates:cors"), headers={"Origin": origin}).status == 403
        assert get(start("gates:cors"), "/page", {"Origin": origin}).status == 200


def test_trusted_host_middleware_refuses_other_hosts(start: Callable[..., Server]) -> None:
    server = start("gates:hosts")
    converse(server)
    response = refuse(server, headers={"Host": "evil.example"})
    assert (response.status, response.body) == (400, b"Invalid host header")
    assert complaints(server) == []


def test_https_redirect_middleware_redirects_a_handshake(start: Callable[..., Server]) -> None:
    server = start("gates:https")
    response = refuse(server, headers={"Host": "rooms.example"})
    assert response.status == 307
    assert response.header("location") == "https://rooms.example/rooms/blue"
    converse(server, headers={"X-Forwarded-Proto": "https"})
    assert complaints(server) == []


def test_base_http_middleware_refuses_and_dresses(start: Callable[..., Server]) -> None:
    server = start("gates:base")
    response = refuse(server)
    assert (response.status, response.body) == (401, b"no token")
    response = converse(server, "/rooms/blue?token=1")
    assert response.header("x-status") == "101"
    assert response.all("set-cookie") == ["seen=1; Path=/; SameSite=lax"]
    assert complaints(server) == []
