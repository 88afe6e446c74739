"""What tests with Starlette's TestClient see: the rows of docs/guides/testing.md."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated

import anyio
import pytest
from fastapi import FastAPI, HTTPException, Query, Request, WebSocketException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware
from tests.guard.support.client import TestClient, WebSocketDenialResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

SEEN: list[str] = []


def application() -> FastAPI:
    app = FastAPI()
    app.add_middleware(UpgradeMiddleware, allowed_origins=["https://friend.example"])

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        SEEN.append(request.url.path)
        if request.headers.get("x-token") == "wrong":
            return PlainTextResponse("who are you?", 401, {"x-guard": "refused"})
        return await call_next(request)

    @app.websocket("/close")
    async def close(websocket: WebSocket) -> None:
        await websocket.close(4001, "not now")

    @app.websocket("/raise")
    async def refuse(websocket: WebSocket) -> None:
        raise WebSocketException(4002, "not you")

    @app.websocket("/validated")
    async def validated(websocket: WebSocket, number: Annotated[int, Query()]) -> None:
        await websocket.accept()

    @app.websocket("/http-exception")
    async def http_exception(websocket: WebSocket) -> None:
        raise HTTPException(402, "pay")

    @app.websocket("/broken")
    async def broken(websocket: WebSocket) -> None:
        await websocket.accept()
        raise LookupError("broken")

    @app.websocket("/listens")
    async def listens(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @app.websocket("/surprised")
    async def surprised(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()

    return app


@pytest.fixture(params=[True, False], ids=["lifespan", "no lifespan"])
def client(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    SEEN.clear()
    client = TestClient(application())
    if request.param:
        with client:
            yield client
    else:
        yield client


@pytest.mark.parametrize(("path", "code", "reason"), [("/close", 4001, "not now"), ("/raise", 4002, "not you")])
def test_a_refusal_of_the_endpoint_has_its_code_and_reason(
    client: TestClient, path: str, code: int, reason: str
) -> None:
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(path):
        pass
    assert (type(caught.value), caught.value.code, caught.value.reason) == (WebSocketDisconnect, code, reason)
    assert [path] == SEEN


def test_a_failed_validation_has_code_1008(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "asgi_upgrade")
    with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect("/validated?number=x"):
        pass
    assert caught.value.code == 1008
    (line,) = [
        line for line in caplog.messages if line.startswith("GET /validated?number=x HTTP/1.1: the WebSocket is")
    ]
    assert "valid integer" in line


class CustomRoute(BaseRoute):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.FULL if scope["type"] == "websocket" else Match.NONE, {}


def test_an_unknown_path_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "asgi_upgrade")
    app = application()
    app.router.routes.append(CustomRoute())
    for _ in range(2):
        with pytest.raises(WebSocketDenialResponse):
            TestClient(app).websocket_connect("/unknown-path").__enter__()
    (line,) = [line for line in caplog.messages if "no WebSocket route has this path" in line]
    assert line.startswith("GET /unknown-path HTTP/1.1: ")
    assert "CustomRoute got a request, and no WebSocket, to match" in line


@pytest.mark.parametrize(
    ("path", "headers", "status", "text"),
    [
        ("/http-exception", {}, 402, ""),
        ("/listens", {"x-token": "wrong"}, 401, "who are you?"),
        ("/nowhere", {}, 404, '{"detail":"Not Found"}'),
        ("/listens", {"origin": "https://stranger.example"}, 403, "This origin may not open a WebSocket here\n"),
    ],
)
def test_other_refusals_are_responses(
    client: TestClient, path: str, headers: dict[str, str], status: int, text: str
) -> None:
    with pytest.raises(WebSocketDenialResponse) as caught, client.websocket_connect(path, headers=headers):
        pass
    assert isinstance(caught.value, WebSocketDisconnect)
    assert caught.value.status_code == status
    assert caught.value.text == text or not text
    assert caught.value.headers.get("x-guard") == ("refused" if status == 401 else None)


@pytest.mark.parametrize("origin", ["http://testserver", "https://friend.example"])
def test_the_clients_own_origin_passes(client: TestClient, origin: str) -> None:
    with client.websocket_connect("/listens", headers={"origin": origin}) as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"


def test_exceptions_of_the_endpoint_reach_the_test(client: TestClient) -> None:
    with pytest.raises(LookupError), client.websocket_connect("/broken") as websocket:
        websocket.receive_text()


def test_a_disconnect_that_the_endpoint_does_not_handle_reaches_the_test(client: TestClient) -> None:
    def leave() -> None:
        with client.websocket_connect("/surprised") as websocket:
            websocket.close(1000)
            websocket.portal.call(anyio.sleep, 0.05)  # the client cancels the endpoint when it leaves

    with pytest.raises(WebSocketDisconnect):
        leave()


class Wrapper:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def test_a_wrapper_is_not_known_to_guard_nothing() -> None:
    with pytest.raises(WebSocketDenialResponse) as caught:
        TestClient(Wrapper(application())).websocket_connect("/listens").__enter__()
    assert caught.value.status_code == 503
    with TestClient(HandshakeMiddleware(Wrapper(application()))).websocket_connect("/listens") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "hello"


def test_trio_is_refused_with_a_sentence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = TestClient(application(), backend="trio")
        with pytest.raises(RuntimeError, match="asgi-upgrade needs asyncio"):
            client.websocket_connect("/listens").__enter__()
