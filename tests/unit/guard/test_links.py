"""Where the next application is kept, and the copies of functions that keep something else."""

from __future__ import annotations

import copy
from functools import partial, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.routing import APIWebSocketRoute
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import Route, Router, WebSocketRoute

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard.links import Adapter, LeadingBack, Rebuilding, is_next

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


async def room(websocket: Any) -> None:
    """Answer."""


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer."""


class Endpoint(WebSocketEndpoint):
    """Answers."""


class Keeps:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    async def method(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class NoApplication:
    """Cannot be called."""

    def __init__(self, app: Any) -> None:
        self.app = app


ENDPOINT: Any = WebSocketRoute("/", room).app


def closure(app: ASGIApp) -> Any:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return inner


def wrapping(app: ASGIApp) -> Any:
    @wraps(app)
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return inner


def by_default(app: ASGIApp) -> Any:
    async def inner(scope: Scope, receive: Receive, send: Send, app: ASGIApp = app) -> None:
        await app(scope, receive, send)

    return inner


def by_keyword(app: ASGIApp) -> Any:
    async def inner(scope: Scope, receive: Receive, send: Send, *, app: ASGIApp = app) -> None:
        await app(scope, receive, send)

    return inner


async def with_app(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def with_keyword(scope: Scope, receive: Receive, send: Send, *, app: ASGIApp) -> None:
    await app(scope, receive, send)


ANY: Any = with_app


def by_partial(app: ASGIApp) -> Any:
    return partial(with_app, app)


def by_partial_keyword(app: ASGIApp) -> Any:
    return partial(with_keyword, app=app)


def by_partial_of_closure(app: ASGIApp) -> Any:
    return partial(closure(app))


def by_helper(app: ASGIApp) -> Any:
    async def go_on(scope: Scope, receive: Receive, send: Send, allowed: bool) -> None:
        if allowed:
            await app(scope, receive, send)

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on(scope, receive, send, allowed=True)

    return inner


SHAPES = [closure, wrapping, by_default, by_keyword, by_partial, by_partial_keyword, by_partial_of_closure, by_helper]


def rebuild(holder: Any, adapted: Callable[[Any], Any], base: Any = None) -> tuple[Any, list[Any], list[Any]]:
    rebuilding = Rebuilding(adapted, base, {})
    new = rebuilding.rebuild(holder)
    return new, rebuilding.found, rebuilding.hidden(holder)


def call(app: Any, *, scope: Any = None) -> None:
    """Let it run: nothing here waits for anything."""
    with pytest.raises(StopIteration):
        app(scope, None, None).__await__().send(None)


class Called:
    """What is put into place: notes that it has been called."""

    def __init__(self, app: Any = None) -> None:
        self.app = app
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)


# What is proven


@pytest.mark.parametrize(
    ("value", "proven"),
    [
        (ENDPOINT, True),
        (APIWebSocketRoute("/", room).app, True),
        (Endpoint, True),
        (Starlette(), True),
        (Router(), True),
        (Router().app, True),
        (Starlette().__call__, True),
        (UpgradeMiddleware(raw), True),
        (Adapter(raw), True),
        (Keeps(ENDPOINT), True),
        (Keeps(ENDPOINT).method, True),
        (Keeps(Keeps(Endpoint)), True),
        (Keeps(closure(Router())), True),
        (partial(ANY, raw, raw, ENDPOINT), True),
        *((shape(ENDPOINT), True) for shape in SHAPES),
        *((shape(raw), False) for shape in SHAPES),
        (raw, False),
        (Keeps(raw), False),
        (Keeps, False),
        (HTTPEndpoint, False),
        (UpgradeMiddleware, False),
        (Route("/", room).app, False),
        (wraps(ENDPOINT)(raw), False),
        (NoApplication(ENDPOINT), False),
        ([ENDPOINT], False),
        (None, False),
        ("text", False),
    ],
)
def test_it_is_the_next_application_if_that_is_proven(value: Any, *, proven: bool) -> None:
    assert is_next(value) is proven


def test_what_is_known_to_be_one_needs_no_proof() -> None:
    assert is_next(raw, raw)
    assert is_next(Keeps(raw), raw)
    assert not is_next(Keeps(with_app), raw)
    assert not is_next(closure(closure(raw)), None)
    assert is_next(closure(closure(raw)), raw)


def test_what_leads_back_proves_nothing() -> None:
    first, second = Keeps(None), Keeps(None)
    first.app, second.app = second, first
    assert not is_next(first)


def test_a_closure_that_is_still_empty_proves_nothing() -> None:
    def make() -> Any:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await later(scope, receive, send)

        assert not is_next(inner)
        assert rebuild(inner, Called)[0] is inner
        later = ENDPOINT
        return inner

    assert is_next(make())


# Copies


@pytest.mark.parametrize("shape", SHAPES)
def test_a_copy_calls_what_is_put_into_place_and_the_function_what_it_did(shape: Any) -> None:
    before = Keeps(Called())
    function = shape(before)
    called = Called()
    new, found, hidden = rebuild(function, lambda app: called, before)
    call(new, scope="new")
    assert called.scopes == ["new"]
    call(function, scope="old")
    assert before.app.scopes == ["old"]
    assert all(each is before for each in found)
    assert found
    assert hidden == []


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_copied_if_nothing_changes(shape: Any) -> None:
    function = shape(ENDPOINT)
    new, found, hidden = rebuild(function, lambda app: app)
    assert new is function
    assert (set(found), hidden) == ({ENDPOINT}, [])


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_not_proven_is_not_replaced_and_said(shape: Any) -> None:
    function = shape(raw)
    new, found, hidden = rebuild(function, Called)
    assert new is function
    assert found == []
    assert hidden == [raw]


def test_a_copy_has_all_that_the_function_has() -> None:
    def make(app: ASGIApp, count: int = 0) -> Any:
        @wraps(raw)
        async def inner(
            scope: Scope, receive: Receive, send: Send, extra: int = 1, *, more: int = 2, app: ASGIApp = app
        ) -> tuple[int, int, int]:
            """Count."""
            nonlocal count
            count += 1
            return count, extra, more

        inner.note = "mine"  # type: ignore[attr-defined]
        return inner

    function = make(ENDPOINT)
    new, _, _ = rebuild(function, Called)
    assert new is not function
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__wrapped__", "__defaults__", "note"):
        assert getattr(new, name) == getattr(function, name)
    assert new.__code__ is function.__code__
    assert list(new.__kwdefaults__) == ["more", "app"]
    results = []
    for each in (function, new, function):
        with pytest.raises(StopIteration) as stopped:
            each(None, None, None).__await__().send(None)
        results.append(stopped.value.value)
    assert results == [(1, 1, 2), (2, 1, 2), (3, 1, 2)], "what it counts in is one and the same"
    plain, _, _ = rebuild(closure(ENDPOINT), Called)
    assert not hasattr(plain, "__wrapped__")
    assert (plain.__defaults__, plain.__kwdefaults__) == (None, None)


def test_a_copy_of_a_partial_has_all_that_it_has() -> None:
    class Mine(partial[Any]):
        """A kind of its own."""

    function: Any = Mine(with_keyword, None, app=ENDPOINT)
    function.note = "mine"
    new = rebuild(function, Called)[0]
    assert (type(new), vars(new)) == (Mine, {"note": "mine"})
    assert (new.func, new.args) == (with_keyword, (None,))
    assert new.keywords["app"].app is ENDPOINT


def test_the_object_of_a_method_in_a_partial_is_given_on() -> None:
    method = Keeps(ENDPOINT).method
    new, found, _ = rebuild(partial(method), Called)
    assert found == [method]
    assert new.func.app == method
    method = Keeps(raw).method
    assert rebuild(partial(method), Called)[2] == [method]


def test_other_applications_that_a_function_keeps_are_said() -> None:
    def make(app: ASGIApp, other: ASGIApp) -> Any:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await (app if scope else other)(scope, receive, send)

        return inner

    new, found, hidden = rebuild(make(ENDPOINT, raw), Called)
    assert (found, hidden) == ([ENDPOINT], [raw])
    assert new is not None


def test_functions_that_call_each_other_are_copied_once_and_that_is_said() -> None:
    def make(app: ASGIApp) -> Any:
        async def first(scope: Scope, receive: Receive, send: Send) -> None:
            await (second if scope else app)(scope, receive, send)

        async def second(scope: Scope, receive: Receive, send: Send) -> None:
            await (first if scope else app)(scope, receive, send)

        return first

    function = make(ENDPOINT)
    running: dict[int, LeadingBack] = {}

    def adapted(app: Any) -> Any:
        if app is ENDPOINT:
            return Called(app)
        inner = Rebuilding(adapted, None, running)
        new = inner.rebuild(app)
        assert function in inner.hidden(app)
        return new

    rebuilding = Rebuilding(adapted, None, running)
    new = rebuilding.rebuild(function)
    assert new is not function
    assert len(rebuilding.found) == 2
    assert not running


def test_a_function_that_calls_itself_is_said() -> None:
    def make(app: ASGIApp) -> Any:
        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await (inner if scope else app)(scope, receive, send)

        return inner

    function = make(ENDPOINT)
    new, found, hidden = rebuild(function, Called)
    assert new is not function
    assert found == [ENDPOINT]
    assert hidden == [function]


def test_a_helper_that_calls_itself_goes_on_to_what_is_put_into_place() -> None:
    def make(app: ASGIApp) -> Any:
        async def go_on(scope: Scope, receive: Receive, send: Send, times: int) -> None:
            if times:
                await go_on(scope, receive, send, times=times - 1)
            else:
                await app(scope, receive, send)

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            await go_on(scope, receive, send, 2)

        return inner

    before, called = Called(), Called()
    new = rebuild(make(before), lambda app: called, before)[0]
    call(new, scope="new")
    assert (called.scopes, before.scopes) == (["new"], [])


# Adapters


def test_an_adapter_has_the_public_attributes_of_what_is_behind_it() -> None:
    adapter = Adapter(wraps(ENDPOINT)(closure(raw)))
    assert adapter.__name__ == "app"
    assert adapter.__qualname__ == "websocket_session.<locals>.app"
    application = Starlette()
    application.state.token = "secret"
    assert Adapter(application).state.token == "secret"
    for name in ("nothing", "__self__"):
        with pytest.raises(AttributeError, match=name):
            getattr(Adapter(Router().app), name)
    assert not hasattr(Adapter(SimpleNamespace(__len__=len)), "__len__")  # type: ignore[arg-type]


def test_an_adapter_can_be_copied() -> None:
    assert copy.copy(Adapter(raw)).app is raw
    assert not hasattr(Adapter.__new__(Adapter), "state"), "it has nothing behind it yet"
