"""A tunnel to services that only this machine can reach, behind a login, as ``kubectl port-forward`` has it.

    TUNNEL_TOKEN=secret TUNNEL_TARGETS=db=127.0.0.1:5432 uvicorn app:app --app-dir examples/tunnel
    TUNNEL_TOKEN=secret python examples/tunnel/client.py http://127.0.0.1:8000/tunnel/db --port 6543
    psql -h 127.0.0.1 -p 6543

Everything that can be refused is refused as HTTP: who asks (401), for what (404), and whether it can be had (502).
"""

from __future__ import annotations

import os
import secrets
from typing import Annotated

import anyio
from anyio.abc import ByteStream
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.background import BackgroundTask

from asgi_upgrade import StreamSettings, UpgradeMiddleware, UpgradeResponse, UpgradeStream

TOKEN = os.environ["TUNNEL_TOKEN"]
TARGETS = dict(target.split("=", 1) for target in os.environ["TUNNEL_TARGETS"].split(","))
CONNECT_TIMEOUT = 5.0  # seconds


def authenticate(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> None:
    """Refuse whoever does not know the token."""
    if not secrets.compare_digest(credentials.credentials.encode(), TOKEN.encode()):
        raise HTTPException(401, "wrong token", {"WWW-Authenticate": "Bearer"})


app = FastAPI()
app.add_middleware(UpgradeMiddleware)


@app.get("/tunnel/{name}", dependencies=[Depends(authenticate)])
async def tunnel(name: str) -> UpgradeResponse:
    """Connect to the target first, and give the client's connection to it then."""
    if name not in TARGETS:
        raise HTTPException(404, "no such target")
    host, _, port = TARGETS[name].rpartition(":")
    try:
        with anyio.fail_after(CONNECT_TIMEOUT):
            target = await anyio.connect_tcp(host, int(port))
    except (OSError, TimeoutError):
        raise HTTPException(502, "the target does not answer") from None

    async def handler(client: UpgradeStream) -> None:
        await connect(client, target)

    # The target is closed in the end, also if the client turns out not to offer the upgrade.
    return UpgradeResponse(
        handler, background=BackgroundTask(target.aclose), streams=StreamSettings(idle_timeout=3600.0)
    )


async def connect(one: ByteStream, other: ByteStream) -> None:
    """Carry bytes both ways until both directions have ended, or one side is lost."""
    async with anyio.create_task_group() as tasks:

        async def carry(source: ByteStream, sink: ByteStream) -> None:
            try:
                async for data in source:
                    await sink.send(data)
                await sink.send_eof()
            except (anyio.BrokenResourceError, NotImplementedError):
                # Lost, or not able to end one direction only, as with TLS: that is the end of both.
                tasks.cancel_scope.cancel()

        tasks.start_soon(carry, one, other)
        tasks.start_soon(carry, other, one)
