"""BlackSheep."""

from blacksheep import Application, WebSocket, ws
from guard import Guard

from asgi_upgrade import HandshakeMiddleware, UpgradeMiddleware


@ws("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send back what comes."""
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


app = HandshakeMiddleware(Guard(UpgradeMiddleware(Application())))
