"""The application most tests talk to: a page or a WebSocket session per path. This module adds no middleware."""

from pages import PAGES, report
from sessions import SESSIONS
from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if scope["type"] == "websocket":
        await SESSIONS[path](scope, receive, send)
    else:
        await PAGES.get(path, report)(scope, receive, send)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    scope["state"].update({"from lifespan": "yes", "shared": []})
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
