"""A FastAPI application: `add_middleware`, and nothing else."""

from __future__ import annotations

from fastapi import FastAPI, WebSocket
from policy import Guard, upgrade

app = FastAPI()
app.add_middleware(upgrade)  # type: ignore[arg-type]
app.add_middleware(Guard)


@app.get("/plain")
async def plain() -> dict[str, str]:
    """An ordinary page."""
    return {"plain": "http"}


@app.websocket("/rooms/{name}")
async def room(websocket: WebSocket, name: str) -> None:
    """Say what came of the handshake, then echo until told to close."""
    await websocket.accept()
    await websocket.send_json(
        {"room": name, "subprotocols": websocket.scope["subprotocols"], "guarded": websocket.scope["guarded"]}
    )
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            print("disconnect", message["code"], flush=True)  # noqa: T201 - the test reads it
            return
        if message.get("text") == "close":
            await websocket.close(4001, "as you wish")
        elif message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])
