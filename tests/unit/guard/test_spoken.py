"""Where the protocols of an `UpgradeMiddleware` are spoken: behind the last middleware of its application, if known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.switching import response
from asgi_upgrade.websocket.bridge import BRIDGE, Bridge
from tests.unit.calls import REQUEST, Call, Extension, http_scope, page, run, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade import UpgradeStream

OFFER = [(b"host", b"example.com"), (b"connection", b"upgrade"), (b"upgrade", b"echo")]
LIFESPAN = {"type": "lifespan"}


class Handler:
    """Speaks a protocol, or declines it."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.asked = 0

    def accepts(self, scope: Scope) -> bool:
        self.asked += 1
        return self.takes

    async def __call__(self, stream: UpgradeStream) -> None:
        """Nothing to say."""


class Noting:
    """Notes which kinds of scope pass."""

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope["type"])
        await self.app(scope, receive, send)


class Layer:
    """Has something inside, and nobody knows of which application it is."""

    def __init__(self) -> None:
        self.inside = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await page(scope, receive, send)


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


def serve(app: Any, **changes: Any) -> Call:
    """Send a request with a body, to a server that can switch; it offers the protocol unless `headers` are given."""
    call = Call({**REQUEST, "body": b"a body"})

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        await call.run(app, http_scope(**{"headers": OFFER, "extensions": {"http.upgrade": extension}, **changes}))

    run(test)
    return call


def start(app: Any) -> None:
    async def test() -> None:
        await Call({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}).run(app, LIFESPAN)

    run(test)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is said of the protocols, and not of the servers of this process."""
    return [line for line in (record.getMessage() for record in caplog.records) if " echo" in line]


@pytest.fixture(autouse=True)
def nothing_reported() -> Iterator[None]:
    response._reported.clear()
    yield
    response._reported.clear()


@pytest.mark.parametrize("started", [True, False])
def test_what_is_declined_behind_the_last_middleware_is_declined_once(*, started: bool) -> None:
    seen: list[str] = []
    handler = Handler(takes=False)
    ours = Middleware(UpgradeMiddleware, protocols={"echo": handler})
    application = Starlette(routes=[Route("/", echo)], middleware=[ours, Middleware(Noting, seen=seen)])
    if started:
        start(application)
    for count in (1, 2):
        assert serve(application).body == b"a body"
        assert handler.asked == count
    handler.takes = True
    assert serve(application).status == 101
    assert seen == ["lifespan"] * started + ["http"] * 3


def test_a_request_that_offers_none_of_them_passes_there_as_it_is() -> None:
    handler = Handler()
    ours = Middleware(UpgradeMiddleware, protocols={"echo": handler})
    application = Starlette(routes=[Route("/", echo)], middleware=[ours])
    assert serve(application).status == 101
    asked = handler.asked
    call = serve(application, headers=OFFER[:1])
    assert (call.status, call.body) == (200, b"a body")
    assert handler.asked == asked


def test_an_application_that_is_made_at_the_start_is_found_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    class Lazy:
        app: ASGIApp | None = None

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                self.app = Starlette(middleware=[Middleware(Noting, seen=seen)])
            else:
                assert self.app is not None
                await self.app(scope, receive, send)

    middleware = UpgradeMiddleware(Lazy(), protocols={"echo": Handler()})
    start(middleware)
    assert serve(middleware).status == 101
    assert seen == ["http"], "the middleware of that application comes first"
    assert not lines(caplog)


def test_what_will_not_see_such_requests_is_named_at_the_start_and_once(caplog: pytest.LogCaptureFixture) -> None:
    middleware = UpgradeMiddleware(Layer(), protocols={"echo": Handler()})
    serve(middleware, headers=OFFER[:1])
    assert not lines(caplog), "nothing was offered"
    start(middleware)
    (line,) = lines(caplog)
    assert line == "Layer stands inside UpgradeMiddleware and will not see requests that offer echo."
    for _ in range(2):
        assert serve(middleware).status == 101
    assert lines(caplog) == [line]


def test_that_a_server_cannot_switch_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    middleware = UpgradeMiddleware(page, protocols={"echo": Handler()})
    for _ in range(2):
        assert serve(middleware, extensions={}).status == 200
    (line,) = lines(caplog)
    assert line.startswith("GET / HTTP/1.1 offers echo, but this server does not offer http.upgrade")


def test_a_websocket_of_the_server_is_one_whatever_else_it_offers() -> None:
    handler = Handler()
    call = Call()
    bridge = Bridge(websocket_scope(), call.receive, call.send)
    assert serve(UpgradeMiddleware(Layer(), protocols={"echo": handler}), extensions={BRIDGE: bridge}).status == 200
    assert handler.asked == 0
