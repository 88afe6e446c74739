"""What an application is taken for when an `UpgradeMiddleware` stands right around it."""

from __future__ import annotations

import asyncio
import operator
import sys
import weakref
from collections import deque
from functools import lru_cache, partial, wraps
from types import FunctionType, ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIWebSocketRoute
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from asgi_upgrade.guard import adapters
from asgi_upgrade.guard.adapters import Leaf, adapt
from asgi_upgrade.guard.leaves import Kind, held, holds_router, is_endpoint, kind_of, next_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket


def test_a_class_that_is_called_with_a_scope_and_awaited_answers_itself() -> None:
    class Application:
        def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Keep them."""

        def __await__(self) -> None:
            """Answer."""

    assert kind_of(Application, placed=True) is Kind.LEAF
    assert kind_of(Application) is Kind.LAYER


def test_what_an_application_waits_for_is_no_application_inside() -> None:
    """Primitives of asyncio keep the event loop from when they are waited for, and that refers to everything."""

    class Application:
        def __init__(self) -> None:
            self.orders: asyncio.Queue[str] = asyncio.Queue()

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            """Answer."""

    async def waited_for() -> Application:
        application = Application()
        waiting = asyncio.create_task(application.orders.get())
        await asyncio.sleep(0)
        waiting.cancel()
        return application

    assert kind_of(asyncio.run(waited_for())) is Kind.LEAF


class Keeps:
    """An application that answers both kinds in its own way, and keeps something."""

    def __init__(self, kept: object) -> None:
        self.kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
        else:
            await Response("a page")(scope, receive, send)


@pytest.mark.parametrize(
    "kept",
    [sys.modules[__name__].__dict__, [{"namespace": globals()}], operator.methodcaller("isoformat"), list[int]],
    ids=["namespace", "namespace inside", "methodcaller", "list[int]"],
)
def test_what_an_application_keeps_to_look_things_up_is_no_application_inside(kept: object) -> None:
    assert kind_of(Keeps(kept)) is Kind.LEAF


@pytest.mark.parametrize(
    "module", ["ariadne.asgi.graphql", "blacksheep.server", "litestar.app", "quart.app", "strawberry.asgi"]
)
def test_an_application_of_a_framework_is_no_middleware_whatever_it_keeps(
    module: str, caplog: pytest.LogCaptureFixture
) -> None:
    application = type("Application", (Keeps,), {"__module__": module})(guarded(made_of_functions()))
    assert kind_of(application) is Kind.LEAF
    assert isinstance(adapt(application, None), Leaf)
    assert caplog.records == []
    # The same of nobody's package may be a middleware.
    adapters._unclear.clear()
    assert adapt(Keeps(application.kept), None) is not None
    assert "treats WebSockets in its own way" in caplog.text


def test_functions_that_are_made_together_are_one_application() -> None:
    assert kind_of(made_of_functions(), placed=True) is Kind.LEAF
    assert kind_of(made_of_functions()) is Kind.LAYER


def test_a_function_that_was_given_to_another_may_stand_behind_a_guard() -> None:
    assert kind_of(guarded(made_of_functions()), placed=True) is Kind.LAYER


def made_of_functions() -> ASGIApp:
    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests."""

    async def rooms(scope: Scope, receive: Receive, send: Send) -> None:
        """Answer WebSockets."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await (pages if scope["type"] == "http" else rooms)(scope, receive, send)

    return application


def guarded(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return guard


# The kinds, one shape after another


async def rooms(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""


class Rooms:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""


class Middleware:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Slotted:
    __slots__ = ("inside",)

    def __init__(self, app: Any) -> None:
        self.inside = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inside(scope, receive, send)


class SlottedByName(Slotted):
    __slots__ = "other"  # noqa: PLC0205 - a string is allowed

    def __init__(self, app: Any) -> None:
        self.other = app


class Served:
    """Has its ASGI in a method."""

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""


class ServedByName:
    """Has its ASGI in a method, and calls another application in a second one."""

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.go_on(scope, receive, send)

    async def go_on(self, *arguments: Any) -> None:
        await rooms(*arguments)


class ServedByClass:
    """Has its ASGI in a method of the class."""

    @classmethod
    async def asgi(cls, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""


async def configured(settings: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""


class OwnMethods:
    """Refers to itself."""

    def __init__(self) -> None:
        self.handler = self.__call__
        self.others = [self]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""


class WSGIMiddleware:
    """Called like that by whoever makes one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer requests."""


class Page(HTTPEndpoint):
    """Answers requests."""


class Room(WebSocketEndpoint):
    """Answers WebSockets."""


class PageOfParts(HTTPEndpoint):
    """Takes what it is made of in its own way."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)


class RoomOfParts(WebSocketEndpoint):
    """Takes what it is made of in its own way."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)


async def calls_by_name(scope: Scope, receive: Receive, send: Send) -> None:
    await rooms(scope, receive, send)


async def calls_by_name_and_decides(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] in ("websocket", "http"):
        await rooms(scope, receive, send)


starlette = Starlette()


async def calls_a_router_by_name(scope: Scope, receive: Receive, send: Send) -> None:
    await starlette(scope, receive, send)


async def with_default(scope: Scope, receive: Receive, send: Send, app: Any = rooms) -> None:
    """Takes four."""


async def with_keyword_default(scope: Scope, receive: Receive, send: Send, *, app: Any = rooms) -> None:
    await app(scope, receive, send)


def of_package(name: str, **attributes: Any) -> Any:
    """An object of a class of another package."""
    kind = type("Application", (Rooms,), {"__module__": f"{name}.asgi"})
    app = kind()
    vars(app).update(attributes)
    return app


async def endpoint(websocket: WebSocket) -> None:
    """Answer."""


async def endpoint_with_defaults(websocket: WebSocket, room: str = "", page: int = 1) -> None:
    """Takes as many arguments as an application."""


def holding(value: Any) -> Middleware:
    return Middleware(value)


class Queer(dict[str, Any]):
    def values(self) -> Any:
        raise RuntimeError("not now")


@pytest.mark.parametrize(
    ("app", "kind", "placed"),
    [
        (starlette, Kind.STARLETTE, Kind.STARLETTE),
        (Router(), Kind.STARLETTE, Kind.STARLETTE),
        (rooms, Kind.LEAF, Kind.LEAF),
        (Rooms(), Kind.LEAF, Kind.LEAF),
        (Served().asgi, Kind.LEAF, Kind.LEAF),
        (ServedByName().asgi, Kind.LAYER, Kind.LEAF),
        (ServedByClass.asgi, Kind.LEAF, Kind.LEAF),
        (partial(configured, "settings"), Kind.LEAF, Kind.LEAF),
        (OwnMethods(), Kind.LEAF, Kind.LEAF),
        (partial(rooms), Kind.LAYER, Kind.LAYER),
        (holding(rooms), Kind.LAYER, Kind.LAYER),
        (holding(rooms).__call__, Kind.LAYER, Kind.LAYER),
        (holding([1, {"key": (rooms,)}]), Kind.LAYER, Kind.LAYER),
        (holding(deque([rooms])), Kind.LAYER, Kind.LAYER),
        (holding({1: frozenset((rooms,))}), Kind.LAYER, Kind.LAYER),
        (holding(partial(print, rooms)), Kind.LAYER, Kind.LAYER),
        (holding(partial(print, key=rooms)), Kind.LAYER, Kind.LAYER),
        (holding(SimpleNamespace(inside=rooms)), Kind.LAYER, Kind.LAYER),
        (holding(print), Kind.LEAF, Kind.LEAF),
        (holding("text"), Kind.LEAF, Kind.LEAF),
        (holding(Rooms), Kind.LEAF, Kind.LEAF),
        (holding(PlainTextResponse("a response")), Kind.LEAF, Kind.LEAF),
        (holding(Queer()), Kind.LEAF, Kind.LEAF),
        (holding([object() for _ in range(1999)]), Kind.LEAF, Kind.LEAF),
        (holding([object() for _ in range(2000)]), Kind.LAYER, Kind.LAYER),
        (Slotted(rooms), Kind.LAYER, Kind.LAYER),
        (SlottedByName(rooms), Kind.LAYER, Kind.LAYER),
        (Slotted("text"), Kind.LEAF, Kind.LEAF),
        (with_keyword_default, Kind.LAYER, Kind.LAYER),
        (with_default, Kind.LAYER, Kind.LAYER),
        (calls_by_name, Kind.LAYER, Kind.LEAF),
        (calls_by_name_and_decides, Kind.LEAF, Kind.LEAF),
        (calls_a_router_by_name, Kind.LAYER, Kind.LAYER),
        (StaticFiles(directory="."), Kind.PAGES, Kind.PAGES),
        (PlainTextResponse("a response"), Kind.PAGES, Kind.PAGES),
        (WSGIMiddleware(), Kind.PAGES, Kind.PAGES),
        (Page, Kind.PAGES, Kind.PAGES),
        (Room, Kind.LEAF, Kind.LEAF),
        (Rooms, Kind.LAYER, Kind.LEAF),
        (of_package("channels", inside=rooms), Kind.LEAF, Kind.LEAF),
        (of_package("django", inside=rooms).__call__, Kind.LEAF, Kind.LEAF),
        (of_package("mine", inside=rooms), Kind.LAYER, Kind.LAYER),
        (of_package("engineio"), Kind.LEAF, Kind.LEAF),
        (of_package("socketio", other_asgi_app=None), Kind.LEAF, Kind.LEAF),
        (of_package("socketio", other_asgi_app=rooms), Kind.ENGINE_IO, Kind.ENGINE_IO),
        (WebSocketRoute("/", endpoint).app, Kind.LEAF, Kind.LEAF),
        (WebSocketRoute("/", endpoint_with_defaults).app, Kind.LEAF, Kind.LEAF),
        (APIWebSocketRoute("/", endpoint).app, Kind.LEAF, Kind.LEAF),
    ],
)
def test_what_an_application_is_taken_for(app: Any, kind: Kind, placed: Kind) -> None:
    assert kind_of(app) is kind
    assert kind_of(app, placed=True) is placed


def test_functions_of_other_functions_are_not_made_together() -> None:
    def make() -> tuple[ASGIApp, ASGIApp]:
        async def first(scope: Scope, receive: Receive, send: Send) -> None:
            """Answer."""

        async def second(scope: Scope, receive: Receive, send: Send) -> None:
            await first(scope, receive, send)

        return first, second

    first, second = make()
    assert kind_of(second, placed=True) is Kind.LEAF
    assert kind_of(guarded(first), placed=True) is Kind.LAYER
    first.__module__ = "elsewhere"
    assert kind_of(second, placed=True) is Kind.LEAF, "`functools.wraps` may have written this"
    elsewhere = FunctionType(first.__code__, {"__name__": "elsewhere"})
    elsewhere.__qualname__ = first.__qualname__
    assert second.__closure__ is not None
    second.__closure__[0].cell_contents = elsewhere
    assert kind_of(second, placed=True) is Kind.LAYER


def test_a_class_is_made_together_with_the_function_that_calls_it() -> None:
    def make(given: Any = None) -> ASGIApp:
        class Inside(WebSocketEndpoint):
            """Answers."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await (given or Inside)(scope, receive, send)

        return application

    assert kind_of(make()) is Kind.LAYER
    assert kind_of(make(), placed=True) is Kind.LEAF
    assert kind_of(make(Room), placed=True) is Kind.LAYER, "it may stand behind a guard"
    assert kind_of(make(type("Inside", (WebSocketEndpoint,), {})), placed=True) is Kind.LAYER


def test_a_closure_that_is_still_empty_has_nothing_inside() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await later(scope, receive, send)

    assert kind_of(application) is Kind.LEAF
    later = rooms
    assert kind_of(application) is Kind.LAYER


# What may be called like an application


async def takes_anything(*args: Any) -> None:
    """Call it as you like."""


def plain_function_with_the_names(scope: Scope, receive: Receive, send: Send) -> Any:
    """Returns something to wait for."""


def plain_function(one: Any, two: Any, three: Any) -> None:
    """Takes three."""


async def takes_two(scope: Scope, receive: Receive) -> None:
    """Takes two."""


def varies(*args: Any) -> None:
    """Is no coroutine."""


async def takes_nothing() -> None:
    """Takes none."""


async def renamed(environment: Scope, pull: Receive, push: Send) -> None:
    """An application in other words."""


class TakesOne:
    """Is called with something else."""

    async def __call__(self, one: Any) -> None:
        """Takes one."""


class Awaited:
    """Is called with a scope, and what that makes is awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep them."""

    def __await__(self) -> Any:
        """Answer."""


class AwaitedWithMore:
    """Is awaited, and not called with a scope alone."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, settings: str) -> None:
        """Keep them."""

    def __await__(self) -> Any:
        """Answer."""


class AwaitedWithNothing:
    """Is awaited, and has what every object has to be made."""

    def __await__(self) -> Any:
        """Answer."""


class TakesThree:
    """Is made of three things, and not awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep them."""


class Opaque:
    """Is called, and does not show how."""

    __call__ = print


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (starlette, True),
        (Router(), True),
        (rooms, True),
        (Rooms(), True),
        (Rooms().__call__, True),
        (Rooms, False),
        (Room, True),
        (Page, True),
        (RoomOfParts, True),
        (PageOfParts, True),
        (Awaited, True),
        (AwaitedWithMore, False),
        (AwaitedWithNothing, False),
        (TakesThree, False),
        (list[int], False),
        (takes_anything, True),
        (varies, False),
        (plain_function_with_the_names, True),
        (plain_function, False),
        (takes_two, False),
        (takes_nothing, False),
        (renamed, True),
        (TakesOne(), False),
        (lru_cache(len), False),
        (partial(rooms), True),
        (partial(print, rooms), True),
        (partial(print, 1), False),
        (Opaque(), True),
        (print, False),
        (PlainTextResponse("a response"), False),
        (weakref.ref(Rooms), False),
        (b"bytes", False),
        (object(), False),
    ],
)
def test_what_is_inside_is_what_may_be_called_with_a_scope(value: Any, *, expected: bool) -> None:
    middleware = Middleware(value)
    assert held(middleware) == ([value] if expected else [])
    assert next_of(middleware) == ({"app": value} if expected else {})


def test_all_that_is_inside_is_found_but_not_what_is_inside_of_that() -> None:
    inner = Middleware(rooms)
    assert held(SimpleNamespace(first=[inner, takes_anything], second={"key": inner})) == [inner, takes_anything]


def test_what_is_kept_behind_an_own_method_is_found() -> None:
    application = OwnMethods()
    vars(application).update(later=rooms)
    assert held(application) == [rooms]


def test_the_next_ones_are_those_in_attributes() -> None:
    middleware = Middleware(rooms)
    vars(middleware).update(fallback=takes_anything, name="text", listed=[rooms], own=middleware.__call__)
    assert next_of(middleware) == {"app": rooms, "fallback": takes_anything}


def test_what_has_slots_keeps_nothing_in_attributes() -> None:
    assert next_of(Slotted(rooms)) == {}


def test_a_function_keeps_nothing_in_attributes() -> None:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        """Has the attributes of another."""

    wrapped.app = rooms  # type: ignore[attr-defined]
    assert next_of(wrapped) == {}


def test_the_next_ones_of_a_method_are_those_of_its_object_if_that_is_not_starlettes() -> None:
    assert next_of(Middleware(rooms).__call__) == {"app": rooms}
    assert next_of(Starlette().__call__) == next_of(Router(default=rooms).app) == {}
    assert next_of(Middleware) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (WebSocketRoute("/", endpoint).app, True),
        (APIWebSocketRoute("/", endpoint).app, True),
        (Room, True),
        (Route("/", endpoint).app, False),
        (wraps(WebSocketRoute("/", endpoint).app)(rooms), False),
        (endpoint, False),
        (rooms, False),
        (Page, False),
        (Rooms, False),
        (Rooms(), False),
        (list[int], False),
    ],
)
def test_an_endpoint_is_what_is_made_of_the_function_of_a_route_or_a_class_for_that(
    value: Any, *, expected: bool
) -> None:
    assert is_endpoint(value) is expected


def keeping(value: Any) -> Any:
    async def answer(websocket: WebSocket) -> None:
        assert value is not None

    return answer


def test_what_an_endpoint_has_is_for_itself() -> None:
    app = WebSocketRoute("/", keeping(starlette)).app
    assert not holds_router(app)
    assert not holds_router(Middleware(app))
    assert holds_router(SimpleNamespace(first=Middleware(Router()), second=app))
    assert holds_router(SimpleNamespace(first=app, second=Middleware(Router())))


def test_a_router_is_found_wherever_it_is() -> None:
    assert holds_router(starlette)
    assert holds_router(Middleware(Middleware(Router())))
    assert holds_router(calls_a_router_by_name)
    assert holds_router(Middleware(calls_a_router_by_name))
    assert not holds_router(Middleware(Middleware(rooms)))
    assert not holds_router(calls_by_name)


def test_a_router_is_found_beside_something_that_others_hold_too() -> None:
    shared = Middleware(rooms)
    assert holds_router(SimpleNamespace(first=Middleware(Router()), others=[Middleware(shared), Middleware(shared)]))


def test_a_router_in_a_module_that_is_named_is_found() -> None:
    module = ModuleType("sites")
    module.site = starlette  # type: ignore[attr-defined]
    namespace: dict[str, Any] = {"__name__": "mine", "sites": module}
    exec("async def serve(scope, receive, send):\n    await sites.site(scope, receive, send)", namespace)
    assert holds_router(namespace["serve"])
    assert kind_of(namespace["serve"]) is Kind.LAYER


def test_circles_end() -> None:
    first, second = Middleware(None), Middleware(None)
    first.app, second.app = second, first
    assert not holds_router(first)
    assert kind_of(first) is Kind.LAYER
