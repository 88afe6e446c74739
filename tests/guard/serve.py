"""Runs every application of `apps/applications.py` in one process, each with a uvicorn and a port of its own.

`python -m tests.guard.serve [--http CLASS] [--ws IMPLEMENTATION] [--lifespan on|off]`
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

import uvicorn

from tests.guard.apps.applications import CASES, MORE_CASES


async def serve(options: dict[str, Any]) -> None:
    servers = {
        name: uvicorn.Server(uvicorn.Config(case.make(), port=0, use_colors=False, access_log=False, **options))
        for name, case in {**CASES, **MORE_CASES}.items()
    }
    running = [asyncio.create_task(server.serve()) for server in servers.values()]
    while not all(server.started for server in servers.values()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    ports = {name: server.servers[0].sockets[0].getsockname()[1] for name, server in servers.items()}
    print("PORTS " + json.dumps(ports), flush=True)
    await asyncio.wait(running)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", default="auto")
    parser.add_argument("--ws", default="auto")
    parser.add_argument("--lifespan", default="auto")
    asyncio.run(serve(vars(parser.parse_args())))
