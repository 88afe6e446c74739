"""hypercorn's side of a switchover, where the request never arrives whole."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import hypercorn.protocol
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from asgi_upgrade.servers.hypercorn.protocol import H11UpgradeProtocol, extended

REQUEST = b"POST / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: example/1\r\nContent-Length: 10\r\n\r\n"


@pytest.mark.parametrize("body", [b"abc", b"0123456789"])
def test_only_a_request_that_has_arrived_whole_is_switched(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing of the body would be taken for the new protocol (RFC 9110 section 7.8)."""
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", H11UpgradeProtocol)
    outcomes: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any, *_: Any) -> None:
        switched = scope["extensions"]["http.upgrade"]["connect"](asyncio.Protocol(), [(b"upgrade", b"example/1")])
        await send({"type": "http.response.start", "status": 101, "headers": []})
        outcomes.append(await switched)

    async def test() -> bytes:
        config, stop = Config(), asyncio.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        config.bind = [f"fd://{listener.detach()}"]  # which hypercorn closes
        config.read_timeout = 1  # seconds in which nothing comes
        extended.add(config)
        serving = asyncio.ensure_future(serve(app, config, shutdown_trigger=stop.wait))
        reader, writer = await asyncio.open_connection(*address)
        writer.write(REQUEST + body)
        received = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        stop.set()
        await asyncio.wait_for(serving, 30)
        return received

    whole = len(body) == 10
    assert asyncio.run(test()).startswith(b"HTTP/1.1 101 ") is whole
    assert outcomes == [whole]
