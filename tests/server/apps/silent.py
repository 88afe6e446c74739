"""An application that accepts no WebSocket, and whose protocol fails, whatever the path is. Its logs are shown."""

import logging

from pages import respond
from plain import lifespan
from starlette.types import Receive, Scope, Send

from asgi_upgrade import H2CSettings, UpgradeMiddleware, UpgradeStream

logging.basicConfig(format="%(levelname)s: %(name)s: %(message)s")
logging.getLogger("asgi_upgrade").setLevel(logging.DEBUG)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await respond(send, b"{}")


async def fail(stream: UpgradeStream) -> None:
    raise RuntimeError("failed")


app = UpgradeMiddleware(application, protocols={"fail": fail}, h2c=H2CSettings())
