"""Versions of uvicorn and Starlette that lack what we need of their insides: what is guarded stays guarded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import PARSERS
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from tests.server.support.process import Server

CREDENTIAL = {"Authorization": "Bearer right"}
MODULES = {
    "h11": "uvicorn.protocols.http.h11_impl:H11Protocol",
    "httptools": "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol",
    "zttp": "uvicorn.protocols.http.zttp_impl:ZttpProtocol",
}


def status(server: Server, authorization: bytes = b"") -> int:
    with server.peer() as peer:
        peer.send(b"GET / HTTP/1.1\r\nHost: test\r\n" + authorization + b"\r\n")
        answered: int = peer.receive_response().status
        return answered


def refused(server: Server, headers: dict[str, str] | None = None) -> int:
    with server.handshaker() as websocket:
        answered: int = websocket.refused("/echo", headers).status
        return answered


def pages_are_as_ever(server: Server) -> bool:
    return (status(server), status(server, b"Authorization: Bearer right\r\n")) == (401, 200)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("name", ["cycle", "_unset_keepalive_if_required"])
def test_a_uvicorn_that_lacks_something_serves_its_own_websockets_and_they_are_guarded(parser: str, name: str) -> None:
    owner = MODULES[parser]
    with uvicorn("lacking:app", http=parser, environment={"LACKING": f"{owner}.{name}"}) as server:
        lacks = re.escape(f"{owner.partition(':')[2]}.{name}")
        server.log.search(rf"uvicorn does not offer http\.upgrade \(uvicorn [0-9.]+ has no {lacks}\)")
        assert refused(server) in (401, 403)  # uvicorn's older WebSockets cannot say 401
        with server.websocket("/echo", CREDENTIAL) as websocket:
            websocket.send_text("works")
            assert websocket.receive_message() == "works"
            websocket.finish()
        assert pages_are_as_ever(server)
        assert not any("Traceback" in line for line in server.log.lines)


@pytest.mark.parametrize("name", ["starlette.routing:WebSocketRoute.handle", "starlette.applications:Starlette.router"])
def test_a_starlette_that_lacks_something_has_all_handshakes_refused(name: str) -> None:
    with uvicorn("lacking:app", environment={"LACKING": name}) as server:
        server.log.search(
            rf"starlette [0-9.]+ has no {re.escape(name.partition(':')[2])}: handshakes cannot be brought"
        )
        assert refused(server) == 401
        assert refused(server, CREDENTIAL) == 503
        assert pages_are_as_ever(server)
        assert not any("Traceback" in line for line in server.log.lines)
