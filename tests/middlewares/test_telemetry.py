"""OpenTelemetry, Sentry and FastAPI tell of a WebSocket as on the plain server, and of its handshake too.

The same application runs without the middleware, with it, and with it where the server delivers WebSockets.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.middlewares.apps.common import PATHS
from tests.middlewares.conversation import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

Told = list[dict[str, Any]]

# What tells, and where it is asked for that.
TELEMETRY = {
    "tracing:instrumented": "/spans",
    "tracing:native": "/spans",
    "tracing:added": "/spans",
    "sentry:app": "/events",
}
# These differ from one client to the next.
VOLATILE = ("http.url", "http.host", "http.server_name", "net.host.port", "net.peer.port", "client.port", "server.port")


def told(server: Server, page: str) -> Told:
    every: Told = json.loads(get(server, page).body)
    for each in every:
        for name in VOLATILE:
            each.get("attributes", {}).pop(name, None)
    return [each for each in every if not is_asking(each, page)]


def is_asking(each: dict[str, Any], page: str) -> bool:
    """Whether it tells of the request for what has been told."""
    name = str(each.get("name", each.get("transaction")))
    function = str(each.get("attributes", {}).get("code.function.name"))
    return page in name or function.startswith("tests.middlewares.apps.tracing.")


def is_of_request(each: dict[str, Any]) -> bool:
    """Whether it tells of the handshake, and not of the WebSocket."""
    return str(each.get("name")).startswith("GET ") or each.get("op") == "http.server"


def is_whole(each: dict[str, Any]) -> bool:
    """Whether it is the last that is told of a request or of a WebSocket."""
    return each.get("kind") == "SERVER" or each.get("type") == "transaction"


def talk(server: Server, path: str) -> None:
    if path.startswith("/refuse"):
        with server.handshaker() as websocket:
            assert websocket.refused(path).status == 403
        return
    with server.websocket(path) as websocket:
        websocket.send_text("hello")
        if path.startswith("/fail"):
            assert websocket.receive_until_silence(0.5)[:1] in (b"", b"\x88")
        else:
            assert websocket.receive_text() == "hello"
            websocket.finish(4000)


def told_of(server: Server, page: str, path: str, count: int) -> Told:
    """Talk, and give what is told of that, once so many things are whole."""
    before = len(told(server, page))
    talk(server, path)
    deadline = time.monotonic() + 30
    while sum(map(is_whole, new := told(server, page)[before:])) < count:
        assert time.monotonic() < deadline, new
        time.sleep(0.02)
    time.sleep(0.1)
    return told(server, page)[before:]


def in_order(all_told: Told) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in all_told)


@pytest.mark.parametrize("path", [*PATHS, "/leave/blue", "/fail/blue", "/refuse/blue"])
@pytest.mark.parametrize("app", TELEMETRY)
def test_a_websocket_is_told_of_as_on_the_plain_server_and_its_handshake_as_a_request(
    start: Callable[..., Server], app: str, path: str
) -> None:
    page, native = TELEMETRY[app], {"TRACE_NATIVELY": "1"} if app.endswith("native") else {}
    plain = told_of(start(app, PLAIN="1", **native), page, path, 1)
    assert not any(map(is_of_request, plain))
    ours = told_of(start(app, **native), page, path, 2)
    assert in_order([each for each in ours if not is_of_request(each)]) == in_order(plain)

    [request] = [each for each in ours if is_of_request(each) and is_whole(each)]
    attributes = request.get("attributes") or request["tags"]
    status = attributes.get("http.status_code") or attributes.get("http.response.status_code")
    assert int(status) == (403 if path.startswith("/refuse") else 101)
    failed = request["status"] in ("ERROR", "internal_error")
    assert failed is path.startswith("/fail"), "a client that leaves is no error of the request"


@pytest.mark.parametrize("path", ["/rooms/blue", "/leave/blue", "/fail/blue"])
@pytest.mark.parametrize("app", TELEMETRY)
def test_so_it_is_where_the_server_delivers_websockets(start: Callable[..., Server], app: str, path: str) -> None:
    page, native = TELEMETRY[app], {"TRACE_NATIVELY": "1"} if app.endswith("native") else {}
    plain = told_of(start(app, PLAIN="1", **native), page, path, 1)
    ours = told_of(start(app, UNATTACHED="1", **native), page, path, 1)
    assert in_order([each for each in ours if not is_of_request(each)]) == in_order(plain)
    for request in filter(is_of_request, ours):
        assert request["status"] not in ("ERROR", "internal_error") or path.startswith("/fail")
