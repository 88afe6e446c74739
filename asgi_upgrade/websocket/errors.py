"""`ClientDisconnected`: the error of ``send`` when the client has gone."""

from __future__ import annotations

__all__ = ["ClientDisconnected"]


class ClientDisconnected(OSError):
    """Raised by ``send`` when the connection is gone. The ASGI specification asks for such an error.

    Attributes:
        code: The close code, as in ``websocket.disconnect``.
        reason: The close reason, as in ``websocket.disconnect``.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket connection is closed: {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason
