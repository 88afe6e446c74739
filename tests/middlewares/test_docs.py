"""What `docs/guides/middleware.md` says, by the application that it quotes."""

from __future__ import annotations

import hashlib
import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conftest import ROOT
from tests.middlewares.conversation import complaints, exchange, get, refuse
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

EXAMPLE = ROOT / "examples" / "middleware"
DOCS = (ROOT / "docs" / "guides" / "middleware.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with uvicorn("app:app", "--app-dir", str(EXAMPLE)) as server:
        yield server


def test_the_docs_list_the_middlewares_that_are_installed() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (group,) = re.findall(r"^middlewares = \[(.*?)^\]", pyproject, re.DOTALL | re.MULTILINE)
    others = {
        "fastapi",
        "itsdangerous",
        "opentelemetry-sdk",
        "prometheus-client",
        "pytest",
        "pytest-timeout",
        "websockets",
        "wsproto",
    }
    table = DOCS.partition("## Middlewares tested")[2].partition("## Known limits")[0]
    for name in set(re.findall(r'"([\w-]+)', group)) - others:
        assert name in table


def test_a_dispatch_function_gets_the_101_and_goes_on_while_the_websocket_is_open(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.open("/echo", {"User-Agent": "ada", "Accept-Encoding": "gzip"})
        assert response.header("x-status") == "101"
        assert float(response.header("x-seconds") or "") < 30
        assert response.header("x-digest") is None
        time.sleep(0.1)
        # Of the middlewares that lend a database only the one that is no dispatch function still has it open.
        assert json.loads(websocket.receive_text()) == {"caller": "ada", "short": False, "long": True}
        exchange(websocket)
    assert complaints(server) == []


def test_an_exception_before_the_accept_is_a_response(server: Server) -> None:
    response = refuse(server, "/closed")
    assert (response.status, json.loads(response.body)) == (410, {"detail": "/closed is gone"})
    assert response.header("x-status") == "410"
    response = refuse(server, "/broken")
    assert response.status == 500
    assert response.header("x-status") is None


@pytest.mark.parametrize(("text", "close"), [("close", (4001, "as you wish")), ("break", (1011, ""))])
def test_an_exception_after_the_accept_closes_the_websocket(server: Server, text: str, close: tuple[int, str]) -> None:
    with server.handshaker() as websocket:
        assert websocket.open("/exceptional").header("x-status") == "101"
        websocket.send_text(text)
        assert websocket.receive_close() == close


def test_pages_are_served_as_before(server: Server) -> None:
    response = get(server, "/page", {"User-Agent": "ada"})
    assert json.loads(response.body) == "ada"
    assert response.header("x-digest") == hashlib.sha256(response.body).hexdigest()
