"""What the header fields of one request can make a server burn, before anybody has looked who sends them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.server.support.usage import measured

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

SIZE = 512 * 1024
# Twenty times what was measured; where time grew with the square of the length it was 7.5 s.
SECONDS = 0.5


@pytest.fixture(params=["upgraded:app", "over_http2:app"])
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    # h11 and zttp read no more than 64 KiB of fields.
    return shared(request.param, http="httptools", loop="asyncio")


@pytest.mark.parametrize(
    "fill", ['""', "a", ",", ", ", '"\\"', ' "a,b"', "a,", ";a=b", ';a="b"', " \t"], ids=lambda fill: fill.strip()
)
@pytest.mark.parametrize("name", ["Connection", "Upgrade", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"])
def test_long_fields_of_a_handshake_are_refused_at_little_cost(server: Server, name: str, fill: str) -> None:
    first = {"Connection": "upgrade, ", "Upgrade": "websocket, "}.get(name, "")
    with server.handshaker() as websocket:
        value = first + "a" + fill * (SIZE // len(fill)) + "b"
        with measured(server.process.pid) as spent:
            websocket.send(websocket.handshake(headers={name: value}))
            response = websocket.receive_response()
        assert response.status in (400, 431)
        assert spent.seconds < SECONDS


@pytest.mark.parametrize("protocol", ["foo", "h2c", "TLS/1.2"])
@pytest.mark.parametrize("lines", [1, 1000])
def test_a_request_that_lists_too_much_makes_no_offer(server: Server, protocol: str, lines: int) -> None:
    fields = {"Connection": ["upgrade, a" + '""' * (SIZE // 2 // lines)] * lines, "Upgrade": protocol}
    with server.peer() as peer, measured(server.process.pid) as spent:
        assert peer.ask(headers=fields).status == 200
    assert spent.seconds < SECONDS
