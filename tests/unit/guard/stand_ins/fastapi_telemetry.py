"""Stands for `fastapi.telemetry._asgi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Span:
    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, str] = {}

    def set_attribute(self, name: str, value: str) -> None:
        self.attributes[name] = value

    def update_name(self, name: str) -> None:
        self.name = name


class RequestTelemetry:
    def __init__(self, span: Span | None, span_method: str) -> None:
        self.span = span
        self.span_method = span_method
        self.route: str | None = None
        self.exceptions: list[Exception] = []


class NativeTelemetry:
    def __init__(self, told: list[dict[str, Any]]) -> None:
        self.told = told

    async def __call__(
        self, *, app: ASGIApp, scope: Scope, receive: Receive, send: Send, legacy_otel: bool = False
    ) -> None:
        method = "WS" if scope["type"] == "websocket" else "GET"
        telemetry = RequestTelemetry(None if legacy_otel else Span(method), method)
        scope["fastapi.telemetry"] = telemetry
        self.told.append({"by": "fastapi", "type": scope["type"], "scope": dict(scope), "telemetry": telemetry})
        try:
            await app(scope, receive, send)
        finally:
            scope.pop("fastapi.telemetry", None)


class ExceptionTelemetryMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except Exception as error:
            scope["fastapi.telemetry"].exceptions.append(error)
            raise
