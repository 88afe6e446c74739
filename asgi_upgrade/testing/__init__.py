"""Tests without a server: HTTPX runs an ASGI application in process, with upgrades and WebSockets.

You need the package ``httpx`` or its successor ``httpx2``, and asyncio as event loop:

    async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
        async with connect_websocket(client, "/chat", headers={"Cookie": "session=..."}) as websocket:
            await websocket.send_text("hello")
            assert await websocket.receive_text() == "hello"

A connection that has been switched is a real socket, with both ends in this process. So buffers, the end of one
direction and the loss of the connection work as on a server.
"""

from asgi_upgrade.testing.guarded import assert_guarded
from asgi_upgrade.testing.lifespan import LifespanError, run_lifespan
from asgi_upgrade.testing.transport import UpgradeTransport
from asgi_upgrade.testing.websocket import ClientWebSocket, WebSocketDenied, connect_websocket

__all__ = [
    "ClientWebSocket",
    "LifespanError",
    "UpgradeTransport",
    "WebSocketDenied",
    "assert_guarded",
    "connect_websocket",
    "run_lifespan",
]
