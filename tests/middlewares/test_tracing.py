"""OpenTelemetry and Sentry: a handshake is named like a page in its place, and an error in it told like a page's.

What they tell of the WebSocket is in `test_telemetry.py`.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.middlewares.apps.common import PATHS
from tests.middlewares.conversation import converse, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


def ask(server: Server, path: str) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(get(server, path).body)
    return told


def fail(server: Server) -> None:
    with server.websocket("/fail/blue") as websocket:
        websocket.send_text("go on")
        assert websocket.receive_close()[0] == 1011


def fail_page(server: Server) -> None:
    with server.peer() as peer, pytest.raises(AssertionError, match="the connection ended"):
        peer.ask("GET", "/fail-page/blue")


def wait_for_one(list_them: Callable[[], list[Any]], act: Callable[[], object]) -> Any:
    """Act, and give what is told about that; a client knows of the end before the server has told of it."""
    before = len(list_them())
    act()
    deadline = time.monotonic() + 30
    while len(told := list_them()) == before:
        assert time.monotonic() < deadline, "nothing is told"
        time.sleep(0.01)
    return told[-1]


def spans(server: Server) -> list[dict[str, Any]]:
    """Those of requests that did not ask for spans."""
    return [
        span
        for span in ask(server, "/spans")
        if span["kind"] == "SERVER" and span["name"].startswith("GET ") and span["name"] != "GET /spans"
    ]


def span_of(server: Server, act: Callable[[], object]) -> dict[str, Any]:
    span: dict[str, Any] = wait_for_one(lambda: spans(server), act)
    return span


@pytest.fixture(params=["instrumented", "native"])
def traced(request: pytest.FixtureRequest, start: Callable[..., Server]) -> Server:
    """opentelemetry-instrumentation-fastapi, and FastAPI's own telemetry."""
    environment = {"TRACE_NATIVELY": "1"} if request.param == "native" else {}
    return start(f"tracing:{request.param}", **environment)


@pytest.mark.parametrize(("path", "template"), PATHS.items())
def test_the_span_is_named_after_the_route(traced: Server, path: str, template: str) -> None:
    span = span_of(traced, lambda: converse(traced, path))
    attributes = span["attributes"]
    assert attributes.get("http.status_code", attributes.get("http.response.status_code")) == 101
    assert span["status"] == "UNSET", "not a failure"
    if not path.startswith("/sub"):  # they name the mount, for a page as well
        assert span["name"] == f"GET {template}"
        assert attributes["http.route"] == template
    page = span_of(traced, lambda: get(traced, path.replace("rooms", "pages")))
    assert page["name"] == span["name"].replace("rooms", "pages")


def test_an_error_is_recorded_like_that_of_a_page(traced: Server) -> None:
    span = span_of(traced, lambda: fail(traced))
    assert (span["name"], span["status"]) == ("GET /fail/{room}", "ERROR")
    assert span_of(traced, lambda: fail_page(traced))["events"] == span["events"]


@pytest.mark.parametrize(("path", "template"), PATHS.items())
def test_sentry_names_the_transaction_after_the_route(start: Callable[..., Server], path: str, template: str) -> None:
    server = start("sentry:app")

    def transactions() -> list[str]:
        events = [event for event in ask(server, "/events") if event["op"] == "http.server"]
        return [event["transaction"] for event in events if event["transaction"] != "/events"]

    name = wait_for_one(transactions, lambda: converse(server, path))
    if not path.startswith("/sub"):  # it names the route of the mounted application, for a page as well
        assert name == template
    page = wait_for_one(transactions, lambda: get(server, path.replace("rooms", "pages")))
    assert page == name.replace("rooms", "pages")


def test_sentry_captures_an_error_in_the_endpoint_once(start: Callable[..., Server]) -> None:
    server = start("sentry:app")

    def errors() -> list[dict[str, Any]]:
        return [event for event in ask(server, "/events") if event["exceptions"]]

    wait_for_one(errors, lambda: fail(server))
    wait_for_one(errors, lambda: fail_page(server))
    assert [(event["transaction"], event["exceptions"], event["op"]) for event in errors()] == [
        ("/fail/{room}", ["LookupError"], "websocket.server"),
        ("/fail-page/{room}", ["LookupError"], "http.server"),
    ]
