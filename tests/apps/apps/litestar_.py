"""Litestar: a page and a WebSocket that knows the request."""

from litestar import Litestar, Request, WebSocket, get, websocket

from .cookie import guarded, mounting


@get("/page", sync_to_thread=False)
def page(request: Request) -> str:  # type: ignore[type-arg,unused-ignore]
    return f"a page at {request.scope['path']}"


@websocket("/rooms/{room:str}")
async def echo(socket: WebSocket, room: str) -> None:  # type: ignore[type-arg,unused-ignore]
    await socket.accept(headers={"x-room": room})
    async for text in socket.iter_data():
        await socket.send_text(f"{room} {socket.cookies.get('session')} {text}")


alone = guarded(Litestar([page, echo]))
mounted = mounting("/sub", Litestar([page, echo]))
