"""Counts what reaches the package, so that a run in which it stood aside does not look like one without differences."""

from __future__ import annotations

from typing import Any

from peers_outcomes import calls

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.websocket.protocol import WebSocketProtocol
from asgi_upgrade.websocket.session import WebSocketSession


def count() -> None:
    """Count calls of `UpgradeMiddleware` with requests, handshakes that became WebSockets, the engine's connections."""
    serve = UpgradeMiddleware.__call__

    async def serve_counted(self: UpgradeMiddleware, scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "http":
            calls["requests"] += 1
        return await serve(self, scope, receive, send)

    UpgradeMiddleware.__call__ = serve_counted  # type: ignore[method-assign]
    _count_created(WebSocketSession, "handshakes")
    _count_created(WebSocketProtocol, "connections")


def _count_created(kind: Any, name: str) -> None:
    create = kind.__init__

    def create_counted(self: Any, *arguments: Any, **options: Any) -> None:
        calls[name] += 1
        create(self, *arguments, **options)

    kind.__init__ = create_counted
