"""What a server imports: all of it before the first connection, because an import keeps all the others waiting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import PARSERS
from tests.server.support.http2 import HTTP2Client
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from tests.server.support.process import Server


def modules(server: Server) -> set[str]:
    with server.peer() as peer:
        return set(json.loads(peer.ask("GET", "/modules").body))


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("networks", ["127.0.0.1", "10.0.0.1"], ids=["admitted", "not admitted"])
def test_no_client_has_the_server_import_anything(parser: str, networks: str) -> None:
    options: Any = {"environment": {"H2C_NETWORKS": networks}}
    with uvicorn("over_http2:app", http=parser, loop="asyncio", **options) as server:
        modules(server)  # what plain HTTP imports is not our business
        before = modules(server)
        with HTTP2Client(server.peer()) as client:
            if networks == "10.0.0.1":
                client.peer.send(client.ask())
                assert client.peer.receive_response().status == 200
            else:
                client.upgrade()
                assert client.answer(1).status == 200
                over_http2 = client.websocket()
                over_http2.send_text("hello")
                assert over_http2.receive_message() == "hello"
        offer = {"Sec-WebSocket-Extensions": "permessage-deflate"}
        with server.websocket("/echo", offer) as websocket:
            websocket.send_text("hello")
            assert websocket.receive_message() == "hello"
            websocket.finish()
        assert modules(server) - before == set()
