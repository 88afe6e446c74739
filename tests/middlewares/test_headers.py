"""starlette-csrf, asgi-csrf and secure: what they add to a response is on the 101."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conversation import complaints, converse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


def test_starlette_csrf_gives_its_cookie_and_guards_forms_as_before(start: Callable[..., Server]) -> None:
    server = start("headers:csrf")
    (cookie,) = converse(server).all("set-cookie")
    assert cookie.startswith("csrftoken=")
    with server.peer() as peer:
        assert peer.ask("POST", "/page", {"Cookie": cookie.partition(";")[0]}).status == 403
    assert converse(server, headers={"Cookie": cookie.partition(";")[0]}).all("set-cookie") == []
    assert complaints(server) == []


@pytest.mark.parametrize("name", ["csrf_function", "csrf_around"])
def test_asgi_csrf_gives_its_cookie_and_guards_forms_as_before(start: Callable[..., Server], name: str) -> None:
    """It is a function: one middleware of the stack, or one around the application."""
    server = start(f"headers:{name}")
    (cookie,) = converse(server).all("set-cookie")
    assert cookie.startswith("csrftoken=")
    with server.peer() as peer:
        assert peer.ask("POST", "/page", {"Cookie": cookie.partition(";")[0]}).status == 403
    assert converse(server, headers={"Cookie": cookie.partition(";")[0]}).all("set-cookie") == []
    assert complaints(server) == []


def test_secure_adds_its_headers(start: Callable[..., Server]) -> None:
    server = start("headers:secure")
    response = converse(server)
    assert response.header("x-frame-options") == "SAMEORIGIN"
    assert (response.header("strict-transport-security") or "").startswith("max-age=")
    assert complaints(server) == []
