"""Middlewares that hold the start of a response back until they have seen some of its body."""

import hashlib

from asgi_etags import ETagMiddleware
from asgi_gzip import GZipMiddleware as ASGIGZipMiddleware
from brotli_asgi import BrotliMiddleware
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from zstd_asgi import ZstdMiddleware

from tests.middlewares.apps.common import starlette


async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["x-base"] = "seen"
    return response


def etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


base = Middleware(BaseHTTPMiddleware, dispatch=dispatch)
gzip = starlette(Middleware(GZipMiddleware, minimum_size=0), base)
brotli = starlette(Middleware(BrotliMiddleware, minimum_size=0), base)
zstd = starlette(Middleware(ZstdMiddleware, minimum_size=0), base)
asgi_gzip = starlette(Middleware(ASGIGZipMiddleware, minimum_size=0), base)
etags = starlette(Middleware(ETagMiddleware, etag_generator=etag), base)
