"""A guard around a FastAPI application that leaves no trace where the application is called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi_rooms import app as rooms

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class Guard:
    """HTTP middleware that lets nobody in, and runs the rest in a task of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await asyncio.ensure_future(rooms(scope, receive, send))


app = Guard()
