"""Stands for `opentelemetry.instrumentation.asgi`, and for the others that have a middleware like its own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class OpenTelemetryMiddleware:
    def __init__(self, app: Any, told: list[dict[str, Any]], name: str = "span") -> None:
        self.app = app
        self.told = told
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        kind = scope["type"]
        span = {"by": self.name, "type": kind, "scope": dict(scope), "parent": None, "error": None}
        self.told.append(span)
        context: Any = sys.modules.get("opentelemetry.context")
        token = None
        if context is not None:
            span["parent"] = context.get_current().get("span")
            token = context.attach(context.Context(context.get_current(), span=f"{self.name} of {kind}"))
        try:
            return await self.app(scope, receive, send)
        except Exception as error:
            span["error"] = error
            raise
        finally:
            if token is not None:
                context.detach(token)
