"""426 for WebSocket-only routes: `websocket_only=["/websocket-only", "/rooms/{name}"]` in `apps/upgraded.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.peer import Response
    from tests.server.support.process import Server


def assert_upgrade_required(response: Response) -> None:
    assert response.status == 426
    assert response.reason == "Upgrade Required"
    assert response.all("upgrade") == ["websocket"]
    assert [value.lower() for value in response.all("connection")] == ["upgrade"]


@pytest.mark.parametrize("path", ["/websocket-only", "/websocket-only?a=b", "/rooms/blue"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_plain_http_on_a_websocket_only_path_is_426(server: Server, method: str, path: str) -> None:
    with server.peer() as peer:
        response = peer.ask(method, path, headers={"Content-Length": "0"})
        assert_upgrade_required(response)
        assert peer.ask().status == 200, "the connection stays usable"


def test_an_offer_of_something_else_on_a_websocket_only_path_is_426(server: Server) -> None:
    with server.peer() as peer:
        assert_upgrade_required(peer.ask("GET", "/rooms/blue", headers={"Connection": "Upgrade", "Upgrade": "h2c"}))
        assert peer.ask().status == 200


@pytest.mark.parametrize("path", ["/rooms", "/rooms/", "/rooms/blue/door", "/websocket-only/", "/a/websocket-only"])
def test_other_paths_are_served(one_server: Server, path: str) -> None:
    with one_server.peer() as peer:
        assert peer.ask("GET", path).status == 200


def test_a_handshake_on_a_websocket_only_path_is_accepted(server: Server) -> None:
    with server.websocket("/websocket-only") as websocket:
        websocket.send_text("in")
        assert websocket.receive_message() == "in"


def test_a_websocket_only_path_is_guarded_by_the_origin_policy(server: Server) -> None:
    with server.handshaker() as websocket:
        assert websocket.refused("/websocket-only", {"Origin": "http://evil.example"}).status == 403


@pytest.mark.parametrize(("path", "status"), [("/only?ws", 426), ("/only", 200)])
def test_a_predicate_on_the_scope_decides_as_well(shared: Callable[..., Server], path: str, status: int) -> None:
    server: Any = shared("configured:predicate")
    with server.peer() as peer:
        assert peer.ask("GET", path).status == status


def test_paths_are_compared_below_the_root_path(shared: Callable[..., Server]) -> None:
    server = shared("upgraded:app", "--root-path", "/api")
    with server.peer() as peer:
        assert_upgrade_required(peer.ask("GET", "/rooms/blue"))
