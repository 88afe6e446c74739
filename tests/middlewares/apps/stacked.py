"""All of the middlewares at once, in an order in which one would add them."""

import hashlib
import os
from collections.abc import MutableMapping
from typing import Any, cast

import sentry_sdk
from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from asgi_etags import ETagMiddleware
from asgi_gzip import GZipMiddleware as ASGIGZipMiddleware
from brotli_asgi import BrotliMiddleware
from fastapi import FastAPI
from hypercorn.middleware import ProxyFixMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from prometheus_fastapi_instrumentator import Instrumentator
from secure import Secure
from secure.middleware import SecureASGIMiddleware
from slowapi import Limiter
from slowapi.middleware import SlowAPIASGIMiddleware, SlowAPIMiddleware
from slowapi.util import get_remote_address
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from starlette_context import context, plugins
from starlette_context.middleware import RawContextMiddleware
from starlette_csrf import CSRFMiddleware
from starlette_exporter import PrometheusMiddleware as ExporterMiddleware
from starlette_prometheus import PrometheusMiddleware
from starsessions import InMemoryStore
from starsessions import SessionMiddleware as StarsessionsMiddleware
from zstd_asgi import ZstdMiddleware

from asgi_upgrade import UpgradeMiddleware
from tests.middlewares.apps.common import page


class Named(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
        name = conn.headers.get("x-name")
        return None if name is None else (AuthCredentials(["authenticated"]), SimpleUser(name))


def drop(event: Any, hint: Any) -> None:
    """Send nothing."""


def etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'


sentry_sdk.init(dsn="http://key@127.0.0.1:1/1", traces_sample_rate=1.0, before_send=drop, before_send_transaction=drop)

app = FastAPI()
app.state.limiter = Limiter(key_func=get_remote_address, default_limits=["1000/minute"], headers_enabled=True)
app.add_api_route("/page", page)


@app.websocket("/rooms/{room}")
async def rooms(websocket: WebSocket) -> None:
    session: MutableMapping[str, Any] = websocket.scope["session"]
    session["room"] = websocket.path_params["room"]
    await websocket.accept()
    await websocket.send_json(
        {
            "user": websocket.user.display_name,
            "correlation id": correlation_id.get(),
            "request id": context["X-Request-ID"],
            "state": websocket.state.dispatched,
        }
    )
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app.add_middleware(UpgradeMiddleware, extend_server="UNATTACHED" not in os.environ)


@app.middleware("http")
async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
    request.state.dispatched = "yes"
    response = await call_next(request)
    response.headers["x-dispatched"] = str(response.status_code)
    return response


app.add_middleware(AuthenticationMiddleware, backend=Named())
app.add_middleware(SessionMiddleware, secret_key="test")
app.add_middleware(StarsessionsMiddleware, store=InMemoryStore(), cookie_name="stored", cookie_https_only=False)
app.add_middleware(CSRFMiddleware, secret="test")
app.add_middleware(SlowAPIMiddleware)
# These two send the start of a response again with each part of its body: right inside a `BaseHTTPMiddleware`, such as
# the last one, that is an error for whatever is streamed. Those that compress take it away.
app.add_middleware(SlowAPIASGIMiddleware)
app.add_middleware(ETagMiddleware, etag_generator=etag)
app.add_middleware(GZipMiddleware, minimum_size=0)
app.add_middleware(ASGIGZipMiddleware, minimum_size=0)
app.add_middleware(BrotliMiddleware, minimum_size=0)
app.add_middleware(ZstdMiddleware, minimum_size=0)
app.add_middleware(SecureASGIMiddleware, secure=Secure.with_default_headers())
app.add_middleware(CORSMiddleware, allow_origins=["*"])
app.add_middleware(RawContextMiddleware, plugins=(plugins.RequestIdPlugin(),))
app.add_middleware(CorrelationIdMiddleware, header_name="X-Correlation-ID")
Instrumentator(should_group_status_codes=False).instrument(app)
app.add_middleware(PrometheusMiddleware)
app.add_middleware(ExporterMiddleware, group_paths=True, prefix="exporter")
app.add_middleware(HTTPSRedirectMiddleware)
app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"])
FastAPIInstrumentor.instrument_app(app, tracer_provider=TracerProvider())

# It cannot copy an application, and so stands around this one.
behind_proxy = ProxyFixMiddleware(cast("Any", app))
