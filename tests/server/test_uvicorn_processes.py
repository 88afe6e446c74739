"""More than one process: workers, the reloader, gunicorn; and a Python without WebSocket libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import PARSERS
from tests.server.support.process import APPS, running, uvicorn
from tests.server.test_fallthrough import JAVA

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.support.process import Server


def assert_upgrades(server: Server, times: int = 1) -> None:
    for _ in range(times):
        with server.websocket() as websocket:
            websocket.send_text("hello")
            assert websocket.receive_message() == "hello"
            websocket.finish()
        with server.peer() as peer:
            assert peer.ask(headers=JAVA).status == 200
    server.log.search('"GET /echo HTTP/1.1" 101')


def test_every_worker_is_attached_and_all_exit_on_sigterm() -> None:
    with uvicorn("upgraded:app", "--workers", "2", ready="Application startup complete", times=2) as server:
        assert_upgrades(server, times=10)
        with server.websocket() as websocket:
            server.terminate()
            assert websocket.receive_close()[0] in (1001, 1012)
            websocket.send_close(1012)
            server.wait()
    assert sum("Finished server process" in line for line in server.log.lines) == 2
    assert not any("asgi_upgrade" in line for line in server.log.lines)


def test_reload_attaches_again_and_closes_open_websockets(tmp_path: Path) -> None:
    app = tmp_path / "reloaded.py"
    source = f"import sys\nsys.path.append({str(APPS)!r})\nfrom configured import default as app\n__all__ = ['app']\n"
    app.write_text(source)
    options = ["--reload", "--reload-dir", str(tmp_path), "--reload-delay", "0.05", "--app-dir", str(tmp_path)]
    with uvicorn("reloaded:app", *options, ready="Application startup complete") as server:
        assert_upgrades(server)
        with server.websocket() as websocket:
            start = len(server.log.lines)
            app.write_text(source + "# changed, and longer\n")
            assert websocket.receive_close()[0] in (1001, 1012)
            websocket.send_close(1012)
        server.log.search("Application startup complete", start=start)
        start = len(server.log.lines)
        assert_upgrades(server)
        server.log.search('"GET /echo HTTP/1.1" 101', start=start)


@pytest.mark.parametrize("worker", ["UvicornWorker", "UvicornH11Worker"])
def test_it_works_when_gunicorn_runs_uvicorn_worker(worker: str) -> None:
    command = ["-m", "gunicorn", "--worker-class", f"uvicorn_worker.{worker}", "--bind", "127.0.0.1:0"]
    command += ["--pythonpath", str(APPS), "--access-logfile", "-", "--graceful-timeout", "5", "upgraded:app"]
    with running(command, ready="Application startup complete") as server:
        assert_upgrades(server, times=3)
        with server.websocket() as websocket:
            server.terminate()
            assert websocket.receive_close()[0] in (1001, 1012)
            websocket.send_close(1012)
            server.wait()
    assert not any("Traceback" in line for line in server.log.lines)


@pytest.mark.parametrize(
    ("missing", "parser"),
    [*(("websockets,wsproto", parser) for parser in PARSERS), ("websockets", "httptools"), ("wsproto", "httptools")],
)
def test_it_works_without_websocket_libraries(missing: str, parser: str) -> None:
    environment = {"PYTHONPATH": str(APPS / "without"), "MISSING_MODULES": missing}
    with uvicorn("upgraded:app", http=parser, environment=environment) as server:
        assert_upgrades(server)
        assert "No supported WebSocket library" not in "\n".join(server.log.lines)


def test_those_libraries_are_missing_indeed() -> None:
    """What shows that the test before this one shows anything."""
    environment = {"PYTHONPATH": str(APPS / "without"), "MISSING_MODULES": "websockets,wsproto"}
    with uvicorn("plain:app", http="h11", environment=environment) as server, server.handshaker() as websocket:
        assert websocket.refused().status == 200
        server.log.search("No supported WebSocket library")


def test_a_python_without_httptools_and_uvloop_uses_h11_and_asyncio() -> None:
    environment = {"PYTHONPATH": str(APPS / "without"), "MISSING_MODULES": "httptools,uvloop,zttp"}
    explicit = "asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol"
    with uvicorn("upgraded:app", http=explicit, environment=environment) as server:
        assert_upgrades(server)
