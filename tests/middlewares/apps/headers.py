"""Middlewares that add headers: starlette-csrf and secure."""

from secure import Secure
from secure.middleware import SecureASGIMiddleware
from starlette.middleware import Middleware
from starlette_csrf import CSRFMiddleware

from tests.middlewares.apps.common import starlette

csrf = starlette(Middleware(CSRFMiddleware, secret="test"))
secure = starlette(Middleware(SecureASGIMiddleware, secure=Secure.with_default_headers()))
