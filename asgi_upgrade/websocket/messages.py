"""`Messages`: ASGI ``receive`` and ``send`` of one WebSocket, from its handshake to its end.

All that does not wait is in `WebSocketProtocol`, which may be compiled. What waits is here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asgi_upgrade.websocket.protocol import Phase

if TYPE_CHECKING:
    from starlette.types import Message

    from asgi_upgrade.websocket.protocol import WebSocketProtocol

__all__ = ["Messages"]


class Messages:
    """The application's end of a connection.

    Args:
        protocol: The connection.
    """

    __slots__ = ("_protocol", "_ready")

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol
        self._ready = protocol.ready

    async def receive(self) -> Message:
        """ASGI ``receive``: the next message, or ``websocket.disconnect`` once there will be none."""
        ready = self._ready
        had_turn = False
        while not ready:
            protocol = self._protocol
            receiver = protocol.wait()
            if receiver is not None:
                try:
                    await receiver
                except BaseException:
                    protocol.give_up_waiting(receiver)
                    raise
            elif protocol.handshake is not None:
                return await protocol.handshake.receive()
            else:
                message = protocol.look(had_turn)
                if message is not None:
                    return message
                await asyncio.sleep(0)
            had_turn = True
        event = ready.pop()
        # As `to_message` does: a call would take longer than this.
        if type(event) is bytes:
            return {"type": "websocket.receive", "bytes": event}
        return {"type": "websocket.receive", "text": event}

    async def send(self, message: Message) -> None:
        """ASGI ``send``.

        Raises:
            ClientDisconnected: The connection is gone.
            RuntimeError: The message does not fit the state.
        """
        if not self._protocol.put(message):
            await self._send_in_turn(message)

    async def _send_in_turn(self, message: Message) -> None:
        protocol = self._protocol
        if protocol.phase is Phase.CONNECTING and protocol.handshake is not None:
            await protocol.handshake.send(message)
            return
        if message["type"] == "websocket.send":
            if protocol.must_wait_a_turn():
                await asyncio.sleep(0)
            while (drainer := protocol.wait_to_write()) is not None:
                try:
                    await drainer
                finally:
                    protocol.waited_to_write(drainer)
        protocol.put_after_waiting(message)

    async def wait_closed(self) -> None:
        """Wait until the transport is gone.

        Once a close is under way, `WebSocketSettings.close_timeout` bounds the time in which nothing goes on.
        """
        closed = self._protocol.closed()
        if closed is not None:
            await asyncio.shield(closed)
