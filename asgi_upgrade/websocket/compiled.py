"""Whether the modules of the engine that mypyc can compile are compiled here."""

from __future__ import annotations

from asgi_upgrade.websocket import frames

__all__ = ["compiled"]

compiled: bool = not str(frames.__file__).endswith(".py")
"""Whether the WebSocket engine runs as machine code. If this is ``False``, it does the same, but is slower."""
