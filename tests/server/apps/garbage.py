"""Tells how much only the garbage collector can free, which does not run by itself here."""

import gc

from pages import respond
from sessions import SESSIONS
from starlette.types import Receive, Scope, Send

from asgi_upgrade import UpgradeMiddleware

gc.disable()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await SESSIONS["/echo"](scope, receive, send)
    elif scope["type"] == "http":
        await respond(send, b"%d" % gc.collect())


app = UpgradeMiddleware(application)
