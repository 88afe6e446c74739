"""A FastAPI application: a page that tells what request arrived, WebSockets, and an HTTP middleware that guards both.

Settings from the environment:
    ALLOWED_ORIGINS: origins besides its own that may open a WebSocket, separated by spaces.
    H2C: whether clients may upgrade to HTTP/2, if it is not empty.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

from asgi_upgrade import H2CSettings, UpgradeMiddleware

app = FastAPI()
app.add_middleware(
    UpgradeMiddleware,
    allowed_origins=os.environ.get("ALLOWED_ORIGINS", "").split(),
    subprotocols=["configured.v1"],
    websocket_only=["/only"],
    h2c=H2CSettings() if os.environ.get("H2C") else None,
)


@app.middleware("http")
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Keep strangers out of one path, and leave a mark on every response that passes."""
    if request.url.path == "/members":
        return Response("members only\n", 401, media_type="text/plain")
    response = await call_next(request)
    response.headers["x-guard"] = "passed"
    return response


@app.api_route("/request", methods=["GET", "POST", "PUT"])
async def describe_request(request: Request) -> dict[str, Any]:
    """What request arrived, its body included, and over which connection."""
    body = await request.body()
    assert request.client is not None
    return {
        "method": request.method,
        "scheme": request.url.scheme,
        "http_version": request.scope["http_version"],
        "headers": request.headers.items(),
        "client": request.client.port,
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


@app.get("/long")
async def respond_at_length() -> Response:
    """A response that comes at once, and is longer than a buffer."""
    return Response("x" * 90_000)


@app.websocket("/members")
@app.websocket("/only")
@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Send everything back as it came."""
    await websocket.accept()
    while (message := await websocket.receive())["type"] == "websocket.receive":
        await websocket.send({**message, "type": "websocket.send"})
    print("closed", message["code"], message.get("reason", ""), flush=True)


@app.websocket("/handshake")
async def describe_handshake(websocket: WebSocket) -> None:
    """What handshake arrived, as the first message."""
    await websocket.accept()
    await websocket.send_json(
        {"scheme": websocket.url.scheme, "host": websocket.url.netloc, "headers": websocket.headers.items()}
    )
    try:
        await websocket.receive()
    except WebSocketDisconnect:
        return


@app.websocket("/close/{code}")
async def close(websocket: WebSocket, code: int, reason: str = "") -> None:
    """Close at once."""
    await websocket.accept()
    await websocket.close(code, reason)


@app.websocket("/closed")
async def refuse(websocket: WebSocket) -> None:
    """Close before accepting: 403."""
    await websocket.close()
