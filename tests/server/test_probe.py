"""``asgi-upgrade probe`` against real servers: uvicorn alone, uvicorn and hypercorn with the middleware, and liars."""

from __future__ import annotations

import asyncio
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypercorn.asyncio
import hypercorn.config
import pytest
import trustme
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import H2CSettings, UpgradeMiddleware
from asgi_upgrade.cli import main
from asgi_upgrade.testing.server import run_server

pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse((await request.body()).decode() or "page")


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive()


def make(*layers: Middleware) -> Starlette:
    return Starlette(routes=[Route("/", page), WebSocketRoute("/", endpoint)], middleware=list(layers))


OURS = Middleware(UpgradeMiddleware)


@contextmanager
def run_hypercorn(app: Any) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]  # which hypercorn closes
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    serving = hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)
    thread = threading.Thread(target=lambda: loop.run_until_complete(serving), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()


def ask(url: str, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, tuple[str, int | None]]]:
    code = main(["probe", url, "--json", *options])
    report = json.loads(capsys.readouterr().out)
    return code, {each["offer"]: (each["level"], each["status"]) for each in report["findings"]}


def test_uvicorn_with_us_does_everything_right(capsys: pytest.CaptureFixture[str]) -> None:
    with run_server(make(Middleware(UpgradeMiddleware, h2c=H2CSettings()))) as url:
        code, found = ask(url, capsys)
    assert found == {
        "plain": ("good", 200),
        "websocket": ("good", 101),
        "foreign origin": ("good", 403),
        "wrong version": ("good", 426),
        "h2c with a body": ("good", 101),
        "unknown protocol": ("good", 200),
        "HTTP/1.0": ("good", 200),
    }
    assert code == 0


def test_uvicorn_alone_lets_every_page_in(capsys: pytest.CaptureFixture[str]) -> None:
    with run_server(make(), ws="websockets-sansio") as url:
        code, found = ask(url, capsys)
    assert found["websocket"] == ("good", 101)
    assert found["foreign origin"] == ("bad", 101)
    assert code == 1


def test_hypercorn_with_us_refuses_pages_of_other_sites(capsys: pytest.CaptureFixture[str]) -> None:
    with run_hypercorn(make(OURS)) as url:
        _, found = ask(url, capsys)
    assert found["plain"] == ("good", 200)
    assert found["websocket"] == ("good", 101)
    assert found["foreign origin"] == ("good", 403)
    assert found["unknown protocol"] == ("good", 200)


def test_hypercorn_alone_lets_every_page_in(capsys: pytest.CaptureFixture[str]) -> None:
    with run_hypercorn(make()) as url:
        _, found = ask(url, capsys)
    assert found["foreign origin"] == ("bad", 101)


def test_a_header_that_lets_in(capsys: pytest.CaptureFixture[str]) -> None:
    class Guard:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            allowed = scope["type"] != "http" or (b"cookie", b"session=1") in scope["headers"]
            await (self.app if allowed else PlainTextResponse("no", 401))(scope, receive, send)

    with run_server(make(Middleware(Guard), OURS)) as url:
        assert ask(url, capsys)[1]["websocket"] == ("good", 401)
        assert ask(url, capsys)[1]["foreign origin"] == ("note", 401)
        assert ask(url, capsys, "-H", "Cookie: session=1")[1]["websocket"] == ("good", 101)


def test_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with run_server(make(OURS)) as url:
        assert main(["probe", url.replace("http:", "ws:")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == url.replace("http:", "ws:")
    assert "├── foreign origin: 403, refuses pages of other sites" in lines
    assert "└── HTTP/1.0: 200, does not switch over HTTP/1.0" in lines


def test_over_tls(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    pem = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
    with run_server(make(OURS), ssl_certfile=str(pem)) as url:
        url = url.replace("http://127.0.0.1", "wss://localhost")
        assert main(["probe", url, "--json"]) == 2
        assert "its certificate is not trusted" in capsys.readouterr().err
        assert ask(url, capsys, "--insecure")[1]["websocket"] == ("good", 101)
        assert main(["probe", url.replace("wss:", "ws:")]) == 1
        assert "if the server speaks TLS, ask https://" in capsys.readouterr().out


def test_tls_to_a_server_of_plain_http(capsys: pytest.CaptureFixture[str]) -> None:
    with run_server(make(OURS)) as url:
        assert main(["probe", url.replace("http:", "https:")]) == 2
    assert "if it speaks plain HTTP, ask http://" in capsys.readouterr().err


@contextmanager
def run_liar(answer: bytes, *, stay: bool = False) -> Iterator[str]:
    """A server that answers each request with the same bytes."""
    ended = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                self.request.sendall(answer)
            except OSError:
                return
            if stay:
                ended.wait(20)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()
            thread.join(20)


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: "


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", None),
        (b"\x00\xff" * 500, None),
        (b"HTTP/1.1 \xb2\xb2\xb2 x\r\n\r\n", None),
        (b"HTTP/2 200\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 200_000, None),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, None),
        (SWITCHING + b"websocket\r\n\r\n", 101),
        (SWITCHING + b"h2c\r\n\r\n", 101),
        (SWITCHING + b"h2c\r\n\r\n" + b"\xff" * 200, 101),
        (SWITCHING + b"h2c\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 1000, 101),
        (b"\r\n\r\n", None),
        (b"HTTP/1.1 200\r\n: \r\n\x00\r\n\r\n", 200),
    ],
)
def test_whatever_a_server_sends_is_a_finding(
    answer: bytes, status: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with run_liar(answer) as url:
        code, found = ask(url, capsys)
    assert {each for _, each in found.values()} == {status}
    assert code == int(status != 200)
    if status == 101:
        assert {level for level, _ in found.values()} == {"bad"}


def test_a_server_that_does_not_answer_takes_no_longer_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with run_liar(b"HTTP/1.1 200 OK\r\n", stay=True) as url:
        started = time.monotonic()
        _, found = ask(url, capsys, "--timeout", "1")
        assert time.monotonic() - started < 60  # one for each offer, and the machine may be busy
    assert set(found.values()) == {("bad", None)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ftp://localhost"], "no URL of a server"),
        (["http://localhost:99999"], "is no URL"),
        (["http://localhost/ü"], "percent-encoded"),
        (["http://localhost", "-H", "Cookie"], "no header field"),
        (["http://localhost", "-H", "A: b\r\nC: d"], "no header field"),
        (["http://localhost", "--timeout", "0"], "between 0 and 600"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens
        port = deaf.getsockname()[1]
        command = [sys.executable, "-m", "asgi_upgrade", "probe", f"http://127.0.0.1:{port}"]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert run.returncode == 2
    words = f"127.0.0.1:{port} cannot be asked: nothing accepts connections there"
    assert run.stderr == f"asgi-upgrade probe: {words}\n"
    assert "Traceback" not in run.stderr
