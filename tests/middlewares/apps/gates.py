"""Starlette's middlewares that let a request in or not, and the user's own."""

from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tests.middlewares.apps.common import starlette


class Token(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if "token" not in request.query_params:
            return PlainTextResponse("no token", 401)
        response = await call_next(request)
        response.headers["x-status"] = str(response.status_code)
        response.set_cookie("seen", "1")
        return response


cors = starlette(Middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_credentials=True))
hosts = starlette(Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"]))
https = starlette(Middleware(HTTPSRedirectMiddleware))
base = starlette(Middleware(Token))
