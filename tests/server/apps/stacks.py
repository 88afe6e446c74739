"""Middleware outside `UpgradeMiddleware` that changes or holds back responses."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_upgrade import UpgradeMiddleware, WebSocketSettings


async def page(request: Request) -> Response:
    return PlainTextResponse("page " * 1000)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def add_header(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-passed"] = str(int(response.headers.get("x-passed", "0")) + 1)
    return response


async def read_whole_body(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """What some logging middlewares do: it can never work for a response that does not end."""
    response = await call_next(request)
    body = b"".join([chunk async for chunk in response.body_iterator])  # type: ignore[attr-defined]
    return Response(body, response.status_code, dict(response.headers))


def stack(*middleware: Middleware, open_timeout: float = 60.0) -> Starlette:
    settings = WebSocketSettings(open_timeout=open_timeout)
    upgrade = Middleware(UpgradeMiddleware, websocket=settings, allowed_origins=["*"])
    return Starlette(routes=[Route("/page", page), WebSocketRoute("/echo", echo)], middleware=[*middleware, upgrade])


header = Middleware(BaseHTTPMiddleware, dispatch=add_header)
gzip = Middleware(GZipMiddleware, minimum_size=0)
cors = Middleware(CORSMiddleware, allow_origins=["https://app.example.com"], expose_headers=["x-passed"])

base = stack(header)
base_in_base = stack(header, header)
gzip_outside = stack(gzip)
gzip_outside_base = stack(gzip, header)
gzip_inside_base = stack(header, gzip)
everything = stack(cors, gzip, header, gzip, header)
body_reader = stack(Middleware(BaseHTTPMiddleware, dispatch=read_whole_body), open_timeout=1.0)
