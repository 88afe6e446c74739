"""The MCP SDK's transport by WebSocket, at a route of Starlette and mounted."""

import warnings
from typing import Any

import mcp.types
from mcp.server.lowlevel import Server
from mcp.server.websocket import websocket_server
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .cookie import guard, mounting

warnings.simplefilter("ignore", DeprecationWarning)

server: Server[Any, Any] = Server("adder")


@server.list_tools()
async def tools() -> list[mcp.types.Tool]:
    numbers = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}}
    return [mcp.types.Tool(name="add", description="Adds", inputSchema=numbers)]


@server.call_tool()
async def call(name: str, arguments: dict[str, Any]) -> list[mcp.types.TextContent]:
    return [mcp.types.TextContent(type="text", text=str(arguments["a"] + arguments["b"]))]


async def speak(scope: Scope, receive: Receive, send: Send) -> None:
    async with websocket_server(scope, receive, send) as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


async def endpoint(websocket: WebSocket) -> None:
    await speak(websocket.scope, websocket.receive, websocket.send)


route = Starlette(routes=[WebSocketRoute("/mcp", endpoint)])
guard(route)
mounted = mounting("/mcp", speak)
