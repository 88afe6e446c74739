"""The template of the route that a handshake would reach."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.types import Scope

from asgi_upgrade.guard.templates import find_template, flatten


async def endpoint(connection: Any) -> None: ...


async def application(scope: Any, receive: Any, send: Any) -> None: ...


INNER = [WebSocketRoute("/ws", endpoint), WebSocketRoute("/{name}", endpoint)]
ROUTES = [
    Route("/page", endpoint),
    WebSocketRoute("/rooms/{number:int}", endpoint),
    Mount("/api/{version}", routes=INNER),
    Mount("/opaque", app=application),
    Mount("/deep", routes=[Mount("/deeper", routes=INNER)]),
    Host("chat.example", Router(INNER)),
    Host("{any}.opaque", application),
    Mount("/rooms", routes=[WebSocketRoute("/{name}", endpoint)]),
    Mount("", routes=[WebSocketRoute("/last", endpoint)]),
]


def scope_of(path: str, host: str = "a.example", kind: str = "http") -> Scope:
    return {"type": kind, "method": "GET", "path": path, "root_path": "", "headers": [(b"host", host.encode())]}


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("path", "host", "template"),
    [
        ("/rooms/7", "a.example", "/rooms/{number:int}"),
        ("/rooms/seven", "a.example", "/rooms/{name}"),
        ("/api/2/ws", "a.example", "/api/{version}/ws"),
        ("/api/2/other", "a.example", "/api/{version}/{name}"),
        ("/deep/deeper/ws", "a.example", "/deep/deeper/ws"),
        # Something there may answer it, and nobody knows by which template.
        ("/api/2/a/b", "a.example", "/api/{version}/{path}"),
        ("/opaque/x", "a.example", "/opaque/{path}"),
        ("/deep/x", "a.example", "/deep/{path}"),
        ("/ws", "chat.example", "/ws"),
        ("/a/b", "chat.example", None),
        ("/x", "any.opaque", None),
        ("/last", "a.example", "/last"),
        # Nothing takes a WebSocket there.
        ("/page", "a.example", None),
        ("/nowhere", "a.example", None),
    ],
)
def test_a_template_is_found_as_the_router_would_choose(path: str, host: str, template: str | None, kind: str) -> None:
    scope = scope_of(path, host, kind)
    before = dict(scope)
    found = find_template(ROUTES, scope)
    assert found == (template and template.replace(":int", ""))
    assert scope == before


def test_routes_of_included_routers_are_found() -> None:
    router = APIRouter(prefix="/inner")
    router.add_api_websocket_route("/{name}", endpoint)
    app = FastAPI()
    app.include_router(router, prefix="/outer")
    assert find_template(app.routes, scope_of("/outer/inner/x")) == "/outer/inner/{name}"
    paths = [getattr(each, "path", None) for each in flatten(app.routes)]
    assert "/outer/inner/{name}" in paths


def test_without_fastapi_the_routes_are_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fastapi.routing")
    assert flatten(ROUTES) is ROUTES


def test_a_route_that_fails_has_no_template(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(WebSocketRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            raise KeyError("session")

    caplog.set_level(logging.DEBUG, "asgi_upgrade")
    assert find_template([Failing("/ws", endpoint)], scope_of("/ws")) is None
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("DEBUG", "The route of a handshake cannot be found.")
    assert record.exc_info is not None


def test_a_route_without_a_template_has_an_empty_one() -> None:
    class Anywhere(WebSocketRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            scope["changed"] = True  # what is there is a copy
            return Match.FULL, {}

    route, scope = Anywhere("/ws", endpoint), scope_of("/x")
    del route.path_format
    assert find_template([route], scope) == ""
    assert "changed" not in scope
