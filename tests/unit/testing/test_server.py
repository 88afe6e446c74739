"""`run_server`: a real uvicorn in a thread of the test."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from asgi_upgrade.testing import server
from asgi_upgrade.testing.server import run_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

PATIENCE = 60.0


class Application:
    """Notes what it is asked for, and takes its time for what a test says.

    `waits` is a part of the lifespan that lasts until `go_on` is set; `fails` is one that fails.
    """

    def __init__(self, *, waits: str = "", fails: str = "") -> None:
        self.calls: list[str] = []
        self.waits = waits
        self.fails = fails
        self.go_on = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.calls.append(scope["root_path"])
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})
            return
        for kind in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{kind}"
            self.calls.append(kind)
            if kind == self.waits:
                await asyncio.to_thread(self.go_on.wait, PATIENCE)
            await send({"type": f"lifespan.{kind}.{'failed' if kind == self.fails else 'complete'}"})


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "asgi-upgrade-server"]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    assert threads() == []
    yield
    assert threads() == []


@pytest.mark.parametrize("options", [{}, {"root_path": "/api"}])
def test_the_application_is_served_as_long_as_the_block_runs(options: dict[str, Any]) -> None:
    app = Application()
    handlers = list(logging.getLogger("uvicorn").handlers)
    with run_server(app, ws="none", **options) as url:
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/", timeout=PATIENCE).status_code == 204
        [thread] = threads()
        assert thread.daemon  # a test that hangs can be interrupted
    assert app.calls == ["startup", options.get("root_path", ""), "shutdown"]
    assert logging.getLogger("uvicorn").handlers == handlers
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), PATIENCE)


def test_an_exception_of_the_block_ends_the_server_too() -> None:
    app = Application()
    with pytest.raises(LookupError, match="of the test"), run_server(app, ws="none"):
        raise LookupError("of the test")
    assert app.calls == ["startup", "shutdown"]


def test_two_servers_can_run_side_by_side() -> None:
    one, other = Application(), Application()
    with run_server(one, ws="none"), run_server(other, ws="none") as url:
        assert httpx.get(f"{url}/", timeout=PATIENCE).status_code == 204
    assert (one.calls, other.calls) == (["startup", "shutdown"], ["startup", "", "shutdown"])


def test_a_lifespan_that_fails_is_named() -> None:
    with (
        pytest.raises(RuntimeError, match="the application's lifespan has failed"),
        run_server(Application(fails="startup"), ws="none"),
    ):
        pytest.fail("it has not started")


def end(app: Application) -> None:
    app.go_on.set()
    for thread in threads():
        thread.join(PATIENCE)


def test_a_server_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TIMEOUT", 0.1)
    app = Application(waits="startup", fails="startup")
    with pytest.raises(RuntimeError, match=r"not started within 0\.1 s"), run_server(app, ws="none"):
        pytest.fail("it has not started")
    end(app)


def test_a_server_that_does_not_stop_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Application(waits="shutdown")
    with pytest.raises(RuntimeError, match=r"not stopped within 0\.1 s"), run_server(app, ws="none"):
        monkeypatch.setattr(server, "_TIMEOUT", 0.1)
    end(app)
