"""A FastAPI application with middleware of both kinds."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response, WebSocket
from policy import Guard, upgrade
from starlette.middleware.base import RequestResponseEndpoint

app = FastAPI()
app.add_middleware(upgrade)  # type: ignore[arg-type]
app.add_middleware(Guard)


@app.middleware("http")
async def let_pass(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Starlette runs what is inside of this in a task of its own."""
    return await call_next(request)


@app.get("/plain")
async def plain() -> dict[str, str]:
    """An ordinary page."""
    return {"plain": "http"}


@app.websocket("/rooms/{name}")
async def room(websocket: WebSocket, name: str) -> None:
    """Say what came of the handshake, then echo until told to close."""
    await websocket.accept()
    scope = websocket.scope
    await websocket.send_json({"room": name, "subprotocols": scope["subprotocols"], "guarded": scope["guarded"]})
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", name, message["code"], flush=True)
            return
        text = message.get("text")
        if text in ("close", "close and receive"):
            await websocket.close(4001, "as you wish")
            if text == "close":
                return
        elif text is not None:
            await websocket.send_text(text)
        else:
            await websocket.send_bytes(message["bytes"])


@app.websocket("/undecided/{name}")
async def undecided(websocket: WebSocket, name: str) -> None:
    """Wait for the client to leave before it is accepted."""
    print("undecided", name, flush=True)
    kinds = [(await websocket.receive())["type"] for _ in range(2)]
    print("left", name, *kinds, flush=True)
