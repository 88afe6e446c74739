"""pytest plugin: every application of httpx-ws' tests has an `UpgradeMiddleware`, in process and under uvicorn.

uvicorn is extended by the middleware, as for users.
"""

from __future__ import annotations

from typing import Any

import peers_counting
import uvicorn
from httpx_ws.transport import ASGIWebSocketAsyncNetworkStream, ASGIWebSocketTransport

from asgi_upgrade import UpgradeMiddleware


def pytest_configure() -> None:
    peers_counting.count()
    for kind in (ASGIWebSocketAsyncNetworkStream, ASGIWebSocketTransport, uvicorn.Config):
        _wrap(kind)


def _wrap(kind: Any) -> None:
    create = kind.__init__

    def create_with_middleware(self: Any, app: Any, *arguments: Any, **options: Any) -> None:
        create(self, app if isinstance(app, UpgradeMiddleware) else UpgradeMiddleware(app), *arguments, **options)

    kind.__init__ = create_with_middleware
