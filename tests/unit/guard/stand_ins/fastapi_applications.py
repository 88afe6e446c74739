"""Stands for `fastapi.applications`: an application with telemetry of its own around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class FastAPI(Starlette):
    def __init__(self, telemetry: Any, *, legacy_otel: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.telemetry = telemetry
        self.legacy_otel = legacy_otel

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.telemetry(
            app=super().__call__, scope=scope, receive=receive, send=send, legacy_otel=self.legacy_otel
        )
