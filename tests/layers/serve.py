"""Runs applications in one process, each with a uvicorn and a port of its own, and one more that tells what they saw.

`python -m tests.layers.serve MODULE POSITION...`: `applications(POSITION)` of `tests/layers/apps/MODULE.py` makes the
applications by name.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import uvicorn
from starlette.responses import JSONResponse

from tests.layers.apps.journal import LOGGED, SEEN, SERVING, listen

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

TELLER = "teller"


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """What a handshake's layers saw, what an application has logged, and whether this process knows of us."""
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    told: dict[str, Any] = {
        "seen": SEEN.get(query.get("key", ""), []),
        "logged": LOGGED.get(query.get("app", ""), []),
        "ours": "asgi_upgrade" in sys.modules,
    }
    await JSONResponse(told)(scope, receive, send)


async def serve(apps: dict[str, Callable[[], Any]]) -> None:
    servers, running = {}, []
    for name, make in apps.items():
        options: dict[str, Any] = {"lifespan": "off"} if name == TELLER else {}
        context = copy_context()
        context.run(SERVING.set, name)
        config = uvicorn.Config(context.run(make), port=0, log_config=None, access_log=False, **options)
        servers[name] = uvicorn.Server(config)
        running.append(context.run(asyncio.ensure_future, servers[name].serve()))
    while not all(server.started for server in servers.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    ports = {name: server.servers[0].sockets[0].getsockname()[1] for name, server in servers.items()}
    print(f"http://127.0.0.1:{ports[TELLER]}")
    print("PORTS " + json.dumps(ports), flush=True)
    await asyncio.wait(running)


def main(module: str, *positions: str) -> None:
    applications = importlib.import_module(f"tests.layers.apps.{module}").applications
    apps = {name: make for position in positions for name, make in applications(position).items()}
    listen()
    asyncio.run(serve({**apps, TELLER: lambda: tell}))


if __name__ == "__main__":
    main(*sys.argv[1:])
