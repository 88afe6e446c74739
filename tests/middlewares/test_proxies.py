"""hypercorn's ProxyFixMiddleware gives everything inside a deep copy of the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.middlewares.conversation import complaints, exchange

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

FORWARDED = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "rooms.example"}


def test_the_endpoint_sees_the_client_that_the_proxy_names(start: Callable[..., Server]) -> None:
    server = start("proxies:app", "--no-proxy-headers")
    with server.websocket("/where", {**FORWARDED, "Origin": "https://rooms.example"}) as websocket:
        assert websocket.receive_text() == "192.0.2.1 wss://rooms.example/where"
        exchange(websocket)
    assert complaints(server) == []
