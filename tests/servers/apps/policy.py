"""What the tests send through each server: a guard that is HTTP middleware, and a WebSocket behind it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from asgi_upgrade import UpgradeMiddleware

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


def upgrade(app: ASGIApp, **options: Any) -> UpgradeMiddleware:
    """The middleware with the policy that the tests expect."""
    return UpgradeMiddleware(
        app,
        allowed_origins=["https://friend.example"],
        subprotocols=["chat.v2", "chat.v1"],
        websocket_only=["/only"],
        extend_server=os.environ["ATTACH"] == "yes",
        **options,
    )


class Guard:
    """HTTP middleware: refuses without a token, and adds a header with how often it has run to what it lets pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if b"token=good" not in scope["query_string"]:
            headers = [(b"content-type", b"text/plain"), (b"x-guard", b"refused")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b"no token"})
            return
        scope["guarded"] = scope.get("guarded", 0) + 1

        async def dress(message: Message) -> None:
            if message["type"] == "http.response.start":
                runs = str(scope["guarded"]).encode()
                message = {**message, "headers": [*message["headers"], (b"x-guard", b"passed " + runs)]}
            await send(message)

        await self.app(scope, receive, dress)
