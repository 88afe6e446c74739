"""slowapi limits a WebSocket route like any other: both of its middlewares. asgi-ratelimit goes by the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conversation import complaints, converse, get, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


@pytest.mark.parametrize("name", ["base", "asgi"])
def test_the_second_handshake_gets_429(start: Callable[..., Server], name: str) -> None:
    server = start(f"rate_limits:{name}")
    response = converse(server)
    assert response.header("x-ratelimit-limit") == "1"
    assert response.header("x-ratelimit-remaining") == "0"
    assert refuse(server).status == 429
    for path in ("/rooms/red", "/other"):  # each path is counted by itself
        converse(server, path)
        assert refuse(server, path).status == 429
    assert [get(server, "/page").status for _ in range(2)] == [200, 429]
    assert [line for line in complaints(server) if "ratelimit 1 per 1 minute" not in line] == []


def test_asgi_ratelimit_counts_a_handshake_once(start: Callable[..., Server]) -> None:
    server = start("rate_limits:ratelimit")
    converse(server)
    response = refuse(server)
    assert response.status == 429
    assert int(response.header("retry-after") or "0") > 0
    assert get(server, "/page").status == 200
    assert complaints(server) == []
