"""What is logged where an offer cannot be taken: once, and with the cure that helps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.switching import lifespan, response
from asgi_upgrade.switching.response import end_101, report_held_back, report_no_extension, send_101
from tests.unit.calls import Call, http_scope, page


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan, "_seen", [])
    monkeypatch.setattr(response, "_reported", set())


@pytest.mark.parametrize("lifespans", [0, 1, 2])
def test_the_cure_depends_on_whether_a_lifespan_has_come(caplog: pytest.LogCaptureFixture, lifespans: int) -> None:
    middleware = UpgradeMiddleware(ignore)

    async def start() -> None:
        for _ in range(lifespans):
            await Call().run(middleware, {"type": "lifespan"})

    asyncio.run(start())
    caplog.clear()
    for _ in range(2):
        report_no_extension(http_scope("/a b"), "h2c")
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith("GET /a%20b HTTP/1.1 offers h2c, but this server does not offer http.upgrade")
    assert ("add one to the outermost application" in line) is (lifespans == 0)
    assert ("was logged when the server started" in line) is (lifespans > 0)


async def ignore(scope: Any, receive: Any, send: Any) -> None:
    """Wait for nothing."""
    if scope["type"] == "http":
        await page(scope, receive, send)


def test_a_101_that_is_held_back_is_said(caplog: pytest.LogCaptureFixture) -> None:
    report_held_back(http_scope("/a"), 2.5)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("GET /a HTTP/1.1: the 101 did not reach the server in 2.5 seconds.")


def test_a_101_gets_out_of_middleware_that_waits_for_a_body() -> None:
    call = Call()

    async def test() -> None:
        await send_101(call.send, [(b"upgrade", b"foo")])
        await end_101(call.send)

    asyncio.run(test())
    start, push, end = call.sent
    assert (start["type"], start["status"]) == ("http.response.start", 101)
    # What compresses leaves a response alone that has an encoding.
    assert start["headers"] == [(b"upgrade", b"foo"), (b"content-encoding", b"identity")]
    assert (push["type"], push["more_body"], bool(push["body"])) == ("http.response.body", True, True)
    assert (end["type"], end["more_body"], end["body"]) == ("http.response.body", False, b"")
