"""A FastAPI application with one WebSocket, which tells what has reached it, and a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.layers.apps.journal import see

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.middleware import Middleware


async def page(request: Request) -> Response:
    return PlainTextResponse("page")


def report(websocket: WebSocket) -> dict[str, Any]:
    """What the layers have left for the endpoint."""
    scope = websocket.scope
    return {
        "state": {name: value for name, value in scope.get("state", {}).items() if isinstance(value, str)},
        "user": scope["user"].display_name if "user" in scope else None,
        "session": dict(scope["session"]) if "session" in scope else None,
        "query": websocket.url.query,
        "path": websocket.url.path,
        "subprotocols": list(scope["subprotocols"]),
    }


async def talk(websocket: WebSocket, **more: Any) -> None:
    """Accept, say what has arrived, echo what comes."""
    see(websocket.scope, "endpoint")
    await websocket.accept()
    await websocket.send_json({**report(websocket), **more})
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        pass


async def room(websocket: WebSocket) -> None:
    await talk(websocket)


def fastapi(middleware: Sequence[Middleware] = (), endpoint: Any = room) -> FastAPI:
    """An application inside `middleware`, the first of which is outermost."""
    app = FastAPI(middleware=list(middleware))
    app.add_api_route("/page", page)
    app.add_api_websocket_route("/ws/{room}", endpoint)
    return app
