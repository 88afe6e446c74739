"""An echo on picows: WebSockets in Cython, with a callback for each frame in place of ASGI.

It takes part where it is named: ``python -m benchmarks --servers asgi-upgrade,picows --rows lockstep,pipelined,16k``.
"""

from __future__ import annotations

import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Echo(WSListener):  # type: ignore[misc]  # Cython has no types for mypy
    """Answers each message with itself."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer a message, or end with the client."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


def listener(_: WSUpgradeRequest) -> Echo:
    """Return what serves one connection."""
    return Echo()


async def main(port: int) -> None:
    """Serve until the process ends."""
    server = await ws_create_server(listener, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
