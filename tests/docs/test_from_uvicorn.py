"""What `docs/guides/from-uvicorn.md` says, by one application: on uvicorn alone, with the middleware, with settings."""

from __future__ import annotations

import re
import sys
import textwrap
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError
from websockets.sync.client import connect

from asgi_upgrade import PerMessageDeflate, WebSocketSettings
from tests.docs.blocks import ROOT
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

    @app.websocket("/notes")
    async def notes(websocket: WebSocket):
        await websocket.accept()
        await websocket.receive()
        try:
            await websocket.receive_text()
        except Exception as error:
            print("NOTED", websocket.query_params["key"], type(error).__name__, getattr(error, "code", ""), flush=True)

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

PAGE = (ROOT / "docs" / "guides" / "from-uvicorn.md").read_text(encoding="utf-8")
# The rows of its tables: what differs, on uvicorn alone, with the middleware, and what restores it.
_LINES = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
ROWS = {row[0]: row[1:] for row in _LINES if row[0] != "uvicorn alone"}


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


def test_a_wrong_version_is_426_behind_the_middleware(servers: dict[str, Server]) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "12"}
    with servers["guarded"].peer() as peer:
        response = peer.ask("GET", "/echo", {**headers, "Sec-WebSocket-Key": "A" * 22 + "=="})
        assert (response.status, response.header("x-seen")) == (426, "yes")


def test_the_connection_stays_open_after_a_refusal(servers: dict[str, Server]) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "A" * 22 + "=="
    with servers["guarded"].peer() as peer:
        assert [peer.ask("GET", "/closes", headers).status for _ in range(2)] == [403, 403]
    with servers["alone"].peer() as peer:
        assert peer.ask("GET", "/closes", headers).status == 403
        assert peer.receive_end() == b""


def test_only_uvicorn_alone_warns_of_other_offers(servers: dict[str, Server]) -> None:
    for name in ("guarded", "alone"):
        with servers[name].peer() as peer:
            assert peer.ask("GET", "/", {"Connection": "Upgrade", "Upgrade": "other"}).status == 404
    servers["alone"].log.search("Unsupported upgrade request")
    servers["guarded"].log.search('"GET / HTTP/1.1" 404')
    assert not [line for line in servers["guarded"].log.lines if "Unsupported upgrade request" in line]


@pytest.mark.parametrize(("name", "code"), [("alone", 1005), ("guarded", 1006)])
def test_the_code_of_a_client_that_vanishes(servers: dict[str, Server], name: str, code: int) -> None:
    with servers[name].websocket(f"/notes?key={name}") as websocket:
        websocket.send_text("hello")
    servers[name].log.search(f"NOTED {name} WebSocketDisconnect {code}")


def test_the_answer_to_an_offer_of_compression_names_what_the_offer_names(servers: dict[str, Server]) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    with servers["guarded"].handshaker() as websocket:
        answer = websocket.open("/echo", offer)
        assert answer.header("sec-websocket-extensions") == "permessage-deflate; client_max_window_bits=12"


@pytest.mark.parametrize("row", ROWS)
def test_each_row_says_what_restores_the_old_behaviour(row: str) -> None:
    *_, restored = ROWS[row]
    assert len(ROWS[row]) == 3
    assert "`" in restored or re.match(r"Cannot be restored[:,.] \w", restored)
    for setting in re.findall(r"`((?:WebSocketSettings|PerMessageDeflate)\(.*?\))`", restored):
        assert eval(setting, {"WebSocketSettings": WebSocketSettings, "PerMessageDeflate": PerMessageDeflate})


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is not there")
@pytest.mark.parametrize("project", ["uvicorn", "starlette", "fastapi", "httpx-ws"])
def test_what_differs_for_the_tests_of_others_is_on_the_page(project: str) -> None:
    import tomllib

    known = tomllib.loads((ROOT / "tests" / "peers" / f"{project}.toml").read_text(encoding="utf-8"))
    entries = [*known["differences"], *known.get("sometimes", ())]
    assert [entry["row"] for entry in entries if entry["row"] not in ROWS] == []


def test_there_are_rows() -> None:
    assert len(ROWS) > 35
