"""`assert_guarded` and what a handshake without credentials shows."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.testing import assert_guarded

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Answering:
    """Answers requests for paths with some beginning."""

    def __init__(self, app: Any, response: Any, prefix: str = "/", only_with_origin: bool = False) -> None:
        self.app, self.response, self.prefix, self.only_with_origin = app, response, prefix, only_with_origin

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        asked = scope["type"] == "http" and scope["path"].startswith(self.prefix)
        if self.only_with_origin and asked:
            asked = any(name == b"origin" for name, _ in scope["headers"])
        await (self.response if asked else self.app)(scope, receive, send)


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive()


async def refusing(websocket: WebSocket) -> None:
    await websocket.close()


async def stubborn(websocket: WebSocket) -> None:
    """Does not end by itself within the time that a trial has."""
    await websocket.accept()
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def make(*layers: Middleware, **options: Any) -> Starlette:
    routes = [
        WebSocketRoute("/rooms/{number:int}", endpoint),
        Mount("/inner", routes=[WebSocketRoute("/ws", stubborn)]),
    ]
    return Starlette(routes=routes, middleware=[*layers, Middleware(UpgradeMiddleware)], **options)


UNAUTHORIZED = PlainTextResponse("no", 401)


async def test_a_guard_around_everything_guards_every_route() -> None:
    await assert_guarded(make(Middleware(Answering, response=UNAUTHORIZED)))


async def test_every_route_that_lets_strangers_in_is_named() -> None:
    with pytest.raises(AssertionError) as caught:
        await assert_guarded(make())
    assert "/rooms/1 lets a client without credentials in" in str(caught.value)
    assert "/inner/ws lets a client without credentials in" in str(caught.value)


async def test_a_route_that_is_open_on_purpose_is_named_by_its_template() -> None:
    app = make(Middleware(Answering, response=UNAUTHORIZED, prefix="/inner"))
    await assert_guarded(app, public=["/rooms/{number:int}"])
    with pytest.raises(ValueError, match="no WebSocket route /rooms/1"):
        await assert_guarded(app, public=["/rooms/1"])


async def test_a_path_that_is_given_is_tried_alone() -> None:
    app = make(Middleware(Answering, response=UNAUTHORIZED, prefix="/rooms/7"))
    await assert_guarded(app, "/rooms/7")
    with pytest.raises(AssertionError, match="/rooms/8 lets"):
        await assert_guarded(app, "/rooms/7", "/rooms/8")


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (PlainTextResponse("", 404), "with 404, which is no refusal"),
        (PlainTextResponse("", 500), "with 500, which is no refusal"),
        (RedirectResponse("https://localhost/inner/ws"), "307 to https://localhost/inner/ws, which"),
    ],
)
async def test_an_answer_that_shows_no_guard_fails(response: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        await assert_guarded(make(Middleware(Answering, response=response)), "/inner/ws")


async def test_a_redirect_to_a_login_is_a_refusal() -> None:
    await assert_guarded(make(Middleware(Answering, response=RedirectResponse("/login?next=/inner/ws"))), "/inner/ws")


async def test_a_refusal_of_pages_alone_guards_nothing() -> None:
    app = make(Middleware(Answering, response=UNAUTHORIZED, only_with_origin=True))
    with pytest.raises(AssertionError, match="/inner/ws lets"):
        await assert_guarded(app, "/inner/ws")


async def test_an_application_that_fails_guards_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(AssertionError, match="/ws answers a client without credentials with 500, which is no refusal"):
        await assert_guarded(app, "/ws")


async def test_an_application_that_does_not_answer_in_time_guards_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(3600)

    with pytest.raises(AssertionError, match=r"with no answer within 0\.1 s, which is no refusal"):
        await assert_guarded(app, "/ws", timeout=0.1)


@pytest.mark.parametrize("options", [{}, {"base_url": "https://example.com", "headers": {"X-Forwarded-For": "::1"}}])
async def test_the_requests_are_those_of_a_client_of_this_host(options: dict[str, Any]) -> None:
    seen: list[tuple[str, str, str | None]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen.append((scope["scheme"], fields["host"], fields.get("x-forwarded-for")))
        await UNAUTHORIZED(scope, receive, send)

    await assert_guarded(app, "/ws", **options)
    assert seen == [("https", "example.com", "::1") if options else ("http", "localhost", None)] * 2


async def test_an_endpoint_may_be_the_guard() -> None:
    app = Starlette(routes=[WebSocketRoute("/", refusing)], middleware=[Middleware(UpgradeMiddleware)])
    await assert_guarded(app)


async def test_an_application_without_websockets_guards_none() -> None:
    with pytest.raises(AssertionError, match="No WebSocket route"):
        await assert_guarded(Starlette())


async def test_the_lifespan_runs_if_it_is_asked_for() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        seen.append("start")
        yield {"key": "value"}
        seen.append("stop")

    app = make(Middleware(Answering, response=UNAUTHORIZED), lifespan=lifespan)
    await assert_guarded(app, "/inner/ws")
    assert seen == []
    await assert_guarded(app, "/inner/ws", lifespan=True)
    assert seen == ["start", "stop"]
