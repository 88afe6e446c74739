"""FastAPI."""

from fastapi import FastAPI, WebSocket
from guard import Guard

from asgi_upgrade import UpgradeMiddleware

app = FastAPI()
app.add_middleware(UpgradeMiddleware)
app.add_middleware(Guard)


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)
