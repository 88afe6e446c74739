"""The MCP SDK's client by WebSocket. It sends no cookies, but a query."""

from __future__ import annotations

from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from mcp import ClientSession
from mcp.client.websocket import websocket_client

from .background import in_background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.server.support.process import Server


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    with pytest.warns(DeprecationWarning, match="will be removed"):
        transport = websocket_client(url)
    async with transport as streams, ClientSession(*streams) as session:
        hello = await session.initialize()
        tools = await session.list_tools()
        result = await session.call_tool("add", {"a": 40, "b": 2})
        yield hello.serverInfo.name, [tool.name for tool in tools.tools], result.content[0].text


def client(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    query = "?session=secret" if headers else ""
    return in_background(connected(server.url("ws", f"{path}{query}")))
