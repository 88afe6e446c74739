"""Two FastAPI applications under hypercorn's dispatcher, which copies scopes and runs their lifespans in tasks."""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI, Request, Response, WebSocket
from hypercorn.middleware.dispatcher import AsyncioDispatcherMiddleware
from policy import Guard, upgrade
from starlette.middleware.base import RequestResponseEndpoint


def rooms(name: str) -> FastAPI:
    """An application that says who it is."""
    app = FastAPI()
    app.add_middleware(upgrade)  # type: ignore[arg-type]
    app.add_middleware(Guard)

    @app.middleware("http")
    async def look(request: Request, call_next: RequestResponseEndpoint) -> Response:
        request.state.extended = "http.upgrade" in request.scope["extensions"]
        return await call_next(request)

    @app.websocket("/rooms/blue")
    async def room(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"{name} {websocket.scope['guarded']} {websocket.state.extended}")

    return app


app = AsyncioDispatcherMiddleware({"/one": cast("Any", rooms("one")), "/two": cast("Any", rooms("two"))})
