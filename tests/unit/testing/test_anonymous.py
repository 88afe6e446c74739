"""What the answers to a handshake without credentials show."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.testing import UpgradeTransport
from asgi_upgrade.testing.anonymous import Answer, Trial, try_anonymously

pytestmark = pytest.mark.anyio
NO = PlainTextResponse("no", 401)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def ask(app: Any, path: str = "/ws", **options: Any) -> Trial:
    async with UpgradeTransport(app) as transport:
        return await try_anonymously(path, transport, **options)


def serve(endpoint: Any) -> Any:
    return Starlette(routes=[WebSocketRoute("/ws", endpoint)], middleware=[Middleware(UpgradeMiddleware)])


def only_for_pages(response: Any, otherwise: Any) -> Any:
    """An application that answers requests with an Origin differently."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pages = any(name == b"origin" for name, _ in scope["headers"])
        await (response if pages else otherwise)(scope, receive, send)

    return app


@pytest.mark.parametrize(
    ("path", "response", "answer", "seen"),
    [
        ("/ws", NO, Answer.REFUSED, "401"),
        ("/ws", Response(status_code=403), Answer.REFUSED, "403"),
        ("/ws", Response(status_code=407), Answer.REFUSED, "407"),
        ("/ws", Response(status_code=404), Answer.UNDECIDED, "404"),
        ("/ws", Response(status_code=500), Answer.UNDECIDED, "500"),
        ("/ws", RedirectResponse("/login", 303), Answer.REFUSED, "303 to /login"),
        ("/ws", RedirectResponse("login?next=/ws"), Answer.REFUSED, "307 to login?next=/ws"),
        ("/ws", RedirectResponse("https://login.example/"), Answer.REFUSED, "307 to https://login.example/"),
        # These lead to the same page.
        ("/ws", RedirectResponse("/ws/"), Answer.UNDECIDED, "307 to /ws/"),
        ("/ws/", RedirectResponse("/ws", 301), Answer.UNDECIDED, "301 to /ws"),
        ("/ws?a=b", RedirectResponse("https://localhost/ws"), Answer.UNDECIDED, "307 to https://localhost/ws"),
        ("/ws", RedirectResponse("?a=b"), Answer.UNDECIDED, "307 to ?a=b"),
        ("/a%20b", RedirectResponse("/a%20b/"), Answer.UNDECIDED, "307 to /a%20b/"),
        # These do not, and the last ones do not say where to.
        ("/roomX", RedirectResponse("/room"), Answer.REFUSED, "307 to /room"),
        ("/room", RedirectResponse("/roomX"), Answer.REFUSED, "307 to /roomX"),
        ("/ws", Response(status_code=302), Answer.UNDECIDED, "302"),
        ("/ws", Response(status_code=304), Answer.UNDECIDED, "304"),
    ],
)
async def test_answers(path: str, response: Any, answer: Answer, seen: str) -> None:
    assert await ask(response, path) == Trial(path, answer, seen)


@pytest.mark.parametrize(
    ("app", "answer", "seen"),
    [
        (only_for_pages(NO, Response(status_code=404)), Answer.UNDECIDED, "404; with the page's own Origin 401"),
        (only_for_pages(Response(status_code=404), NO), Answer.UNDECIDED, "401; with the page's own Origin 404"),
        (only_for_pages(Response(status_code=403), NO), Answer.REFUSED, "401"),
    ],
)
async def test_what_only_one_of_two_answers_shows_is_not_shown(app: Any, answer: Answer, seen: str) -> None:
    assert await ask(app) == Trial("/ws", answer, seen)


@pytest.mark.parametrize("options", [{}, {"base_url": "https://example.com", "headers": {"X-Forwarded-For": "::1"}}])
async def test_it_asks_as_a_program_does_and_as_a_page_of_the_same_origin_does(options: dict[str, Any]) -> None:
    seen: list[dict[str, str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await NO(scope, receive, send)

    await ask(app, **options)
    base_url = options.get("base_url", "http://localhost")
    assert [fields["host"] for fields in seen] == [base_url.partition("://")[2]] * 2
    assert [fields.get("origin") for fields in seen] == [None, base_url]
    assert [fields.get("x-forwarded-for") for fields in seen] == ["::1" if options else None] * 2


async def test_an_application_that_does_not_answer_shows_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(2)
        await NO(scope, receive, send)

    assert await ask(app, timeout=0.1) == Trial("/ws", Answer.UNDECIDED, "no answer within 0.1 s")


async def test_an_application_that_fails_shows_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("0" * 300)

    trial = await ask(app)
    assert trial == Trial("/ws", Answer.UNDECIDED, "ZeroDivisionError: " + "0" * 181)
    assert len(trial.seen) == 200


async def end(websocket: WebSocket) -> None:
    await websocket.close()


async def fail(websocket: WebSocket) -> None:
    raise ZeroDivisionError


async def hang(websocket: WebSocket) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("then", [end, fail, hang])
async def test_who_is_let_in_is_let_in_whatever_becomes_of_the_connection(then: Any) -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()
        await then(websocket)

    assert await ask(serve(endpoint)) == Trial("/ws", Answer.LET_IN, "101")


async def test_pages_that_are_let_in_are_enough() -> None:
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()

    assert await ask(only_for_pages(serve(endpoint), NO)) == Trial("/ws", Answer.LET_IN, "101")
