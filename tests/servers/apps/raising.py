"""A WebSocket whose application raises an exception when a message has come, and waits long for the client then."""

from starlette.types import Receive, Scope, Send

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    await receive()
    raise RuntimeError("raised after a message")


app = UpgradeMiddleware(application, websocket=WebSocketSettings(close_timeout=100))
