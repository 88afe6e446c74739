"""Our middleware. A module of its own, so that a process of plain servers knows nothing of it."""

from __future__ import annotations

import os
from typing import Any

from starlette.middleware import Middleware

from asgi_upgrade import UpgradeMiddleware


def upgrade(**options: Any) -> Middleware:
    """Like a user's, only that the environment may keep it from extending the server."""
    return Middleware(UpgradeMiddleware, extend_server="LAYERS_UNATTACHED" not in os.environ, **options)
