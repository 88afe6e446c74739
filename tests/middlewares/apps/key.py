"""A guard as people write it for HTTP."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

KEY = {"X-Key": "secret"}


class Key:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"x-key", b"secret") not in scope["headers"]:
            await PlainTextResponse("no key", 401)(scope, receive, send)
            return
        await self.app(scope, receive, send)
