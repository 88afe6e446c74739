"""Starlette's SessionMiddleware and starsessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conversation import complaints, exchange, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


@pytest.fixture(params=["signed", "stored"])
def server(request: pytest.FixtureRequest, start: Callable[..., Server]) -> Server:
    return start(f"sessions:{request.param}")


def visit(server: Server, cookie: str | None) -> tuple[dict[str, object], str]:
    """The session that the endpoint saw, and the cookie that came with the 101."""
    with server.handshaker() as websocket:
        response = websocket.open("/visit", {"Cookie": cookie})
        session: dict[str, object] = json.loads(websocket.receive_text())
        session.pop("__metadata__", None)  # starsessions keeps its own there
        exchange(websocket)
    (cookie,) = response.all("set-cookie")
    return session, cookie.partition(";")[0]


def test_a_session_reaches_the_endpoint_and_what_it_changes_is_kept(server: Server) -> None:
    (cookie,) = get(server, "/login/ada").all("set-cookie")
    session, cookie = visit(server, cookie.partition(";")[0])
    assert session == {"user": "ada", "visits": 1}
    session, _ = visit(server, cookie)
    assert session == {"user": "ada", "visits": 2}
    assert complaints(server) == []


def test_a_websocket_may_begin_a_session(server: Server) -> None:
    session, cookie = visit(server, None)
    assert session == {"visits": 1}
    assert visit(server, cookie)[0] == {"visits": 2}
