"""pycrdt-websocket: rooms of documents that y-websocket's clients share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from pycrdt.websocket import ASGIServer, WebsocketServer

from .cookie import guarded, mounting

rooms = WebsocketServer(auto_clean_rooms=False)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with rooms:
        yield


async def application(scope, receive, send):  # type: ignore[no-untyped-def]
    """Begin with the server, as the one below does in its lifespan."""
    if scope["type"] == "lifespan":
        async with rooms:
            await ASGIServer(rooms)(scope, receive, send)
    else:
        await ASGIServer(rooms)(scope, receive, send)


alone = guarded(application)
mounted = mounting("/documents", ASGIServer(rooms), lifespan=lifespan)
