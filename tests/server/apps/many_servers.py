"""Twenty uvicorns on one event loop, one of them with `UpgradeMiddleware`, whose lifespan runs in a task of its own.

Prints which of them were extended.
"""

import asyncio
import json

import uvicorn
from plain import app as plain
from starlette.types import Receive, Scope, Send

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.servers.uvicorn.upgrading_protocol import UpgradingProtocol

UPGRADED = 13
upgraded = UpgradeMiddleware(plain)


async def in_a_task(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.create_task(run(scope, receive, send))


async def run(scope: Scope, receive: Receive, send: Send) -> None:
    await upgraded(scope, receive, send)


async def main() -> None:
    apps = [in_a_task if number == UPGRADED else plain for number in range(20)]
    configs = [uvicorn.Config(app, port=0, log_level="error") for app in apps]
    servers = [uvicorn.Server(config) for config in configs]
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    while not all(server.started for server in servers):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    classes = [config.http_protocol_class for config in configs]
    print(json.dumps([number for number, kind in enumerate(classes) if issubclass(kind, UpgradingProtocol)]))
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    asyncio.run(main())
