"""Versions of hypercorn and Starlette that lack what we need of their insides: what is guarded stays guarded."""

from __future__ import annotations

import re

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.server.support.process import APPS

from .running import Running, run

CREDENTIAL = {"Authorization": "Bearer right"}


def refused(server: Running, headers: dict[str, str]) -> int:
    with pytest.raises(InvalidStatus) as refusal, connect(server.url("/echo"), additional_headers=headers, proxy=None):
        pass
    return refusal.value.response.status_code


def pages_are_as_ever(server: Running) -> bool:
    url = f"http://127.0.0.1:{server.port}/"
    with httpx.Client(trust_env=False) as client:
        return (client.get(url).status_code, client.get(url, headers=CREDENTIAL).status_code) == (401, 200)


@pytest.mark.parametrize(
    "name",
    [
        "hypercorn.protocol.h11:H11Protocol.connection_state",
        "hypercorn.asyncio.tcp_server:TCPServer.reader",
        "hypercorn.config:Config.response_headers",
    ],
)
def test_a_hypercorn_that_lacks_something_serves_its_own_websockets_and_they_are_guarded(name: str) -> None:
    with run("hypercorn", "lacking:app", folder=APPS, environment={"LACKING": name}) as server:
        log = server.wait_for("hypercorn does not offer http.upgrade")
        assert re.search(rf"\(hypercorn [0-9.]+ has no {re.escape(name.partition(':')[2])}\)", log)
        assert refused(server, {}) == 401
        with connect(server.url("/echo"), additional_headers=CREDENTIAL, proxy=None) as websocket:
            websocket.send("works")
            assert websocket.recv(5) == "works"
        assert pages_are_as_ever(server)
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("server", ["hypercorn", "uvicorn, not extended"])
def test_a_starlette_that_lacks_something_has_all_websockets_refused(server: str) -> None:
    lacks = {"LACKING": "starlette.routing:WebSocketRoute.handle"}
    with run(server, "lacking:app", folder=APPS, environment=lacks) as running:
        # Where the server delivers WebSockets, middleware for requests has not seen this one, and is not asked.
        assert refused(running, {}) in (401, 503)
        assert refused(running, CREDENTIAL) == 503
        # Without a lifespan, applications are built with the first connection.
        log = running.wait_for("handshakes cannot be brought through its applications")
        assert re.search(r"starlette [0-9.]+ has no WebSocketRoute\.handle:", log)
        assert pages_are_as_ever(running)
        assert "Traceback" not in running.log.read_text()
