"""The limit for an event loop: each read is taken for one short frame and answered, without ASGI and without any check.

It comes for the row ``lockstep`` only: ``python -m benchmarks --servers asgi-upgrade,uvicorn,bare --rows lockstep``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from asgi_upgrade.websocket.frames import apply_mask
from asgi_upgrade.websocket.handshake import Accept, negotiate


class Echo(asyncio.Protocol):
    """Answers an opening handshake, then frames of at most 125 bytes."""

    transport: asyncio.Transport
    open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer what has arrived."""
        if self.open:
            self.transport.write(bytes((data[0], len(data) - 6)) + apply_mask(data[6:], data[2:6]))
        else:
            self.open = True
            self.transport.write(answer_handshake(data))


def answer_handshake(request: bytes) -> bytes:
    """The 101 for a request that asks for a WebSocket."""
    lines = [line.partition(b": ") for line in request.split(b"\r\n")[1:] if line]
    headers = [(name.lower(), value) for name, _, value in lines]
    accept = negotiate({"type": "http", "http_version": "1.1", "method": "GET", "headers": headers})
    assert isinstance(accept, Accept)
    fields = [name + b": " + value for name, value in accept.response_headers()]
    return b"\r\n".join([b"HTTP/1.1 101 Switching Protocols", *fields, b"", b""])


async def main(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
