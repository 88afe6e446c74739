"""The cookie check that stands in front of each application, and ours inside it unless `WITHOUT_US` is set."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from asgi_upgrade import UpgradeMiddleware

WITHOUT_US = "WITHOUT_US" in os.environ


async def check(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Refuse who has no cookie. Programs that cannot send one have it in the query."""
    sessions = (request.cookies.get("session"), request.query_params.get("session"))
    if "secret" not in sessions:
        return PlainTextResponse("Who are you?", 401)
    return await call_next(request)


def guard(app: Starlette, **options: Any) -> None:
    """Add both to an application that takes middleware, as `@app.middleware("http")` does."""
    if not WITHOUT_US:
        app.add_middleware(UpgradeMiddleware, **options)
    app.add_middleware(BaseHTTPMiddleware, dispatch=check)


def guarded(app: ASGIApp) -> ASGIApp:
    """Put both around an application."""
    return BaseHTTPMiddleware(app if WITHOUT_US else UpgradeMiddleware(app), dispatch=check)


def mounting(path: str, app: ASGIApp, **options: Any) -> FastAPI:
    """A FastAPI application that has both, and `app` at `path`."""
    outer = FastAPI(**options)
    outer.mount(path, app)
    guard(outer)
    return outer
