"""`examples/metrics`: what Prometheus would scrape."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conversation import converse, get, refuse
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

EXAMPLE = Path(__file__).parents[2] / "examples" / "metrics"
ROOM = 'route="/rooms/{room}"'


@pytest.fixture
def server() -> Iterator[Server]:
    with uvicorn("app:app", "--app-dir", str(EXAMPLE)) as started:
        yield started


def scrape(server: Server) -> dict[str, float]:
    response = get(server, "/metrics")
    assert response.header("content-type") is not None
    lines = response.body.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_the_metrics_of_open_and_ended_connections(server: Server) -> None:
    with server.websocket("/rooms/blue") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"
        now = scrape(server)
        assert now[f"websocket_connections{{{ROOM}}}"] == 1
        assert now[f"websocket_messages_received_total{{{ROOM}}}"] == 1
        assert now[f"websocket_bytes_received_total{{{ROOM}}}"] == 6 + 5
        assert now[f"websocket_bytes_sent_total{{{ROOM}}}"] == 2 + 5
        websocket.finish(4007)
    with server.websocket("/rooms/red") as websocket:
        websocket.finish(3999)
    converse(server, "/rooms/green")
    assert refuse(server, "/rooms/red", {"Origin": "http://evil.example"}).status == 403
    for number in range(3):
        assert refuse(server, f"/unknown/{number}").status == 404

    deadline = time.monotonic() + 30
    while (now := scrape(server))[f"websocket_connections{{{ROOM}}}"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert now['websocket_handshakes_total{outcome="accepted",route="/rooms/{room}"}'] == 3
    assert now['websocket_handshakes_total{outcome="refused_origin",route="/rooms/{room}"}'] == 1
    assert now['websocket_handshakes_total{outcome="refused",route=""}'] == 3
    assert now['websocket_closed_total{code="4007",route="/rooms/{room}"}'] == 1
    assert now['websocket_closed_total{code="1000",route="/rooms/{room}"}'] == 1
    assert now['websocket_closed_total{code="other",route="/rooms/{room}"}'] == 1
    assert now[f"websocket_duration_seconds_count{{{ROOM}}}"] == 3
    assert now[f"websocket_messages_received_total{{{ROOM}}}"] == now[f"websocket_messages_sent_total{{{ROOM}}}"] == 3
    assert not re.search("blue|red|green|unknown", " ".join(now)), "no path is a label"
