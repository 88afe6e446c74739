"""The chat demo's login: what another site, a copied cookie, and somebody without one can do with it."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server.support.process import uvicorn
from tests.server.support.websocket import CLOSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.peer import Response
    from tests.server.support.process import Server
    from tests.server.support.websocket import WebSocket

DEMO = Path(__file__).parents[2] / "examples" / "chat"
PROTOCOL = {"Sec-WebSocket-Protocol": "chat.v1"}


@pytest.fixture(scope="module")
def chat() -> Iterator[Server]:
    with uvicorn("app:app", "--app-dir", str(DEMO)) as server:
        yield server


def post(server: Server, path: str, body: bytes = b"", **fields: str) -> Response:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": len(body)}
    headers.update((name.replace("_", "-"), value) for name, value in fields.items())
    with server.peer() as peer:
        return peer.ask("POST", path, headers, body=body)


def cookie_of(response: Response) -> str:
    assert response.status == 303
    return (response.header("set-cookie") or "").partition(";")[0]


def log_in(server: Server, name: str | None = None, **fields: str) -> str:
    return cookie_of(post(server, "/login", b"name=" + (name or secrets.token_hex(4)).encode(), **fields))


def get(server: Server, path: str, cookie: str) -> int:
    with server.peer() as peer:
        return peer.ask("GET", path, {"Cookie": cookie}).status


def next_event(websocket: WebSocket, kind: str) -> dict[str, str]:
    while True:
        event: dict[str, str] = json.loads(websocket.receive_text())
        if event["type"] == kind:
            return event


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    ("fields", "passes"),
    [
        ({}, True),
        ({"Origin": "own"}, True),
        ({"Origin": "own", "Sec_Fetch_Site": "same-origin"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://own"}, False),
        ({"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}, False),
        ({"Origin": "own", "Sec_Fetch_Site": "same-site"}, False),
    ],
)
def test_another_site_can_neither_log_its_visitors_in_nor_out(
    chat: Server, path: str, fields: dict[str, str], passes: bool
) -> None:
    cookie = log_in(chat)
    own = {name: value.replace("own", f"http://{chat.host}") for name, value in fields.items()}
    response = post(chat, path, b"name=Eve", Cookie=cookie, **own)
    assert response.status == (303 if passes else 403)
    if not passes:
        assert response.header("set-cookie") is None
        assert get(chat, "/", cookie) == 200


def test_the_cookie_is_secure_where_the_page_is(chat: Server) -> None:
    plain = post(chat, "/login", b"name=Ada").header("set-cookie") or ""
    secure = post(chat, "/login", b"name=Ada", X_Forwarded_Proto="https").header("set-cookie") or ""
    for cookie in (plain, secure):
        assert {"httponly", "samesite=lax"} <= set(re.split("; *", cookie.lower()))
    assert "secure" not in plain.lower()
    assert "secure" in secure.lower()


def test_a_logout_ends_every_copy_of_the_cookie_and_what_was_opened_with_it(chat: Server) -> None:
    cookie, other = log_in(chat, "Ada"), log_in(chat, "Bob")
    with (
        chat.websocket("/rooms/lobby", {"Cookie": cookie, **PROTOCOL}) as websocket,
        chat.websocket("/rooms/lobby", {"Cookie": other, **PROTOCOL}) as witness,
    ):
        next_event(websocket, "welcome")
        next_event(witness, "welcome")
        assert get(chat, "/rooms/lobby", cookie) == 200
        assert post(chat, "/logout", Cookie=cookie).status == 303
        while (last := websocket.receive_frame()).opcode != CLOSE:
            pass
        assert last.payload == (1008).to_bytes(2, "big") + b"you have logged out"
        assert next_event(witness, "left")["user"] == "Ada"
        assert get(chat, "/rooms/lobby", cookie) == 401
        assert get(chat, "/rooms/lobby", other) == 200
        with chat.handshaker() as again:
            assert again.refused("/rooms/lobby", {"Cookie": cookie, **PROTOCOL}).status == 401


def test_each_login_has_a_token_of_its_own_and_ends_the_one_before(chat: Server) -> None:
    first = log_in(chat, "Ada")
    second = log_in(chat, "Ada", Cookie=first)
    assert first != second
    assert (get(chat, "/", first), get(chat, "/", second)) == (401, 200)
    assert get(chat, "/", "chat=" + "a" * 43) == 401
    assert get(chat, "/", "chat=\xff") == 401


def test_a_room_that_cannot_be_is_told_from_one_that_is_away(chat: Server) -> None:
    """The page asks at the room's address, and does not try again for ever."""
    cookie = log_in(chat)
    for name in ("BAD%20ROOM", "a" * 33, "%00"):
        assert get(chat, f"/rooms/{name}", cookie) == 422
        with chat.handshaker() as websocket:
            assert websocket.refused(f"/rooms/{name}", {"Cookie": cookie, **PROTOCOL}).status == 403
    assert get(chat, "/rooms/lobby", cookie) == 200
    assert get(chat, "/rooms/lobby", "") == 401


def test_logins_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DEMO))
    import logins  # type: ignore[import-not-found,unused-ignore]

    monkeypatch.setattr(logins, "MOST", 10)

    async def test() -> None:
        store = logins.LocalLogins()
        tokens = [await store.begin(str(number)) for number in range(12)]
        found = [await store.find(token) for token in tokens]
        assert [login and login.user for login in found] == [None, None, *map(str, range(2, 12))]
        monkeypatch.setattr(logins, "SECONDS", 0)
        assert await store.find(await store.begin("too late")) is None

    asyncio.run(test())
