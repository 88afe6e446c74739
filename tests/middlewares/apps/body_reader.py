"""A dispatch function that reads the whole body of a response: it can never work for one that does not end."""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, DispatchFunction, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings
from tests.middlewares.apps.common import echo, page


async def read_whole_body(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    body = b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]
    return Response(body, response.status_code, dict(response.headers))


async def read_whole_body_of_pages(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """The remedy that the log names."""
    response = await call_next(request)
    if response.status_code == 101:
        return response
    body = b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]
    return Response(body, response.status_code, dict(response.headers))


def reading(dispatch: DispatchFunction) -> Starlette:
    attach = "UNATTACHED" not in os.environ
    return Starlette(
        routes=[Route("/page", page), WebSocketRoute("/rooms/{room}", echo)],
        middleware=[
            Middleware(BaseHTTPMiddleware, dispatch=dispatch),
            Middleware(UpgradeMiddleware, websocket=WebSocketSettings(open_timeout=1.0), extend_server=attach),
        ],
    )


careless = reading(read_whole_body)
careful = reading(read_whole_body_of_pages)
