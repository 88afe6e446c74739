"""Middlewares that add headers: starlette-csrf, asgi-csrf and secure."""

from asgi_csrf import asgi_csrf
from secure import Secure
from secure.middleware import SecureASGIMiddleware
from starlette.middleware import Middleware
from starlette_csrf import CSRFMiddleware

from tests.middlewares.apps.common import starlette

csrf = starlette(Middleware(CSRFMiddleware, secret="test"))
csrf_function = starlette(Middleware(asgi_csrf, signing_secret="test", always_set_cookie=True))
csrf_around = asgi_csrf(starlette(), signing_secret="test", always_set_cookie=True)
secure = starlette(Middleware(SecureASGIMiddleware, secure=Secure.with_default_headers()))
