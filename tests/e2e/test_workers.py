"""The demo with its rooms in a real Redis server."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from websockets.sync.client import connect

from tests.e2e.support.browser import complaints
from tests.e2e.support.chat import ChatPage, demo
from tests.e2e.support.member import await_event, log_in, say
from tests.e2e.support.redis import redis_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

    from tests.server.support.process import Server

ATTEMPTS = 100


def settings(redis_port: int) -> dict[str, str]:
    return {"REDIS_URL": f"redis://127.0.0.1:{redis_port}/0"}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The demo on two workers."""
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        options = {"environment": settings(port), "ready": "Application startup complete", "times": 2}
        with demo("--workers", "2", **options) as server:
            yield server


def test_browsers_on_different_workers_see_each_others_messages(workers: Server, ada: Chrome, bob: Chrome) -> None:
    first, second = ChatPage(ada, workers.url("http", "")), ChatPage(bob, workers.url("http", ""))
    first.log_in("Ada")
    second.log_in("Bob")
    for _ in range(ATTEMPTS):
        if first.worker != second.worker:
            break
        second.reconnect()  # the kernel decides which worker gets a connection
    assert first.worker != second.worker

    first.say("Which worker are you on?")
    second.await_message("Ada", "Which worker are you on?")
    second.say(f"I am on {second.worker}.")
    first.await_message("Bob", f"I am on {second.worker}.")
    second.log_out()
    first.await_notice("Bob left")
    assert complaints(ada) == complaints(bob) == []


def test_the_chat_goes_on_when_redis_comes_back(tmp_path: Path) -> None:
    with ExitStack() as redis:
        port = redis.enter_context(redis_server(tmp_path))
        with demo(environment=settings(port)) as server:
            cookie = {"Cookie": log_in(server.url("http", ""), "Ada")}
            with connect(server.url("ws", "/rooms/lobby"), additional_headers=cookie) as websocket:
                say(websocket, "while it is there")
                assert await_event(websocket, "message")["text"] == "while it is there"
                redis.close()
                say(websocket, "while it is away")
                assert "Try again" in await_event(websocket, "error")["text"]
                redis.enter_context(redis_server(tmp_path, port))
                deadline = time.monotonic() + 30
                while True:
                    say(websocket, "when it is back")
                    if await_event(websocket, "message", "error")["type"] == "message":
                        break
                    assert time.monotonic() < deadline, "\n".join(server.log.lines)
                    time.sleep(0.1)
