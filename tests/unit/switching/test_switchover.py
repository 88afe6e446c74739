"""What every server does alike with what is announced."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from asgi_upgrade.switching.request import name_http_schemes
from asgi_upgrade.testing import UpgradeTransport


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([b"https"], [b"https"]),
        ([b"wss"], [b"https"]),
        ([b"ws"], [b"http"]),
        ([b" wss "], [b"https"]),
        ([b"http", b"wss"], [b"http", b"https"]),
        ([b"wss, http"], [b"wss, http"]),  # a list is taken for a scheme by nobody
        ([b"WSS"], [b"WSS"]),
    ],
)
def test_schemes_of_websocket_are_named_as_http(given: list[bytes], expected: list[bytes]) -> None:
    fields = [(b"host", b"wss"), *((b"x-forwarded-proto", value) for value in given), (b"x-other", b"ws")]
    before = list(fields)
    assert [value for name, value in name_http_schemes(fields) if name == b"x-forwarded-proto"] == expected
    assert [field for field in name_http_schemes(fields) if field[0] != b"x-forwarded-proto"] == [before[0], before[-1]]
    assert fields == before


HEADERS = {"Connection": "Upgrade", "Upgrade": "example/1"}


@pytest.mark.parametrize("late", [False, True])
def test_an_announcement_behind_the_response_is_refused_at_once(late: bool) -> None:
    outcomes: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connect = scope["extensions"]["http.upgrade"]["connect"]
        if late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        switched = connect(asyncio.Protocol(), [(b"upgrade", b"example/1")])
        outcomes.append(switched.done())
        if not late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        assert not switched.result()
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> int:
        async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
            return (await client.get("/", headers=HEADERS)).status_code

    assert asyncio.run(ask()) == 200
    assert outcomes == [late]
