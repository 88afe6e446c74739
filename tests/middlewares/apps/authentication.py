"""Starlette's AuthenticationMiddleware."""

import base64
import binascii

from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
    requires,
)
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tests.middlewares.apps.common import upgrade


class Basic(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        if "authorization" not in conn.headers:
            return None
        try:
            name, _, password = base64.b64decode(conn.headers["authorization"].removeprefix("Basic ")).partition(b":")
        except binascii.Error:
            raise AuthenticationError("these are no credentials") from None
        if password != b"secret":
            raise AuthenticationError("wrong password")
        return AuthCredentials(["authenticated"]), SimpleUser(name.decode())


async def who(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.user.display_name)
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(
    routes=[WebSocketRoute("/anyone", who), WebSocketRoute("/members", requires("authenticated")(who))],
    middleware=[Middleware(AuthenticationMiddleware, backend=Basic()), upgrade],
)
