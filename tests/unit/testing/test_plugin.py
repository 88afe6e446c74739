"""The fixtures for pytest, and that they cost nothing where nobody uses them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

TESTS = """
import urllib.request
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.testing import connect_websocket

async def page(request):
    return PlainTextResponse(request.state.word)

async def echo(websocket):
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text() + websocket.cookies["a"])

from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan(app):
    yield {"word": "started"}

app = Starlette(
    routes=[Route("/", page), WebSocketRoute("/ws", echo)],
    middleware=[Middleware(UpgradeMiddleware)],
    lifespan=lifespan,
)

@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_client(upgrade_client, anyio_backend):
    async with upgrade_client(app, cookies={"a": "b"}) as client:
        assert (await client.get("/")).text == "started"
        async with connect_websocket(client, "/ws") as websocket:
            await websocket.send_text("hello")
            assert await websocket.receive_text() == "hellob"

def test_server(upgrade_server):
    first, second = upgrade_server(app), upgrade_server(app)
    assert first != second
    for url in (first, second):
        assert urllib.request.urlopen(url + "/").read() == b"started"

def test_server_that_fails(upgrade_server):
    @asynccontextmanager
    async def failing(app):
        raise ZeroDivisionError
        yield
    with pytest.raises(RuntimeError, match="has not started"):
        upgrade_server(Starlette(lifespan=failing))
"""


def run_pytest(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    # Only with the plugins that are named: starting the others takes longer than the tests.
    plugins = ["-p", "asgi_upgrade_pytest", "-p", "anyio.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugins, *options]
    return subprocess.run(
        [*command, "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def test_the_fixtures(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, TESTS)
    assert "3 passed" in run.stdout, run.stdout + run.stderr


def test_the_page_about_testing(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "testing.md").read_text(encoding="utf-8")
    blocks = [each for each in page.split("```python\n") if "def test_chat" in each or "def test_in_process" in each]
    code = "".join(each.partition("```")[0] for each in blocks)
    prefix = "import pytest\npytestmark = pytest.mark.anyio\nanyio_backend = pytest.fixture(lambda: 'asyncio')\n"
    run = run_pytest(tmp_path, prefix + code)
    assert "3 passed" in run.stdout, run.stdout + run.stderr


def test_a_suite_that_does_not_use_them_does_not_import_the_package(tmp_path: Path) -> None:
    text = """
import sys

def test_nothing_is_imported():
    assert "asgi_upgrade_pytest" in sys.modules
    assert not {"asgi_upgrade", "starlette", "httpx", "uvicorn"} & set(sys.modules)
"""
    run = run_pytest(tmp_path, text)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_each_fixture_says_what_it_is(tmp_path: Path) -> None:
    run = run_pytest(tmp_path, "def test_nothing(): pass", "--fixtures", "-v")
    for name in ("upgrade_client", "upgrade_server"):
        assert re.search(rf"^{name} -- .*\n    A function that ", run.stdout, re.MULTILINE), run.stdout
