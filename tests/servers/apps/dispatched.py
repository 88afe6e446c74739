"""Two FastAPI applications under hypercorn's dispatcher, which copies scopes and runs their lifespans in tasks."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI, WebSocket
from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware
from policy import Guard, upgrade


def rooms(name: str) -> FastAPI:
    """An application that says who it is."""
    app = FastAPI()
    app.add_middleware(upgrade)  # type: ignore[arg-type]
    app.add_middleware(Guard)

    @app.websocket("/rooms/blue")
    async def room(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"{name} {websocket.scope['guarded']}")

    return app


app = AsyncioDispatcherMiddleware({"/one": cast("Any", rooms("one")), "/two": cast("Any", rooms("two"))})
