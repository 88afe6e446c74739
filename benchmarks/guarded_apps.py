"""The applications of ``benchmarks.apps`` behind ``UpgradeMiddleware``."""

from __future__ import annotations

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings
from benchmarks import apps

# Room for the largest message that is measured; every other setting is the default.
MAX_MESSAGE_SIZE = 64 * 1024 * 1024

plain = UpgradeMiddleware(apps.plain, websocket=WebSocketSettings(max_message_size=MAX_MESSAGE_SIZE))
through_starlette = UpgradeMiddleware(
    apps.through_starlette, websocket=WebSocketSettings(max_message_size=MAX_MESSAGE_SIZE)
)
