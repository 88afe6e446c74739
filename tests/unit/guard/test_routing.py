"""Routes of Starlette for a handshake, which is a request with a mark."""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard import adapters, routing
from asgi_upgrade.guard.adapters import report_unclear
from asgi_upgrade.guard.handshake import HANDSHAKE, Handshake
from asgi_upgrade.guard.routing import teach_routes
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.settings import WebSocketSettings
from asgi_upgrade.websocket.watch import WATCH, Watch
from tests.unit.calls import CONNECT, REQUEST, Call, Extension, http_scope, page, run, websocket_scope

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

POLICY = UpgradeMiddleware(page)
PASSED = Handshake({}, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]


async def show(request: Request) -> PlainTextResponse:
    return PlainTextResponse("a page")


async def room(websocket: WebSocket) -> None:
    websocket.scope["notes"].append("room")
    await websocket.accept()


async def fastapi_room(websocket: WebSocket) -> None:
    await room(websocket)


class ClassEndpoint(WebSocketEndpoint):
    async def dispatch(self) -> None:
        await room(WebSocket(self.scope, self.receive, self.send))


class AwaitedEndpoint:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.websocket = WebSocket(scope, receive, send)

    def __await__(self) -> Any:
        return room(self.websocket).__await__()


class Layer:
    def __init__(self, app: ASGIApp, name: str = "layer") -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("notes", []).append(f"{self.name} {scope['type']}")
        await self.app(scope, receive, send)


class Guard(Layer):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("notes", []).append(f"{self.name} {scope['type']}")
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


def shake(
    app: Any,
    path: str = "/room",
    *,
    approved: bool = True,
    host: bytes = b"example.com",
    policy: Any = POLICY,
) -> tuple[int | None, list[str]]:
    """Give `app` a handshake; the status of the answer, and the notes of what it has come through."""
    call = Call(REQUEST)
    notes: list[str] = []

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        handshake = Handshake(extension, Accept(b"key"), policy, WebSocketSettings(), ())  # type: ignore[arg-type]
        scope = http_scope(path, extensions={"http.upgrade": extension}, notes=notes)
        scope[HANDSHAKE] = handshake if approved else None
        scope["headers"][0] = (b"host", host)
        await call.run(app, scope)

    run(test)
    return call.status, notes


def ask(app: Any, scope: Scope, *received: Any) -> Call:
    call = Call(*received)

    async def test() -> None:
        await call.run(app, scope)

    run(test)
    return call


# Matching


@pytest.mark.parametrize(
    ("route", "scope", "match"),
    [
        (Route("/room", show), http_scope("/room"), Match.FULL),
        (Route("/room", show), http_scope("/room", **{HANDSHAKE: PASSED}), Match.NONE),
        (Route("/room", show), http_scope("/room", **{HANDSHAKE: None}), Match.NONE),
        (WebSocketRoute("/room", room), http_scope("/room"), Match.NONE),
        (WebSocketRoute("/room", room), http_scope("/room", **{HANDSHAKE: PASSED}), Match.FULL),
        (WebSocketRoute("/room", room), http_scope("/room", **{HANDSHAKE: None}), Match.FULL),
        (WebSocketRoute("/room", room), http_scope("/other", **{HANDSHAKE: PASSED}), Match.NONE),
        (WebSocketRoute("/room", room), websocket_scope("/room"), Match.FULL),
    ],
)
def test_a_handshake_is_for_routes_of_websockets(route: BaseRoute, scope: Scope, match: Match) -> None:
    before = dict(scope)
    assert route.matches(scope)[0] is match
    assert scope == before


def test_subclasses_that_come_later_learn_it_and_call_what_they_extend() -> None:
    class Strict(WebSocketRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            return (Match.NONE, {}) if scope["type"] != "websocket" else super().matches(scope)

    class StrictPage(Route):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            return Match.FULL, {}

    class Same(WebSocketRoute):
        """Matches as what it extends."""

    scope = http_scope("/room", **{HANDSHAKE: PASSED})
    assert Strict("/room", room).matches(scope)[0] is Match.NONE
    assert StrictPage("/other", show).matches(scope)[0] is Match.FULL
    teach_routes()
    learned = [vars(kind)[name] for kind, name in ((Strict, "matches"), (Route, "matches"), (Router, "__call__"))]
    teach_routes()
    assert learned == [
        vars(kind)[name] for kind, name in ((Strict, "matches"), (Route, "matches"), (Router, "__call__"))
    ], "once is enough"
    assert Same("/room", room).matches(scope)[0] is Match.FULL
    assert Strict("/room", room).matches(scope)[0] is Match.FULL
    assert StrictPage("/other", show).matches(scope)[0] is Match.NONE


# The way


def test_a_page_and_a_websocket_share_a_path() -> None:
    router = Router([Route("/room", show), WebSocketRoute("/room", room)])
    assert shake(router) == (101, ["room"])
    assert ask(router, http_scope("/room", headers=[])).body == b"a page"
    call = ask(router, websocket_scope("/room", notes=[]), CONNECT)
    assert call.types == ["websocket.accept"]


def test_the_way_leads_through_mounts_hosts_routers_and_their_middleware() -> None:
    inner = Router(
        [WebSocketRoute("/room", room, middleware=[Middleware(Layer, name="route")])],
        middleware=[Middleware(Layer, name="router")],
    )
    app = Router([Host("example.com", Router([Mount("/sub", inner, middleware=[Middleware(Layer, name="mount")])]))])
    notes = ["mount http", "router http", "route http", "room"]
    for _ in range(2):  # adapted once
        assert shake(app, "/sub/room") == (101, notes)
    assert shake(app, "/sub/room", host=b"other.example")[0] == 404


@pytest.mark.parametrize("place", ["route", "mount", "router"])
def test_a_guard_for_websockets_gets_one_wherever_it_stands(place: str) -> None:
    def at(name: str) -> list[Middleware]:
        return [Middleware(Guard, name="guard")] if name == place else []

    router = Router([WebSocketRoute("/room", room, middleware=at("route"))], middleware=at("router"))
    assert shake(Router([Mount("/", router, middleware=at("mount"))])) == (101, ["guard websocket", "room"])


def test_an_application_that_is_mounted_has_its_middleware_and_routes() -> None:
    inside = Starlette(routes=[WebSocketRoute("/room", room)], middleware=[Middleware(Layer, name="inside")])
    assert shake(Router([Mount("/sub", inside)]), "/sub/room") == (101, ["inside http", "room"])


def test_what_is_mounted_may_be_any_application() -> None:
    class Rooms:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "websocket"
            await send({"type": "websocket.accept"})

    assert shake(Router([Mount("/sub", Rooms())]), "/sub/x")[0] == 101
    assert shake(Router([], default=Rooms()), "/x")[0] == 101


def test_what_is_mounted_later_in_the_place_of_another_is_adapted_too() -> None:
    mount = Mount("/sub", Router([WebSocketRoute("/room", room, middleware=[Middleware(Guard, name="first")])]))
    app = Router([mount])
    assert shake(app, "/sub/room")[1] == ["first websocket", "room"]
    mount.app = Guard(Router([WebSocketRoute("/room", room)]), "second")
    assert shake(app, "/sub/room")[1] == ["second websocket", "room"]


def test_a_subclass_of_a_router_that_is_called_in_its_own_way_is_left_alone() -> None:
    class Own(Router):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["notes"].append("own")
            await super().__call__(scope, receive, send)

    assert shake(Own([WebSocketRoute("/room", room)])) == (101, ["own", "room"])


def test_a_websocket_that_was_a_handshake_is_served_as_one() -> None:
    router = Router([Mount("/sub", Router([WebSocketRoute("/room", room)]))])
    for handshake in (PASSED, None):
        call = ask(router, websocket_scope("/sub/room", notes=[], **{HANDSHAKE: handshake}), CONNECT)
        assert call.types == ["websocket.accept"]


def test_a_websocket_hears_that_its_client_has_left() -> None:
    seen: list[str] = []

    async def waits(websocket: WebSocket) -> None:
        seen.extend([(await websocket.receive())["type"] for _ in range(2)])

    async def test() -> None:
        extension = Extension()
        scope = http_scope("/room", extensions={"http.upgrade": extension})
        scope[HANDSHAKE] = Handshake(extension, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        await Call(REQUEST, {"type": "http.disconnect"}).run(Router([WebSocketRoute("/room", waits)]), scope)

    run(test)
    assert seen == ["websocket.connect", "websocket.disconnect"]


def test_who_watches_a_handshake_knows_the_routes_that_it_has_come_to() -> None:
    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        scope = http_scope("/sub/room", extensions={"http.upgrade": extension}, notes=[])
        scope[HANDSHAKE] = Handshake(extension, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        scope[WATCH] = watch = Watch(scope, lambda scope: None)
        await Call(REQUEST).run(Router([Mount("/sub", Router([WebSocketRoute("/{name}", room)]))]), scope)
        assert watch.route == "/sub/{name}"

    run(test)


def test_what_stands_in_the_place_of_an_endpoint_is_adapted_once_for_each_route(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And what cannot be adapted is said once."""

    def guard(app: ASGIApp) -> ASGIApp:
        kept = [Layer(app)]

        async def guarding(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket" and scope["path"] == "/secret":
                await send({"type": "websocket.close", "code": 1008})
            else:
                await kept[0](scope, receive, send)

        return guarding

    router = Router([WebSocketRoute("/room", room, middleware=[Middleware(guard)])])
    for _ in range(2):
        assert shake(router) == (503, [])
    (record,) = caplog.records
    assert record.getMessage().startswith("guarding is written for WebSockets, and where it keeps")


def test_a_guard_that_is_not_found_is_noticed_in_another_task_too() -> None:
    """Middleware may run what is inside of it in a task of its own."""

    class InTask(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def inside() -> None:
                await self.app(scope, receive, send)

            await asyncio.create_task(inside())

    kept = [Guard(InTask(Router([WebSocketRoute("/room", room)])))]

    async def hide(scope: Scope, receive: Receive, send: Send) -> None:
        await kept[0](scope, receive, send)

    assert shake(Router([Mount("/sub", hide)]), "/sub/room") == (503, ["layer http"])


# Where no policy has let it pass


def test_a_handshake_that_nobody_has_let_pass_does_not_reach_a_websocket() -> None:
    app = Router([WebSocketRoute("/room", room), Mount("/sub", Router([WebSocketRoute("/room", room)]))])
    assert shake(app, approved=False) == (503, [])
    assert shake(app, "/sub/room", approved=False) == (503, [])


def test_a_policy_in_an_application_that_is_mounted_may_let_it_pass() -> None:
    inside = Starlette(routes=[WebSocketRoute("/room", room)], middleware=[Middleware(UpgradeMiddleware)])
    assert shake(Router([Mount("/sub", inside)]), "/sub/room", approved=False) == (101, ["room"])


# No route


def test_a_path_without_a_websocket_is_answered_as_a_page_would_be_and_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Custom(BaseRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            return Match.NONE, {}

    routing._reported.clear()
    caplog.set_level("INFO")
    for app in (Router([Route("/room", show)]), Router([Custom(), Route("/custom", show)])):
        path = "/custom" if len(app.routes) == 2 else "/room"
        for _ in range(2):
            assert shake(app, path)[0] == 404
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in lines] == ["GET /room HTTP/1.1", "GET /custom HTTP/1.1"]
    assert "Custom got a request, and no WebSocket, to match" in lines[1]
    assert "to match" not in lines[0]


@pytest.mark.parametrize("name", ["_IncludedRouter", "_FrontendRouteGroup"])
def test_the_routes_of_fastapi_are_known(caplog: pytest.LogCaptureFixture, name: str) -> None:
    def matches(self: BaseRoute, scope: Scope) -> tuple[Match, Scope]:
        return Match.NONE, {}

    routing._reported.clear()
    caplog.set_level("INFO")
    kind = type(name, (BaseRoute,), {"matches": matches})
    shake(Router([kind()]))
    (record,) = caplog.records
    assert "to match" not in record.getMessage()


def test_the_answer_of_a_router_of_ones_own_may_read_the_request() -> None:
    class Own(Router):
        async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
            await PlainTextResponse((await receive())["type"], 404)(scope, receive, send)

    assert shake(Own([]))[0] == 404


def test_paths_that_clients_choose_fill_neither_log_nor_memory(caplog: pytest.LogCaptureFixture) -> None:
    routing._reported.clear()
    caplog.set_level("INFO")
    app = Router([])
    for number in range(70):
        shake(app, f"/{number}/" + "x" * 1000)
    assert len(caplog.records) == 64
    assert len(caplog.records[0].getMessage()) < 500
    assert max(map(len, routing._reported)) == 200


def test_a_request_without_a_route_is_nothing_to_say(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    app = Router([])
    shake(app)
    routing._reported.clear()
    caplog.clear()
    assert ask(app, http_scope("/unknown", headers=[])).status == 404
    assert not caplog.records


def test_a_router_whose_call_does_more_leads_to_adapted_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def another(self: Router, scope: Scope, receive: Receive, send: Send) -> None:
        calls.append((scope["type"], callable(receive)))
        await self.middleware_stack(scope, receive, send)

    monkeypatch.setattr(Router, "__call__", routing._preparing_default(another))
    router = Router([WebSocketRoute("/secret", room)], middleware=[Middleware(Guard)])
    status, notes = shake(router, "/secret")
    assert calls == [("http", True)]
    assert status == 403
    assert notes == ["layer websocket"]


# Functions as middleware


def noting(app: ASGIApp) -> ASGIApp:
    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        scope["notes"].append(f"function {scope['type']}")
        await app(scope, receive, send)

    return note


@wraps(WebSocketRoute("/", room).app)
async def renamed(scope: Scope, receive: Receive, send: Send) -> None:
    """Has the name of another."""


def for_both(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        scope["notes"].append(f"function {scope['type']}")
        if scope["path"] != "/secret":
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http":
            await PlainTextResponse("no", 401)(scope, receive, send)

    return guard


def listing(app: ASGIApp) -> ASGIApp:
    """Keeps it where it cannot be found."""
    kept = [app]

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/secret":
            await PlainTextResponse("no", 401)(scope, receive, send)
        else:
            await kept[0](scope, receive, send)

    return guard


def of_function(*functions: Any, endpoint: Any = room) -> Router:
    layers = [Middleware(each) for each in functions]
    return Router([WebSocketRoute(path, endpoint, middleware=layers) for path in ("/room", "/secret")])


def test_a_function_around_an_endpoint_gets_a_request_and_the_endpoint_a_websocket() -> None:
    router = of_function(noting, noting)
    for _ in range(2):
        assert shake(router) == (101, ["function http", "function http", "room"])
    notes: list[str] = []
    call = ask(router, websocket_scope("/room", notes=notes), CONNECT)
    assert (call.types, notes) == (["websocket.accept"], ["function websocket", "function websocket", "room"])


def test_one_function_may_stand_in_two_routes() -> None:
    first = WebSocketRoute("/room", room, middleware=[Middleware(noting)])
    second = WebSocketRoute("/other", room)
    function = first.app
    second.app = function
    router = Router([first, second])
    for path in ("/room", "/other", "/room"):
        assert shake(router, path) == (101, ["function http", "room"])
    assert first.app is second.app is function, "a copy is called"


def test_a_function_that_treats_both_sees_the_request_and_can_be_named_by_its_maker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    adapters._unclear.clear()
    for _ in range(2):
        router = of_function(for_both)
        assert shake(router) == (101, ["function http", "room"])
        assert shake(router, "/secret") == (401, ["function http"])
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{__name__}.for_both treats WebSockets in its own way.")
    assert "websocket_middleware=[for_both]" in record.getMessage()
    told = UpgradeMiddleware(page, websocket_middleware=[for_both])
    assert shake(of_function(for_both), policy=told) == (101, ["function websocket", "room"])
    assert shake(of_function(for_both), "/secret", policy=told) == (403, ["function websocket"])
    assert shake(of_function(noting), policy=told) == (101, ["function http", "room"])
    (record,) = caplog.records


def test_functions_that_are_unclear_are_each_said(caplog: pytest.LogCaptureFixture) -> None:
    adapters._unclear.clear()
    report_unclear(noting)
    report_unclear(for_both(page))
    report_unclear(renamed)
    report_unclear(Layer(page))
    assert [record.args for record in caplog.records] == [
        (f"{__name__}.noting", "noting"),
        (f"{__name__}.for_both", "for_both"),
        (f"{__name__}.renamed", "renamed"),
        (f"{__name__}.Layer", "Layer"),
    ]


@pytest.mark.parametrize("endpoint", [room, ClassEndpoint])
def test_where_the_endpoint_is_not_found_handshakes_are_refused_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture, endpoint: Any
) -> None:
    router = of_function(listing, endpoint=endpoint)
    assert shake(router, "/secret") == (401, [])
    assert not caplog.records
    assert shake(router) == (503, [])
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith(
        "guard leads to a WebSocket endpoint, and where it keeps the next application"
    )
    assert "in `app`" in record.getMessage()
    call = ask(router, websocket_scope("/room", notes=[]), CONNECT)
    assert call.types == ["websocket.accept"]


def test_the_endpoints_of_fastapi_have_their_application_for_themselves(caplog: pytest.LogCaptureFixture) -> None:
    """It is not what a function around them leads to."""
    app = FastAPI()
    app.add_api_websocket_route("/room", fastapi_room)
    route: Any = app.router.routes[-1]
    route.app = listing(route.app)
    assert shake(Router([route])) == (503, [])
    (record,) = caplog.records
    assert record.getMessage().startswith("guard leads to a WebSocket endpoint")


@pytest.mark.parametrize("sent", [True, False])
def test_other_assertions_are_raised(caplog: pytest.LogCaptureFixture, *, sent: bool) -> None:
    def failing(app: ASGIApp) -> ASGIApp:
        kept = [app]

        async def fail(scope: Scope, receive: Receive, send: Send) -> None:
            if sent:
                await send({"type": "http.response.start", "status": 202, "headers": []})
                await kept[0](scope, receive, send)
            raise AssertionError("mine")

        return fail

    with pytest.raises(AssertionError) as raised:
        shake(of_function(failing))
    assert (str(raised.value) == "mine") is not sent
    assert not caplog.records


def test_a_guard_of_a_route_sees_the_request_where_the_endpoint_is_a_class() -> None:
    """Starlette's own, and another."""
    for endpoint in (ClassEndpoint, AwaitedEndpoint):
        for layer in (Layer, noting):
            status, notes = shake(of_function(layer, endpoint=endpoint))
            assert (status, notes[0].rpartition(" ")[2], notes[1:]) == (101, "http", ["room"])
        assert shake(of_function(endpoint=endpoint)) == (101, ["room"])
        assert shake(of_function(Guard, endpoint=endpoint)) == (101, ["layer websocket", "room"])


def test_a_class_that_is_mounted_may_answer_requests() -> None:
    """That somebody has mounted it does not say what it is."""

    class Page:
        def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
            self.parts = scope, receive, send

        def __await__(self) -> Any:
            self.parts[0]["notes"].append(f"page {self.parts[0]['type']}")
            return PlainTextResponse("page", 402)(*self.parts).__await__()

    mounted: Any = Page
    assert shake(Router([Mount("/room", mounted)]), "/room/") == (402, ["page http"])


class Service:
    """Has a method that is an application, and more."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def handle(self, first: str, second: str, third: str) -> str:
        return first + second + third

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if callable(self.app):
            scope["notes"].append(f"service {scope['type']}")
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("a page", 404)(scope, receive, send)


def test_the_object_of_a_method_is_adapted_where_it_is_proven_what_is_next(caplog: pytest.LogCaptureFixture) -> None:
    assert shake(of_function(lambda app: Service(app).serve)) == (101, ["service http", "room"])
    assert not caplog.records

    async def other(first: str, second: str, third: str) -> str:
        return first + second + third

    service: Any = Service(None)
    service.other = other
    assert shake(Router([Mount("/room", service.serve)]), "/room/")[0] == 404
    assert service.other is other
    (record,) = caplog.records
    assert record.getMessage().startswith("serve has answered a WebSocket handshake with 404.")


def test_what_a_mount_has_inside_its_middleware_is_known() -> None:
    async def raw(scope: Scope, receive: Receive, send: Send) -> None:
        scope["notes"].append(f"raw {scope['type']}")
        await send({"type": "websocket.accept"})

    router = Router([Mount("/room", raw, middleware=[Middleware(noting)])])
    assert shake(router, "/room/") == (101, ["function http", "raw websocket"])


def test_functions_that_call_each_other_are_no_trap(caplog: pytest.LogCaptureFixture) -> None:
    def mutual(app: ASGIApp) -> ASGIApp:
        async def first(scope: Scope, receive: Receive, send: Send) -> None:
            await second(scope, receive, send)

        async def second(scope: Scope, receive: Receive, send: Send) -> None:
            await (app if scope["path"] == "/room" else first)(scope, receive, send)

        return first

    def many(app: ASGIApp) -> ASGIApp:
        functions: list[Any] = []

        def make() -> Any:
            async def one(scope: Scope, receive: Receive, send: Send) -> None:
                await (a or b or c or d or e or f or g or h or i or app)(scope, receive, send)

            return one

        a = b = c = d = e = f = g = h = i = None
        functions = [make() for _ in range(9)]
        a, b, c, d, e, f, g, h, i = functions
        del functions

        async def entrance(scope: Scope, receive: Receive, send: Send) -> None:
            await (app if scope["path"] == "/room" else a)(scope, receive, send)

        return entrance

    assert shake(of_function(mutual)) == (101, ["room"])
    assert shake(of_function(many)) == (101, ["room"])
    assert not caplog.records
