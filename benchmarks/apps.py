"""What every server runs: echo in plain ASGI, echo through Starlette's ``WebSocket``, and one short page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.websockets import WebSocket, WebSocketDisconnect

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

PAGE = b"Hello, world!\n"
PAGE_HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(PAGE)).encode())]


async def lifespan(receive: Receive, send: Send) -> None:
    """Follow the server's start and stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def page(send: Send) -> None:
    """Answer a plain HTTP request."""
    await send({"type": "http.response.start", "status": 200, "headers": PAGE_HEADERS})
    await send({"type": "http.response.body", "body": PAGE})


async def echo(receive: Receive, send: Send) -> None:
    """Send every message back, until the client leaves."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo in plain ASGI; a short page for plain HTTP."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await page(send)
    else:
        await echo(receive, send)


async def through_starlette(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo text through Starlette's ``WebSocket`` class."""
    if scope["type"] != "websocket":
        await plain(scope, receive, send)
        return
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        return
