"""Counts what reaches the package, so that a run in which it stood aside does not look like one without differences."""

from __future__ import annotations

from typing import Any

from peers_outcomes import calls

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.websocket.protocol import WebSocketProtocol


def count() -> None:
    """Count calls of `UpgradeMiddleware` by the type of their scope, and connections of the engine."""
    serve = UpgradeMiddleware.__call__
    switch = WebSocketProtocol.__init__

    async def serve_counted(self: UpgradeMiddleware, scope: Any, receive: Any, send: Any) -> None:
        calls[scope["type"]] += 1
        await serve(self, scope, receive, send)

    def switch_counted(self: WebSocketProtocol, *arguments: Any, **options: Any) -> None:
        calls["switched"] += 1
        switch(self, *arguments, **options)

    UpgradeMiddleware.__call__ = serve_counted  # type: ignore[method-assign]
    WebSocketProtocol.__init__ = switch_counted  # type: ignore[method-assign]
