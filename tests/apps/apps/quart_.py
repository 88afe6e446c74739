"""Quart: a page and a WebSocket that knows the request."""

from quart import Quart, request, websocket

from .cookie import guarded, mounting


def application() -> Quart:
    app = Quart(__name__)

    async def page() -> str:
        return f"a page at {request.path}"

    async def echo(room: str) -> None:
        await websocket.accept(headers={"x-room": room})
        while True:
            await websocket.send(f"{room} {websocket.cookies.get('session')} {await websocket.receive()}")

    app.add_url_rule("/page", "page", page)
    app.add_websocket("/rooms/<room>", "echo", echo)
    return app


alone = guarded(application())
mounted = mounting("/sub", application())
