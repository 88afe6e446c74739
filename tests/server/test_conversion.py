"""A handshake that arrives as an http request becomes a websocket scope."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.server.support.process import Server


def described(server: Server, target: str = "/describe-scope", headers: dict[str, Any] | None = None) -> Any:
    with server.websocket(target, headers) as websocket:
        scope = json.loads(websocket.receive_text())
        websocket.finish()
    return scope


def test_the_app_sees_a_websocket_scope_of_spec_version_2_4_or_newer(server: Server) -> None:
    scope = described(server)
    assert scope["type"] == "websocket"
    assert scope["asgi"]["version"] == "3.0"
    assert tuple(map(int, scope["asgi"]["spec_version"].split("."))) >= (2, 4)
    assert scope["scheme"] == "ws"
    assert scope["http_version"] == "1.1"


def test_the_first_message_is_websocket_connect(server: Server) -> None:
    with server.websocket() as websocket:
        assert server.note(websocket.key, "first message") == {"type": "websocket.connect"}


def test_path_query_client_and_server_are_those_of_the_request(server: Server) -> None:
    with server.websocket("/describe-scope?a=%20b") as websocket:
        scope = json.loads(websocket.receive_text())
        assert scope["path"] == scope["raw_path"] == "/describe-scope"
        assert scope["query_string"] == "a=%20b"
        assert scope["root_path"] == ""
        assert scope["client"] == list(websocket.socket.getsockname())
        assert scope["server"] == list(websocket.socket.getpeername())


def test_a_websocket_scope_has_no_method(server: Server) -> None:
    assert "method" not in described(server)


def test_the_headers_are_all_those_of_the_request(server: Server) -> None:
    headers = described(server, headers={"X-Twice": ["one", "two"], "Cookie": "a=b"})["headers"]
    assert [value for name, value in headers if name == "x-twice"] == ["one", "two"]
    assert ["cookie", "a=b"] in headers
    assert ["sec-websocket-version", "13"] in headers


def test_subprotocols_come_from_all_lines_in_the_clients_order(server: Server) -> None:
    offered = {"Sec-WebSocket-Protocol": ["chat.v9, , chat.v1", "mqtt"]}
    assert described(server, headers=offered)["subprotocols"] == ["chat.v9", "chat.v1", "mqtt"]


def test_subprotocols_is_empty_where_none_was_offered(server: Server) -> None:
    assert described(server)["subprotocols"] == []


def test_extensions_offer_the_denial_response_and_no_second_upgrade(server: Server) -> None:
    extensions = described(server)["extensions"]
    assert extensions["websocket.http.response"] == {}
    assert "http.upgrade" not in extensions


def test_what_outer_middleware_put_into_the_scope_comes_along(server: Server) -> None:
    scope = described(server)
    assert scope["user"] == "ada"
    assert scope["auth"] == ["authenticated"]
    assert scope["session"] == {"cart": 3}


def test_path_and_root_path_set_by_outer_middleware_come_along(server: Server) -> None:
    scope = described(server, "/outer/rewritten")
    assert scope["path"] == "/mounted/describe-scope"
    assert scope["root_path"] == "/mounted"


def test_state_is_the_lifespans_and_the_middlewares_and_each_sessions_own(server: Server) -> None:
    def state() -> Any:
        with server.websocket("/change-state") as websocket:
            state = json.loads(websocket.receive_text())
            websocket.finish()
        return state

    first, second = state(), state()
    assert first["from lifespan"] == second["from lifespan"] == "yes"
    assert first["from middleware"] == "yes"
    assert "changed by a session" not in second
    # The copy is shallow, as the ASGI specification says: what the lifespan put there is shared.
    assert len(second["shared"]) == len(first["shared"]) + 1


def test_the_http_scope_of_outer_middleware_is_not_changed(server: Server) -> None:
    """Whoever stands outside still holds an http scope after the session, for its log line."""
    with server.websocket("/echo?remember") as websocket:
        websocket.finish()
    assert server.note(websocket.key, "outer scope") == {"type": "http", "scheme": "http", "method": "GET"}
