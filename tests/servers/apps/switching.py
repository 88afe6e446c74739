"""Endpoints that switch to another protocol, and one that does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
from fastapi import FastAPI, Request, WebSocket

from asgi_upgrade import UpgradeMiddleware, UpgradeResponse, UpgradeStream

app = FastAPI()
app.add_middleware(UpgradeMiddleware)


async def echo(stream: UpgradeStream) -> None:
    """Send back what comes."""
    async for data in stream:
        await stream.send(data)


async def answer(stream: UpgradeStream) -> None:
    """Read up to the end, then answer."""
    data = b""
    with suppress(anyio.EndOfStream):
        while True:
            data += await stream.receive()
    await stream.send(b"%d bytes" % len(data))


@app.api_route("/echo", methods=["GET", "POST"])
async def echoes() -> UpgradeResponse:
    """Switch without a look at the request's body."""
    return UpgradeResponse(echo, headers={"X-Switch": "echo"})


@app.get("/answer")
async def answers(delay: float = 0) -> UpgradeResponse:
    """Switch after a while."""
    await asyncio.sleep(delay)
    return UpgradeResponse(answer)


@app.get("/leave")
async def leaves() -> UpgradeResponse:
    """Switch and say good-bye."""

    async def leave(stream: UpgradeStream) -> None:
        await stream.send(b"good-bye")

    return UpgradeResponse(leave)


@app.get("/stay")
async def stays() -> UpgradeResponse:
    """Switch, and end when the client has gone."""

    async def stay(stream: UpgradeStream) -> None:
        try:
            await stream.receive()
        finally:
            print("the handler has ended", flush=True)

    return UpgradeResponse(stay)


@app.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    """Wait for a message."""
    await websocket.accept()
    await websocket.receive()


@app.api_route("/plain", methods=["GET", "POST"])
async def plain(request: Request) -> dict[str, str]:
    """Take no offer."""
    return {"body": (await request.body()).decode()}
