"""Middlewares that hold the start of a response back until they have seen some of its body."""

import hashlib

from asgi_etags import ETagMiddleware
from asgi_gzip import GZipMiddleware as ASGIGZipMiddleware
from brotli_asgi import BrotliMiddleware
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from zstd_asgi import ZstdMiddleware

from tests.middlewares.apps.common import starlette


async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-base"] = "seen"
    return response


class TellEncoding:
    """Outermost: what encoding does a response claim that has passed all the others?"""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-encoding"] = headers.get("content-encoding", "none")
            await send(message)

        await self.app(scope, receive, send_with_header)


def etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


tell = Middleware(TellEncoding)
base = Middleware(BaseHTTPMiddleware, dispatch=dispatch)
gzip = starlette(tell, Middleware(GZipMiddleware, minimum_size=0), base)
brotli = starlette(tell, Middleware(BrotliMiddleware, minimum_size=0), base)
zstd = starlette(tell, Middleware(ZstdMiddleware, minimum_size=0), base)
asgi_gzip = starlette(tell, Middleware(ASGIGZipMiddleware, minimum_size=0), base)
etags = starlette(tell, Middleware(ETagMiddleware, etag_generator=etag), base)
