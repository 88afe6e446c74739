"""BlackSheep: a page and a WebSocket that knows the request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from blacksheep import Application, Request, WebSocket, get, ws
from fastapi import FastAPI

from .cookie import guarded, mounting


@get("/page")
async def page(request: Request) -> str:
    return f"a page at {request.url.path.decode()}"


@ws("/rooms/{room}")
async def echo(websocket: WebSocket, room: str) -> None:
    await websocket.accept([(b"x-room", room.encode())])
    while True:
        text = await websocket.receive_text()
        await websocket.send_text(f"{room} {websocket.cookies.get('session')} {text}")


served = Application()
alone = guarded(served)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await served.start()
    yield
    await served.stop()


mounted = mounting("/sub", served, lifespan=lifespan)
