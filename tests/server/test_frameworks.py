"""FastAPI and Starlette, with `app.add_middleware(UpgradeMiddleware)` and with `UpgradeMiddleware(app)`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.server.test_fallthrough import JAVA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

ADA = {"Authorization": "Bearer ada"}


@pytest.fixture(params=["fastapi_added", "fastapi_wrapped", "starlette_added", "starlette_wrapped"])
def app(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    return shared(f"frameworks:{request.param}")


@pytest.fixture(params=["fastapi_added", "fastapi_wrapped"])
def fastapi(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    return shared(f"frameworks:{request.param}")


def test_a_websocket_endpoint_works_as_it_is(app: Server) -> None:
    with app.websocket("/chat/blue?a=b", ADA) as websocket:
        welcome = json.loads(websocket.receive_text())
        assert welcome == {
            "welcome": "hello ada in blue",  # the lifespan's state, the middleware's, the path
            "url": app.url("ws", "/chat/blue?a=b"),
            "query": {"a": "b"},
        }
        websocket.send_text("hi")
        assert websocket.receive_message() == "hi"
        websocket.finish(4001)
    app.log.search("chat left with 4001")


def test_a_middleware_that_returns_401_refuses_the_handshake(app: Server) -> None:
    with app.handshaker() as websocket:
        response = websocket.refused("/chat/blue")
        assert (response.status, response.body) == (401, b"who are you?")
        assert response.header("www-authenticate") == "Bearer"
        # The next attempt, on the same connection, brings what was missing.
        websocket.open("/chat/blue", ADA)
        assert "hello ada" in websocket.receive_text()


def test_a_middleware_that_lets_it_pass_adds_a_header_that_the_client_sees_on_the_101(app: Server) -> None:
    with app.handshaker() as websocket:
        response = websocket.open("/chat/blue", ADA)
    assert response.header("x-user") == "ada"
    assert response.header("x-endpoint") == "chat"


def test_pages_are_served_and_guarded_as_before(app: Server) -> None:
    with app.peer() as peer:
        assert peer.ask("GET", "/pages/one").status == 401
        assert json.loads(peer.ask("GET", "/pages/one", headers=ADA).body) == {"page": "one", "body": ""}
        response = peer.ask("POST", "/pages/two", headers={**ADA, **JAVA, "Content-Length": 4}, body=b"java")
        assert json.loads(response.body) == {"page": "two", "body": "java"}
        assert response.header("x-user") == "ada"


def test_a_handshake_for_a_page_is_not_found(app: Server) -> None:
    """As it is without the middleware: no WebSocket route matches."""
    with app.handshaker() as websocket:
        assert websocket.refused("/pages/one", ADA).status in (403, 404)
        assert websocket.ask("GET", "/pages/one", headers=ADA).status == 200


def test_a_plain_request_for_a_websocket_route_is_404(app: Server) -> None:
    with app.peer() as peer:
        assert peer.ask("GET", "/chat/blue", headers=ADA).status == 404


@pytest.mark.parametrize(("how", "status"), [("close", 403), ("denial", 402), ("http", 418), ("websocket", 403)])
def test_an_endpoint_refuses_in_all_ways_that_starlette_has(app: Server, how: str, status: int) -> None:
    with app.handshaker() as websocket:
        response = websocket.refused(f"/refuse/{how}", ADA)
        assert response.status == status
        assert response.header("x-user") == "ada", "the refusal passes the middleware as well"
        if how == "denial":
            assert (response.body, response.header("x-why")) == (b"not you", "because")
        assert websocket.ask("GET", "/pages/one", headers=ADA).status == 200


def test_dependencies_and_parameters_of_fastapi_work(fastapi: Server) -> None:
    with fastapi.websocket("/rooms/7?name=bob", ADA) as websocket:
        assert json.loads(websocket.receive_text()) == {"room": 7, "name": "bob"}
        assert websocket.receive_close() == (4000, "that was all")


@pytest.mark.parametrize(("room", "status"), [("13", 404), ("not-a-number", 403)])
def test_a_dependency_of_fastapi_that_refuses_refuses_the_handshake(fastapi: Server, room: str, status: int) -> None:
    with fastapi.handshaker() as websocket:
        assert websocket.refused(f"/rooms/{room}", ADA).status == status


def test_nothing_is_logged_but_access_lines(app: Server) -> None:
    start = len(app.log.lines)
    with app.websocket("/chat/blue", ADA) as websocket:
        websocket.receive_text()
        websocket.finish()
    app.log.search("chat left", start=start)
    assert [line for line in app.log.lines[start:] if not line.startswith(("INFO: ", "chat left"))] == []
