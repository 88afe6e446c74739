"""What `docs/guides/from-uvicorn.md` says, by one application: on uvicorn alone, with the middleware, with settings."""

from __future__ import annotations

import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError
from websockets.sync.client import connect

from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.support.process import Server

APP = """
from fastapi import FastAPI, WebSocket

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings

def make(*arguments, **settings):
    app = FastAPI()
    for each in arguments:
        app.add_middleware(each, **settings)

    @app.middleware("http")
    async def closed(request, call_next):
        response = await call_next(request)
        response.headers["x-seen"] = "yes"
        return response

    @app.websocket("/echo")
    async def echo(websocket: WebSocket):
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    @app.websocket("/unoffered")
    async def unoffered(websocket: WebSocket):
        await websocket.accept(subprotocol="mine")
        await websocket.close()

    @app.websocket("/closes")
    async def closes(websocket: WebSocket):
        await websocket.close(4001, "not today")

    @app.websocket("/returns")
    async def returns(websocket: WebSocket):
        await websocket.accept()

    @app.websocket("/raises")
    async def raises(websocket: WebSocket):
        await websocket.accept()
        raise RuntimeError

    @app.websocket("/raises-before")
    async def raises_before(websocket: WebSocket):
        raise RuntimeError

    return app

alone = make()
guarded = make(UpgradeMiddleware)
restored = make(
    UpgradeMiddleware,
    allowed_origins=["*"],
    insecure_skip_http_middleware=["/echo"],
    websocket=WebSocketSettings(allow_unoffered_subprotocols=True, deflate=False),
)
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    folder: Path = tmp_path_factory.mktemp("moving")
    (folder / "moving.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(uvicorn(f"moving:{name}", "--app-dir", str(folder), "--ws", "websockets-sansio"))
            for name in ("alone", "guarded", "restored")
        }


def attempt(server: Server, path: str, **options: Any) -> Any:
    """What comes of a WebSocket: the status of a refusal and its body, or the close code."""
    try:
        with connect(server.url("ws", path), **options) as websocket:
            if path == "/echo":
                websocket.send("hello")
                assert websocket.recv() == "hello"
                assert websocket.response is not None
                return "open", websocket.response.headers.get("x-seen")
            websocket.recv(timeout=2)
    except InvalidStatus as refused:
        return refused.response.status_code, refused.response.body.decode().strip()
    except NegotiationError:
        return "failed by the client"
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
    except TimeoutError:
        return 1006  # as the client sees it, some day: uvicorn 0.36 leaves such a connection open


FOREIGN: Any = {"origin": "https://evil.example"}


@pytest.mark.parametrize(
    ("path", "options", "alone", "guarded"),
    [
        ("/echo", {}, ("open", None), ("open", "yes")),
        ("/echo", FOREIGN, ("open", None), (403, "This origin may not open a WebSocket here")),
        ("/nowhere", {}, (403, ""), (404, '{"detail":"Not Found"}')),
        ("/closes", {}, (403, ""), (403, "not today")),
        ("/returns", {}, 1006, 1000),
        ("/raises", {}, 1006, 1011),
        ("/raises-before", {}, (500, "Internal Server Error"), (500, "Internal Server Error")),
    ],
)
def test_what_differs(servers: dict[str, Server], path: str, options: Any, alone: Any, guarded: Any) -> None:
    assert attempt(servers["alone"], path, **options) == alone
    assert attempt(servers["guarded"], path, **options) == guarded


def test_a_subprotocol_that_was_not_offered(servers: dict[str, Server]) -> None:
    options: Any = {"subprotocols": ["other"]}
    assert attempt(servers["alone"], "/unoffered", **options) == "failed by the client"
    assert attempt(servers["guarded"], "/unoffered", **options)[0] == 400
    assert attempt(servers["restored"], "/unoffered", **options) == "failed by the client"


def test_settings_restore_what_was(servers: dict[str, Server]) -> None:
    assert attempt(servers["restored"], "/echo", **FOREIGN) == attempt(servers["alone"], "/echo", **FOREIGN)
    with connect(servers["restored"].url("ws", "/echo")) as websocket:
        assert websocket.response is not None
        assert "sec-websocket-extensions" not in websocket.response.headers


def test_the_log(servers: dict[str, Server]) -> None:
    attempt(servers["alone"], "/echo")
    attempt(servers["guarded"], "/echo")
    servers["alone"].log.search(r'"WebSocket /echo" \[accepted\]')
    servers["alone"].log.search("connection open")
    servers["guarded"].log.search(r'"GET /echo HTTP/1\.1" 101')
    servers["guarded"].log.search(r"WebSocket /echo closed with 1000 after .* seconds")
