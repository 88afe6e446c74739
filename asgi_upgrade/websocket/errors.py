"""`ClientDisconnected`: the error of ``send`` when the client has gone."""

from __future__ import annotations

__all__ = ["ClientDisconnected"]


class ClientDisconnected(OSError):
    """Raised by ``send`` once the connection is gone, as the ASGI specification asks.

    Attributes:
        code: The close code that ``websocket.disconnect`` carries.
        reason: Its reason.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket connection is closed: {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason
