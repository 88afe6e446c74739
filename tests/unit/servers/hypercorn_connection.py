"""A connection of hypercorn's on this event loop, and the client at its other end."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from hypercorn.app_wrappers import ASGIWrapper, WSGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config

from asgi_upgrade.servers.hypercorn.protocol import extended
from tests.unit.servers.uvicorn_connection import Client
from tests.unit.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp

__all__ = ["HANDSHAKE", "Served", "serve"]

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Served:
    """One connection, and what there is on the server's side of it."""

    def __init__(self, client: Client, context: WorkerContext, config: Config) -> None:
        self.client = client
        self.context = context
        self.config = config
        self.server: Any = None  # hypercorn's, of this connection
        self.served: list[asyncio.Task[Any]] = []
        self.errors: list[logging.LogRecord] = []  # of its error log; who expects some takes them out

    @property
    def ended(self) -> bool:
        return bool(self.served) and all(each.done() for each in self.served)


@asynccontextmanager
async def serve(
    app: ASGIApp | WSGIWrapper, *, config: Config | None = None, extends: bool = True, **settings: Any
) -> AsyncIterator[Served]:
    """Connect a client to `app`; in the end nothing may be left of the connection.

    `settings` are hypercorn's, on top of `config`. Errors that hypercorn logs fail the test.
    """
    loop = asyncio.get_running_loop()
    config = Config() if config is None else config
    for name, value in settings.items():
        setattr(config, name, value)
    if extends:
        extended.add(config)
    config.errorlog = logging.Logger("hypercorn.error")  # noqa: LOG001 - it is for this connection only
    config.errorlog.addHandler(handler := logging.Handler(logging.WARNING))
    context = WorkerContext(None)
    wrapper = app if isinstance(app, WSGIWrapper) else ASGIWrapper(app)  # type: ignore[arg-type]

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.served.append(task)
        served.server = TCPServer(wrapper, loop, config, context, {"started": True}, reader, writer)
        await served.server

    server = await asyncio.start_server(call, "127.0.0.1", 0)
    client = Client(socket.create_connection(server.sockets[0].getsockname()))
    served = Served(client, context, config)
    handler.emit = served.errors.append  # type: ignore[assignment, method-assign]
    try:
        yield served
    finally:
        client.socket.close()
        await context.terminated.set()  # or it would wait for its keep-alive timeout
        await until(lambda: served.ended)
        server.close()
        await server.wait_closed()
    assert not served.errors
