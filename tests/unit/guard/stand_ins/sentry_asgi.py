"""Stands for `sentry_sdk.integrations.asgi`. A layer that has another one around it in the same task does nothing."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_asgi_middleware_applied: ContextVar[bool] = ContextVar("applied", default=False)


class SentryAsgiMiddleware:
    __slots__ = ("__call__", "app", "client", "name", "told")

    def __init__(self, app: Any, told: list[dict[str, Any]], client: Any, name: str = "sentry") -> None:
        self.app = app
        self.told = told
        self.client = client
        self.name = name
        self.__call__ = self._run_asgi3  # a copy of this object calls the original

    async def _run_asgi3(self, scope: Scope, receive: Receive, send: Send) -> Any:
        return await self._run_app(scope, receive, send, asgi_version=3)

    async def _run_app(self, scope: Scope, receive: Receive, send: Send, asgi_version: int) -> Any:
        assert asgi_version == 3
        if _asgi_middleware_applied.get():
            return await self.app(scope, receive, send)
        _asgi_middleware_applied.set(True)
        self.told.append({"by": self.name, "type": scope["type"], "scope": dict(scope)})
        try:
            return await self.app(scope, receive, send)
        except Exception as error:
            self.client.capture(error)
            raise
        finally:
            _asgi_middleware_applied.set(False)
