"""python-socketio: it may be the application, or stand around FastAPI, or be mounted in it."""

from typing import Any

import socketio
from fastapi import FastAPI

from .cookie import guard, guarded, mounting


def engine() -> socketio.AsyncServer:
    server = socketio.AsyncServer(async_mode="asgi")

    async def answer(sid: str, data: Any) -> str:
        await server.emit("told", f"{data} for all")
        return f"{data} to you"

    server.on("echo", answer)
    return server


def fastapi() -> FastAPI:
    app = FastAPI()
    guard(app)
    return app


alone = guarded(socketio.ASGIApp(engine()))
around = socketio.ASGIApp(engine(), fastapi())
mounted = mounting("/socket.io", socketio.ASGIApp(engine(), socketio_path=""))
