"""The application under `UpgradeMiddleware` with one setting each."""

from typing import Any

from plain import app as application
from starlette.types import Receive, Scope, Send

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings


def has_query_ws(scope: Scope) -> bool:
    return bool(scope["query_string"] == b"ws")


default = UpgradeMiddleware(application)
unattached = UpgradeMiddleware(application, extend_server=False)
predicate = UpgradeMiddleware(application, websocket_only=has_query_ws)
small_buffers = UpgradeMiddleware(
    application,
    websocket=WebSocketSettings(write_buffer_size=16 * 1024, max_queue=8, max_queue_size=64 * 1024),
)
impatient_at_stops = UpgradeMiddleware(
    application, websocket=WebSocketSettings(open_timeout=100, close_timeout=100, stop_timeout=0.5)
)
any_subprotocol = UpgradeMiddleware(
    application,
    subprotocols=["v1/b"],
    websocket=WebSocketSettings(allow_unoffered_subprotocols=True, lenient_subprotocols=True),
)
long_queue = UpgradeMiddleware(application, websocket=WebSocketSettings(max_queue_size=64 * 1024 * 1024))
own_limits = UpgradeMiddleware(application, websocket=WebSocketSettings(max_message_size=2000, ping_interval=None))


async def returns(scope: Scope, receive: Receive, send: Send) -> Any:
    await application(scope, receive, send)
    return f"a value for {scope['type']}"


returning = UpgradeMiddleware(returns)
patient = UpgradeMiddleware(
    application, websocket=WebSocketSettings(open_timeout=100, close_timeout=100, stop_timeout=100)
)
twice = UpgradeMiddleware(UpgradeMiddleware(application))


async def without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] in ("http", "websocket")
    await application(scope, receive, send)


no_lifespan = UpgradeMiddleware(without_lifespan)
