"""uvicorn's httptools protocol, extended, is no heavier than it was.

CPython lets instances of a class share the names of their attributes up to 30 of them. uvicorn sets 28.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import PlainTextResponse
from uvicorn.config import Config
from uvicorn.protocols.http import httptools_impl
from uvicorn.server import ServerState

from asgi_upgrade.servers.uvicorn.httptools_protocol import HttpToolsUpgradeProtocol


async def _attributes(kind: type[httptools_impl.HttpToolsProtocol]) -> set[str]:
    """The attributes of a connection that has answered a request."""
    config = Config(PlainTextResponse("a page"), lifespan="off", ws="none", log_config=None)
    config.load()
    connections: list[httptools_impl.HttpToolsProtocol] = []

    def connect() -> asyncio.Protocol:
        connections.append(kind(config, ServerState(), {}))
        return connections[-1]

    server: Any = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
        await reader.readuntil(b"a page")
        attributes = set(vars(connections[0]))
        writer.close()
        await writer.wait_closed()
    return attributes


def test_a_connection_that_is_not_upgraded_has_no_attributes_of_ours() -> None:
    async def run() -> None:
        assert await _attributes(HttpToolsUpgradeProtocol) == await _attributes(httptools_impl.HttpToolsProtocol)

    asyncio.run(asyncio.wait_for(run(), 60))
