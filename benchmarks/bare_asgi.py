"""The limit for ASGI in Python: `bare` with one task, and one ``await`` of each kind, for each message.

It has a future for each ``receive``, and writes at the end of a turn of the event loop, as servers do that are fast.
Nothing is checked, and nothing has a bound. It comes for the row ``lockstep`` only:
``python -m benchmarks --servers asgi-upgrade-compiled,uvicorn,bare,bare-asgi --rows lockstep``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, cast

import uvloop

from asgi_upgrade.websocket.frames import apply_mask
from benchmarks import apps
from benchmarks.bare import answer_handshake

if TYPE_CHECKING:
    from starlette.types import Message

_waiting: list[tuple[asyncio.Transport, bytes]] = []


def _write() -> None:
    for transport, data in _waiting:
        transport.write(data)
    _waiting.clear()


class Echo(asyncio.Protocol):
    """Answers an opening handshake, and gives frames of at most 125 bytes to an application."""

    transport: asyncio.Transport
    task: asyncio.Task[None] | None = None
    connected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.loop = asyncio.get_running_loop()
        self.message: asyncio.Future[bytes] = self.loop.create_future()

    def data_received(self, data: bytes) -> None:
        """Give the application what has arrived."""
        if self.task is not None:
            self.message.set_result(apply_mask(data[6:], data[2:6]))
        else:
            self.transport.write(answer_handshake(data))
            self.task = self.loop.create_task(apps.echo(self.receive, self.send))

    def connection_lost(self, *_: object) -> None:
        """End the application."""
        if self.task is not None:
            self.task.cancel()

    async def receive(self) -> Message:
        """ASGI ``receive``."""
        if not self.connected:
            self.connected = True
            return {"type": "websocket.connect"}
        self.message = message = self.loop.create_future()
        return {"type": "websocket.receive", "bytes": await message}

    async def send(self, message: Message) -> None:
        """ASGI ``send``."""
        data = message.get("bytes")
        if data is None:
            return  # the accept
        if not _waiting:
            self.loop.call_soon(_write)
        _waiting.append((self.transport, bytes((0x82, len(data))) + data))


async def main(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
