"""asgi-correlation-id and starlette-context: a header on the response, and the same value in the endpoint."""

from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from starlette_context import context, plugins
from starlette_context.middleware import ContextMiddleware, RawContextMiddleware

from tests.middlewares.apps.common import upgrade


async def tell_correlation_id(websocket: WebSocket) -> None:
    """With each message: it must still be there when the 101 is long gone."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text} {correlation_id.get()}")


async def tell_request_id(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text} {context.get('X-Request-ID', 'none')}")


def with_context(middleware: Any) -> Starlette:
    return Starlette(
        routes=[WebSocketRoute("/", tell_request_id)],
        middleware=[Middleware(middleware, plugins=(plugins.RequestIdPlugin(),)), upgrade],
    )


correlation = Starlette(
    routes=[WebSocketRoute("/", tell_correlation_id)], middleware=[Middleware(CorrelationIdMiddleware), upgrade]
)
base_context = with_context(ContextMiddleware)
raw_context = with_context(RawContextMiddleware)
