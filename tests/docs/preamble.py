"""What fragments in the docs take for granted: imports, and an application around them."""

# ruff: noqa: F401

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable
from typing import Annotated, Any

import anyio
import httpx
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade import (
    H2CSettings,
    HandshakeMiddleware,
    PerMessageDeflate,
    StreamSettings,
    TLSSettings,
    UpgradeMiddleware,
    UpgradeResponse,
    UpgradeStream,
    WebSocketSettings,
)
from asgi_upgrade.testing import UpgradeTransport, assert_guarded, connect_websocket

app = FastAPI()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
client = httpx.AsyncClient()
stream: UpgradeStream


class YourMiddleware:
    """Any ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class TokenGuard(YourMiddleware):
    """A guard that is written for WebSockets."""


async def handler(stream: UpgradeStream) -> None:
    """A handler of a protocol."""


class OuterMiddleware(YourMiddleware):
    """Middleware that stands around an application."""


async def old_handler(stream: UpgradeStream) -> None:
    """A handler of its first version."""


async def serve(stream: UpgradeStream) -> None:
    """What a handler does."""


async def execute(name: str) -> UpgradeResponse:
    """An endpoint that takes the connection over."""
    return UpgradeResponse(handler, protocol=name)
