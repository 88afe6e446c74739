"""prometheus-fastapi-instrumentator, starlette-prometheus, starlette-exporter count a WebSocket like a page."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.middlewares.apps.common import PATHS
from tests.middlewares.conversation import complaints, converse, exchange, get, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


class Exporter(NamedTuple):
    """An exporter's counter of responses, what it calls its labels, and its sum of seconds: do they end at the 101?"""

    app: str
    counter: str
    path: str
    status: str
    seconds: str
    of_handshake: bool


EXPORTERS = [
    Exporter(
        "metrics_instrumentator:app", "http_requests_total", "handler", "status", "http_request_duration_seconds", False
    ),
    Exporter(
        "metrics_starlette_prometheus:app",
        "starlette_responses_total",
        "path_template",
        "status_code",
        "starlette_requests_processing_time_seconds",
        True,
    ),
    Exporter(
        "metrics_starlette_exporter:app",
        "starlette_requests_total",
        "path",
        "status_code",
        "starlette_request_duration_seconds",
        False,
    ),
]
# starlette-prometheus looks at the outermost routes only, and cannot read those that FastAPI includes.
COUNTED = [
    (exporter, path)
    for exporter in EXPORTERS
    for path in PATHS
    if "prometheus:" not in exporter.app or not path.startswith("/api")
]


def counted(server: Server, exporter: Exporter, status: int) -> dict[str, float]:
    """How many responses with that status each path has had."""
    pattern = rf'{exporter.counter}{{(?=.*{exporter.status}="{status}").*\b{exporter.path}="([^"]*)".*}} (.*)'
    return {path: float(value) for path, value in re.findall(pattern, get(server, "/metrics").body.decode())}


@pytest.mark.parametrize(("exporter", "path"), COUNTED, ids=lambda value: getattr(value, "app", value))
def test_a_websocket_is_counted_with_the_template_of_its_route_and_101(
    start: Callable[..., Server], exporter: Exporter, path: str
) -> None:
    template = PATHS[path]
    server = start(exporter.app)
    before, pages_before = counted(server, exporter, 101), counted(server, exporter, 200)
    converse(server, path)
    (grown,) = [(name, value) for name, value in counted(server, exporter, 101).items() if before.get(name) != value]
    assert grown == (
        template if exporter is not EXPORTERS[1] else template.removesuffix("/rooms/{room}") or template,
        1,
    )

    # A page in the same place is called the same.
    assert get(server, path.replace("rooms", "pages")).status == 200
    pages = {name for name, value in counted(server, exporter, 200).items() if pages_before.get(name) != value}
    assert grown[0].replace("rooms", "pages") in pages
    assert complaints(server) == []


@pytest.mark.parametrize("exporter", EXPORTERS, ids=lambda exporter: exporter.app)
def test_the_time_it_took_is_that_of_the_handshake_or_of_the_websocket(
    start: Callable[..., Server], exporter: Exporter
) -> None:
    server = start(exporter.app)

    def seconds() -> float:
        metrics = get(server, "/metrics").body.decode()
        return sum(map(float, re.findall(rf"{exporter.seconds}_sum{{.*/rooms/.*}} (.*)", metrics)))

    before = seconds()
    with server.websocket("/rooms/blue") as websocket:
        time.sleep(1)
        exchange(websocket)
    deadline = time.monotonic() + 30
    while (taken := seconds() - before) == 0 and time.monotonic() < deadline:
        time.sleep(0.02)  # it is counted once the application has returned
    assert (taken > 1) is not exporter.of_handshake


# starlette-exporter counts only what the router has taken.
@pytest.mark.parametrize("exporter", EXPORTERS[:2], ids=lambda exporter: exporter.app)
def test_a_refused_handshake_is_counted_with_its_own_status(start: Callable[..., Server], exporter: Exporter) -> None:
    server = start(exporter.app)
    assert refuse(server, "/rooms/red", {"Sec-WebSocket-Version": "12"}).status == 426
    assert counted(server, exporter, 426) == {"/rooms/{room}": 1}
