"""What proves that a server itself calls an application: functions and objects that stand for those of servers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware

from asgi_upgrade import HandshakeMiddleware
from asgi_upgrade.guard.outermost import Proof, prove_outermost
from tests.unit.calls import page, run, websocket_scope
from tests.unit.calls import server_module as module

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

uvicorn = module("uvicorn.protocols.websockets.made_up")
unknown = module("mine.server")


class Application:
    """Asks for the proof when it is called."""

    def __init__(self) -> None:
        self.proof: Proof | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.proof = prove_outermost(self, receive, send)


class Site(Starlette):
    """The same, of a class that guards nothing."""

    __call__ = Application.__call__


async def receive() -> Any:
    """Of nobody."""


async def send(message: Any) -> None:
    """Of nobody."""


Handshakes: Any = type("Handshakes", (HandshakeMiddleware,), {"__call__": Application.__call__})


def make(kind: Any = Handshakes) -> Any:
    """An application that is called for what it is, and no guard."""
    return kind(page)


def prove(call: Callable[[Any], Any], app: Any) -> Proof:
    async def test() -> None:
        await call(app)

    run(test)
    proof: Proof = app.proof
    return proof


def test_a_server_that_calls_the_application_proves_it() -> None:
    app = make()
    assert prove(lambda app: uvicorn.serve(app, websocket_scope(), receive, send), app) is Proof.PROVEN


@pytest.mark.parametrize("name", ["daphne.x", "granian", "gunicorn.asgi", "hypercorn.x", "h2corn", "uvicorn_worker"])
def test_servers_are_known_by_their_modules(name: str) -> None:
    assert prove(lambda app: module(name).serve(app, websocket_scope(), receive, send), make()) is Proof.PROVEN


@pytest.mark.parametrize("name", ["async_asgi_testclient.x", "httpx_ws.transport", "starlette.testclient"])
def test_test_clients_are_too(name: str) -> None:
    assert prove(lambda app: module(name).serve(app, websocket_scope(), receive, send), make()) is Proof.PROVEN


@pytest.mark.parametrize("name", ["mine", "uvicornish.x", "starlette.testclients", "starlette.routing", "my.uvicorn"])
def test_any_other_module_that_passes_the_scope_stands_around(name: str) -> None:
    app = make()
    assert prove(lambda app: module(name).serve(app, websocket_scope(), receive, send), app) is Proof.DISPROVEN


def test_nobody_at_all_proves_nothing() -> None:
    app = make()
    assert prove(lambda app: app(websocket_scope(), receive, send), app) is Proof.UNKNOWN


@pytest.mark.parametrize(
    "lead",
    [
        lambda app: uvicorn.Cycle(app=app).send,
        lambda app: uvicorn.Cycle(config=uvicorn.Cycle(loaded_app=app)).send,
        lambda app: uvicorn.make_send(app),
        lambda app: partial(send, app),
        lambda app: partial(uvicorn.make_send(app)),
        lambda app: uvicorn.Cycle(a=uvicorn.Cycle(b=uvicorn.Cycle(c=app))).send,
        lambda app: uvicorn.Cycle(mounts={"/": app}).send,
    ],
)
def test_objects_of_a_server_that_lead_to_the_application_prove_it(lead: Any) -> None:
    """Also where the call itself has been left, because the server runs it in a task."""
    app = make()
    assert prove(lambda app: app(websocket_scope(), receive, lead(app)), app) is Proof.PROVEN
    app = make()
    assert prove(lambda app: app(websocket_scope(), lead(app), send), app) is Proof.PROVEN


@pytest.mark.parametrize(
    "lead",
    [
        lambda app: uvicorn.Cycle(app=page).send,
        lambda app: uvicorn.Cycle().send,
        lambda app: uvicorn.Cycle(mounts={"/": page}).send,
        lambda app: uvicorn.Cycle(mounts=[app]).send,
        lambda app: uvicorn.Cycle(app=unknown.Cycle(app=app)).send,
        lambda app: uvicorn.Cycle(a=uvicorn.Cycle(b=uvicorn.Cycle(c=uvicorn.Cycle(d=uvicorn.Cycle(e=app))))).send,
    ],
)
def test_objects_of_a_server_that_lead_elsewhere_disprove_it_where_the_server_is_seen_to_call(lead: Any) -> None:
    def call(app: Any) -> Any:
        return uvicorn.start(lead(app).__self__, lambda: app(websocket_scope(), receive, send))

    assert prove(call, make()) is Proof.DISPROVEN
    assert prove(lambda app: app(websocket_scope(), receive, lead(app)), make()) is Proof.UNKNOWN


@pytest.mark.parametrize(
    "lead",
    [lambda app: unknown.Cycle(app=app).send, lambda app: unknown.make_send(app), lambda app: uvicorn.make_empty()],
)
def test_objects_of_others_lead_nowhere(lead: Any) -> None:
    app = make()
    assert prove(lambda app: app(websocket_scope(), receive, lead(app)), app) is Proof.UNKNOWN


# What stands between


class Guard:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def variadic(*arguments: Any) -> None:
    app, *asgi = arguments
    await app(*asgi)


async def keyword(app: ASGIApp, *, scope: Scope) -> None:
    await app(scope, receive, send)


async def without_scope(app: ASGIApp) -> None:
    await app(websocket_scope(), receive, send)


async def with_a_request(app: ASGIApp, request: Scope) -> None:
    await app(websocket_scope(), receive, send)


@pytest.mark.parametrize(
    ("between", "proof"),
    [
        (lambda app: Guard(app)(websocket_scope(), receive, send), Proof.DISPROVEN),
        (lambda app: variadic(app, websocket_scope(), receive, send), Proof.DISPROVEN),
        (lambda app: keyword(app, scope=websocket_scope()), Proof.DISPROVEN),
        (without_scope, Proof.UNKNOWN),
        (lambda app: with_a_request(app, {"type": "http"}), Proof.UNKNOWN),
    ],
)
def test_a_function_that_was_given_the_websocket_stands_around(between: Any, proof: Proof) -> None:
    assert prove(between, make()) is proof


def test_a_guard_between_a_server_and_the_application_disproves_it() -> None:
    async def call(app: Any) -> None:
        await uvicorn.serve(Guard(app), websocket_scope(), receive, send)

    assert prove(call, make()) is Proof.DISPROVEN


def test_an_application_whose_class_does_something_before_its_middleware_guards_itself() -> None:
    def call(app: Any) -> Any:
        return uvicorn.serve(app, websocket_scope(), receive, send)

    assert prove(call, Application()) is Proof.UNKNOWN
    assert prove(call, Site()) is Proof.UNKNOWN
    assert prove(call, make()) is Proof.PROVEN, "a middleware of this package guards nothing"


def test_an_application_that_calls_itself_through_its_base_class_is_called_from_outside() -> None:
    class Calling(Handshakes):  # type: ignore[misc]
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)

    assert prove(lambda app: uvicorn.serve(app, websocket_scope(), receive, send), make(Calling)) is Proof.PROVEN


@pytest.mark.parametrize(
    ("name", "attribute", "proof"),
    [
        ("Quart", "asgi_app", Proof.PROVEN),
        ("Quart", "app", Proof.DISPROVEN),
        ("Other", "asgi_app", Proof.DISPROVEN),
    ],
)
def test_what_passes_everything_on_unchecked_stands_for_what_is_behind(name: str, attribute: str, proof: Proof) -> None:
    """An application of Quart, whose `asgi_app` users replace."""
    namespace: dict[str, Any] = {"__name__": "quart.app"}
    source = f"""
class {name}:
    async def __call__(self, scope, receive, send):
        await self.{attribute}(scope, receive, send)
"""
    exec(source, namespace)
    outer = namespace[name]()
    app = make()
    setattr(outer, attribute, app)
    assert prove(lambda app: uvicorn.serve(outer, websocket_scope(), receive, send), app) is proof


@pytest.mark.parametrize("kind", [Starlette, FastAPI, type("Own", (Starlette,), {"__module__": "mine"})])
def test_applications_of_starlette_and_fastapi_guard_nothing_before_their_middleware(kind: type[Starlette]) -> None:
    proofs: list[Proof] = []

    class Asking:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            proofs.append(prove_outermost(scope["app"], receive, send))

    async def test() -> None:
        await uvicorn.serve(kind(middleware=[Middleware(Asking)]), websocket_scope(), receive, send)

    run(test)
    assert proofs == [Proof.PROVEN]


def test_nothing_is_said_of_an_application_that_is_not_running() -> None:
    async def around(scope: Scope) -> Proof:
        return prove_outermost(make(), receive, send)

    async def test() -> None:
        assert await around(websocket_scope()) is Proof.UNKNOWN

    run(test)


def test_objects_of_a_server_may_have_no_attributes() -> None:
    def call(app: Any) -> Any:
        return uvicorn.start(uvicorn.Slim(), lambda: app(websocket_scope(), receive, send))

    assert prove(call, make()) is Proof.DISPROVEN
