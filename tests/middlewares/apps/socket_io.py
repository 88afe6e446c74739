"""python-socketio: alone, around FastAPI, and mounted in it."""

import os
from typing import Any

import socketio
from fastapi import FastAPI

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware
from tests.middlewares.apps.common import echo, page
from tests.middlewares.apps.key import Key


def engine() -> socketio.AsyncServer:
    sio = socketio.AsyncServer(async_mode="asgi")

    async def answer(sid: str, data: Any) -> str:
        return f"{data} to you"

    sio.on("echo", answer)
    return sio


def fastapi() -> FastAPI:
    app = FastAPI()
    app.add_middleware(UpgradeMiddleware, extend_server="UNATTACHED" not in os.environ)
    app.add_middleware(Key)
    app.add_api_route("/page", page)
    app.add_api_websocket_route("/rooms/{room}", echo)
    return app


def mounting() -> FastAPI:
    app = fastapi()
    app.mount("/socket.io", socketio.ASGIApp(engine()))
    return app


alone = UpgradeMiddleware(socketio.ASGIApp(engine()), extend_server="UNATTACHED" not in os.environ)
guarded_alone = Key(UpgradeMiddleware(socketio.ASGIApp(engine())))
around = socketio.ASGIApp(engine(), fastapi())
around_with_handshakes = HandshakeMiddleware(socketio.ASGIApp(engine(), fastapi()))
mounted = mounting()
