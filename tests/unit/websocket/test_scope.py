"""The `websocket` scope that an application gets of a handshake, and what its router leaves behind for HTTP."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from asgi_upgrade.websocket.bridge import BRIDGE, CONVERTED, HANDSHAKE
from asgi_upgrade.websocket.scope import tell_route, websocket_scope
from tests.unit.calls import http_scope


def test_the_scope_is_a_websocket_of_the_same_request() -> None:
    state = {"user": "ada"}
    http = http_scope(
        "/rooms/1",
        state=state,
        session={},
        extensions={"http.upgrade": {"version": "1.2"}, BRIDGE: None, "tls": {"tls_version": 1}},
        **{HANDSHAKE: "mark"},
    )
    before = copy.deepcopy(http)
    made = websocket_scope(http, ("a", "b"), "converted")
    assert http == before
    assert made["state"] is state
    expected = {
        **{name: value for name, value in http.items() if name not in ("method", HANDSHAKE)},
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "scheme": "ws",
        "subprotocols": ["a", "b"],
        "extensions": {"tls": {"tls_version": 1}, "websocket.http.response": {}},
        CONVERTED: "converted",
    }
    assert made == expected


@pytest.mark.parametrize(
    ("scheme", "expected"), [("http", "ws"), ("https", "wss"), ("ws", "ws"), ("wss", "wss"), (None, "ws")]
)
def test_the_scheme_says_whether_it_came_over_tls(scheme: str | None, expected: str) -> None:
    scope = http_scope(extensions={}, scheme=scheme)
    if scheme is None:
        del scope["scheme"]
    assert websocket_scope(scope, (), None)["scheme"] == expected


def test_the_middleware_around_sees_where_the_router_has_gone() -> None:
    route: dict[str, Any] = {"endpoint": print, "path_params": {"a": 1}, "route": "route", "router": "router"}
    http: dict[str, Any] = {"path": "/", "path_params": {}}
    tell_route({**route, "path": "/other", "type": "websocket"}, http)
    assert http == {"path": "/", **route}
    tell_route({"endpoint": repr}, http)
    assert http["endpoint"] is repr
    assert http["route"] == "route"
