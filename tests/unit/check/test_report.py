"""The report of a check: what it contains of each route, which routes must be guarded, and what it says is wrong."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.check.report import CheckError, Options, Report, check, collect_warnings
from tests.unit.waiting import PATIENCE

POLICY = Middleware(UpgradeMiddleware)
TRY = Options(run=True, timeout=PATIENCE)
REFUSES = "refuses a client without credentials: 401"
LETS_IN = "lets a client without credentials in"


class Login:
    """Lets in nobody but who asks for a public path, or for a host that is public."""

    def __init__(self, app: Any, *, public: str = "/public") -> None:
        self.app = app
        self.public = public

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        seen: list[tuple[str, str]] = scope.get("state", {}).get("seen", [])
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode()
            seen.append((host, scope["path"]))
            if not re.match(self.public, scope["path"]) and host != "public.example":
                await PlainTextResponse("who are you?", 401)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive()


def make(*layers: Middleware, routes: Any = None, **options: Any) -> Starlette:
    routes = routes or [WebSocketRoute("/rooms/{number:int}", chat), WebSocketRoute("/public", chat)]
    return Starlette(routes=routes, middleware=list(layers), **options)


def guarded(**options: Any) -> Starlette:
    return make(Middleware(Login), POLICY, **options)


def required(report: Report) -> list[str]:
    return [each.route.path for each in report.routes if each.required]


def reasons(report: Report) -> dict[str, str]:
    return {each.route.path: each.judgement.reason for each in report.routes}


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        ([], []),
        (["/rooms/{number:int}"], ["/rooms/{number:int}"]),
        (["/rooms/7"], ["/rooms/{number:int}"]),
        (["/rooms/*"], ["/rooms/{number:int}"]),
        (["/p*", "/rooms/7"], ["/rooms/{number:int}", "/public"]),
        (["*"], ["/rooms/{number:int}", "/public"]),
        (["/public", "/public"], ["/public"]),
    ],
)
def test_a_route_is_required_by_its_template_or_a_path_or_a_pattern(names: list[str], paths: list[str]) -> None:
    report = check(guarded(), Options(routes=tuple(names)))
    assert required(report) == paths
    assert report.fails is bool(paths)


@pytest.mark.parametrize(
    ("app", "options", "words"),
    [
        (
            guarded,
            Options(routes=("/nowhere",)),
            "no WebSocket route is /nowhere; there are: /rooms/{number:int}, /public",
        ),
        (guarded, Options(routes=("/public", "/P*")), "no WebSocket route is /P*; there are: "),
        (lambda: make(POLICY, routes=[Mount("/m", routes=[])]), Options(routes=("*",)), "there are: none"),
        (
            guarded,
            Options(guards=("Login", "Logn")),
            r"no WebSocket route passes Logn; they pass: .*Login$",
        ),
        (lambda: make(POLICY), Options(guards=("Login",)), "no WebSocket route passes Login; they pass: nothing"),
        # It cannot refuse anybody.
        (guarded, Options(guards=("UpgradeMiddleware",)), "no WebSocket route passes UpgradeMiddleware; they pass: "),
    ],
)
def test_names_that_are_mistaken(app: Callable[[], Any], options: Options, words: str) -> None:
    with pytest.raises(CheckError, match=words if words.endswith("$") else re.escape(words)):
        check(app(), options)


def test_a_route_that_is_shown_to_be_guarded_does_not_fail() -> None:
    report = check(guarded(), Options(routes=("*",), guards=("Login",)))
    assert required(report) == ["/rooms/{number:int}", "/public"]
    assert not report.fails


def test_trials_show_what_lets_strangers_in() -> None:
    report = check(guarded(), TRY)
    assert reasons(report) == {"/rooms/{number:int}": f"/rooms/1 {REFUSES}", "/public": f"/public {LETS_IN}"}
    assert not report.fails  # nothing is required


def test_only_what_is_required_is_tried() -> None:
    report = check(guarded(), replace(TRY, routes=("/rooms/7",)))
    assert reasons(report) == {
        "/rooms/{number:int}": f"/rooms/7 {REFUSES}",
        "/public": f"may be refused by {Login.__module__}.Login: show it with --guard or --try",
    }


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("/rooms/7", "/rooms/8"), f"/rooms/8 {REFUSES}"),
        (("/rooms/7", "/rooms/99", "/rooms/8"), f"/rooms/99 {LETS_IN}"),
        (("/rooms/99", "/rooms/7"), f"/rooms/99 {LETS_IN}"),
        (("/rooms/{number:int}", "/rooms/7"), f"/rooms/7 {REFUSES}"),
        (("/rooms/{number:int}",), f"/rooms/1 {REFUSES}"),
        (("/rooms/*",), f"/rooms/1 {REFUSES}"),
    ],
)
def test_of_several_paths_the_first_that_is_open_counts(names: tuple[str, ...], reason: str) -> None:
    app = make(Middleware(Login, public="/rooms/99"), POLICY)
    assert reasons(check(app, replace(TRY, routes=names)))["/rooms/{number:int}"] == reason


@pytest.mark.parametrize(
    ("host", "open_"), [("public.example", True), ("private.example", False), ("{any}.example", False)]
)
def test_a_route_of_a_host_is_tried_there(host: str, open_: bool) -> None:
    app = make(Middleware(Login), POLICY, routes=[Host(host, Starlette(routes=[WebSocketRoute("/ws", chat)]))])
    [checked] = check(app, TRY).routes
    assert checked.route.host == host
    assert checked.judgement.reason == f"/ws {LETS_IN if open_ else REFUSES}"


def test_a_route_of_any_host_is_tried_at_the_one_that_is_given() -> None:
    routes = [Host("{any}.example", Starlette(routes=[WebSocketRoute("/ws", chat)]))]
    found = check(make(Middleware(Login), POLICY, routes=routes), replace(TRY, base_url="http://public.example"))
    assert reasons(found) == {"/ws": f"/ws {LETS_IN}"}


def test_a_parameter_may_be_there_twice_and_a_path_may_be_empty() -> None:
    """A mount and its route may use the same name, and FastAPI takes any path."""
    inside = FastAPI()
    inside.add_api_websocket_route("", chat)
    inside.add_api_websocket_route("/{id}", chat)
    app = make(POLICY, routes=[Mount("/{id:int}", inside), Mount("", inside)])
    assert required(check(app, Options(routes=("/1/two",)))) == ["/{id:int}/{id}"]
    assert required(check(app, Options(routes=("/1",)))) == ["/{id:int}", "/{id}"]
    assert required(check(app, Options(routes=("/one",)))) == ["/{id}"]


def test_the_requests_go_where_they_are_told_to() -> None:
    app = guarded()
    found = check(app, replace(TRY, routes=("/rooms/7",), base_url="http://public.example"))
    assert reasons(found)["/rooms/{number:int}"] == f"/rooms/7 {LETS_IN}"


def test_a_trial_does_not_take_longer_than_it_may() -> None:
    async def slow(websocket: WebSocket) -> None:
        await websocket.receive()
        await websocket.receive()

    app = make(POLICY, routes=[WebSocketRoute("/slow", slow)])
    [checked] = check(app, Options(run=True, timeout=0.05)).routes
    assert "0.05" in checked.judgement.reason


def test_the_lifespan_runs_once_around_all_trials_or_not_at_all() -> None:
    ran: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        ran.append("begun")
        yield
        ran.append("ended")

    check(guarded(lifespan=lifespan), Options())
    check(guarded(lifespan=lifespan), replace(TRY, lifespan=False))
    assert ran == []
    check(guarded(lifespan=lifespan), TRY)
    assert ran == ["begun", "ended"]


def test_a_lifespan_that_fails_may_be_left_out() -> None:
    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        raise RuntimeError("no database")
        yield

    with pytest.raises(CheckError, match=r"no database.* Without its lifespan: --no-lifespan$"):
        check(guarded(lifespan=lifespan), TRY)


def test_an_application_that_fails_is_not_shown_to_guard() -> None:
    class Failing:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                raise RuntimeError("broken")
            await self.app(scope, receive, send)

    report = check(make(Middleware(Failing), POLICY), replace(TRY, routes=("/public",)))
    assert report.fails
    assert reasons(report)["/public"] == (
        "not shown; /public answers a client without credentials with 500, which is no refusal"
    )


def test_without_httpx_nothing_can_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asgi_upgrade.testing.transport", None)
    with pytest.raises(CheckError, match="--try cannot be used: "):
        check(guarded(), TRY)


NO_POLICY = "There is no UpgradeMiddleware: HTTP middleware does not see WebSocket handshakes."
NOT_REACHED = "No UpgradeMiddleware is reached by the server's lifespan: add one to the outermost application."
EVERY_PAGE = "allowed_origins=['*']: every page that a user visits may connect with the user's cookies."
UNGUARDED = "insecure_allow_unguarded: WebSockets are let in that nothing is proven to have guarded."
ROUTES = [WebSocketRoute("/a", chat), Mount("/b", Starlette(routes=[WebSocketRoute("/c", chat)], middleware=[POLICY]))]


@pytest.mark.parametrize(
    ("app", "problems"),
    [
        (guarded, []),
        (make, [NO_POLICY]),
        (lambda: make(routes=ROUTES), [NOT_REACHED, "/a: no UpgradeMiddleware is on the way of its handshakes."]),
        (lambda: make(Middleware(UpgradeMiddleware, allowed_origins=["*"])), [EVERY_PAGE]),
        (lambda: make(Middleware(UpgradeMiddleware, allowed_origins=["https://a.example"])), []),
        (lambda: make(Middleware(UpgradeMiddleware, insecure_allow_unguarded=True)), [UNGUARDED]),
        (
            lambda: make(Middleware(UpgradeMiddleware, insecure_skip_http_middleware=["/public"])),
            ["/public: insecure_skip_http_middleware takes it past all HTTP middleware."],
        ),
    ],
)
def test_what_is_wrong_is_said(app: Callable[[], Any], problems: list[str]) -> None:
    assert check(app(), Options()).problems == problems


def test_what_was_logged_is_part_of_the_report_and_nothing_twice() -> None:
    report = check(make(), Options(), ["so and so", NO_POLICY, "so and so"])
    assert report.problems == [NO_POLICY, "so and so"]


def test_what_is_logged_on_the_way_is_part_of_the_report(caplog: pytest.LogCaptureFixture) -> None:
    class Talking(Starlette):
        def build_middleware_stack(self) -> Any:
            logging.getLogger("asgi_upgrade").warning("%s is strange", "this")
            logging.getLogger("asgi_upgrade").info("no matter")
            return super().build_middleware_stack()

    report = check(Talking(middleware=[POLICY]), Options())
    assert report.problems == ["this is strange"]
    assert caplog.records == []


def test_no_more_than_a_hundred_lines_are_kept() -> None:
    logger = logging.getLogger("asgi_upgrade")
    before = logger.propagate, list(logger.handlers)
    with collect_warnings() as lines:
        for number in range(200):
            logger.warning("%d", number)
    assert lines == [str(number) for number in range(100)]
    assert (logger.propagate, list(logger.handlers)) == before


@pytest.mark.parametrize(("extend", "becomes"), [(True, True), (False, False)])
def test_a_server_is_extended_if_the_policy_may(extend: bool, becomes: bool) -> None:
    report = check(make(Middleware(UpgradeMiddleware, extend_server=extend)), Options())
    [uvicorn] = [line for line in report.servers if line.startswith("uvicorn ")]
    assert uvicorn.endswith("when its lifespan starts") is becomes


def test_without_a_policy_no_server_is_extended() -> None:
    report = check(make(), Options())
    [uvicorn] = [line for line in report.servers if line.startswith("uvicorn ")]
    assert uvicorn.endswith("not extended: there is no UpgradeMiddleware that its lifespan reaches")


def test_as_json() -> None:
    app = make(Middleware(Login), Middleware(UpgradeMiddleware, insecure_skip_http_middleware=["/public"]))
    report = check(app, Options(routes=("/rooms/7",), guards=("Login",)), ["strange"])
    found = report.as_json()
    assert json.loads(json.dumps(found)) == found
    login, chat_name = f"{Login.__module__}.Login", f"{chat.__module__}.chat"
    policy = "asgi_upgrade.middleware.UpgradeMiddleware"
    errors, exceptions = "errors.ServerErrorMiddleware", "exceptions.ExceptionMiddleware"
    names = [f"starlette.middleware.{errors}", login, policy, f"starlette.middleware.{exceptions}"]
    assert found["routes"] == [
        {
            "path": "/rooms/{number:int}",
            "host": None,
            "endpoint": chat_name,
            "verdict": "guarded",
            "reason": f"passes {login}",
            "required": True,
            "layers": [{"name": name, "sees": "http", "may_refuse": name == login} for name in names],
        },
        {
            "path": "/public",
            "host": None,
            "endpoint": chat_name,
            "verdict": "open",
            "reason": f"passes {login} as a WebSocket, which it lets pass unseen",
            "required": False,
            # They would see a request, and it does not come as one.
            "layers": [{"name": name, "sees": None, "may_refuse": name == login} for name in names],
        },
    ]
    assert found["origins"] == ["pages of the same origin"]
    assert found["servers"] == report.servers
    assert found["problems"] == [
        "/public: insecure_skip_http_middleware takes it past all HTTP middleware.",
        "strange",
    ]
    assert found["ok"] is True
    assert check(app, Options(routes=("/public",))).as_json()["ok"] is False
