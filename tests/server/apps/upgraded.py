"""The application with `UpgradeMiddleware` around it, and a user's HTTP middleware around that."""

from notes import note
from pages import respond
from plain import app as application
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings


class Outer:
    """HTTP middleware as users have it: it knows nothing of WebSockets."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == "/forbidden":
            await respond(send, b"forbidden by middleware", 401, b"text/plain")
            return
        scope.update({"user": "ada", "auth": ["authenticated"], "session": {"cart": 3}})
        scope["state"]["from middleware"] = "yes"
        if scope["path"] == "/outer/rewritten":
            scope.update({"path": "/mounted/describe-scope", "root_path": "/mounted"})
        wrapper = replace_101(send) if has_option(scope, b"replace") else dress(send)
        await self.app(scope, receive, wrapper)
        if has_option(scope, b"remember"):
            note(scope, "outer scope", type=scope["type"], scheme=scope["scheme"], method=scope["method"])


def has_option(scope: Scope, name: bytes) -> bool:
    return name in scope["query_string"].split(b"&")


def dress(send: Send) -> Send:
    """Add headers to every response, framing headers that no 101 may have among them."""

    async def wrapper(message: Message) -> None:
        if message["type"] == "http.response.start":
            added = [(b"x-outer", b"seen"), (b"set-cookie", b"outer=1"), (b"set-cookie", b"outer=2")]
            if message["status"] == 101:
                added += [(b"content-length", b"3"), (b"content-type", b"text/plain"), (b"etag", b'"x"')]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return wrapper


def replace_101(send: Send) -> Send:
    """Replace a 101 by a response of our own."""
    replaced = False

    async def wrapper(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] == 101:
            replaced = True
            await respond(send, b"replaced", 403, b"text/plain")
        elif not replaced:
            await send(message)

    return wrapper


app = Outer(
    UpgradeMiddleware(
        application,
        allowed_origins=["https://app.example.com", "https://*.example.net"],
        subprotocols=["configured.v2", "configured.v1"],
        websocket_only=["/websocket-only", "/rooms/{name}"],
        websocket=WebSocketSettings(open_timeout=2.0),
    )
)
