"""The application under `UpgradeMiddleware` with TLS that may begin on plain connections. All its logs are shown."""

import logging
import os
import ssl

from anyio.streams.tls import TLSAttribute
from notes import note
from plain import app as application
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade import TLSSettings, UpgradeMiddleware, UpgradeStream

logging.basicConfig(format="%(levelname)s: %(name)s: %(message)s")
logging.getLogger("asgi_upgrade").setLevel(logging.DEBUG)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.environ["CERTFILE"], os.environ["KEYFILE"])

careless = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
careless.load_cert_chain(os.environ["CERTFILE"], os.environ["KEYFILE"])
careless.set_alpn_protocols(["h2", "http/1.1"])


certifying = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
certifying.load_cert_chain(os.environ["CERTFILE"], os.environ["KEYFILE"])
certifying.load_verify_locations(os.environ.get("CAFILE", os.environ["CERTFILE"]))
certifying.verify_mode = ssl.CERT_REQUIRED
optional = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
optional.load_cert_chain(os.environ["CERTFILE"], os.environ["KEYFILE"])
optional.load_verify_locations(os.environ.get("CAFILE", os.environ["CERTFILE"]))
optional.verify_mode = ssl.CERT_OPTIONAL


class Noting:
    """HTTP middleware that counts what passes it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            note(scope, "passed", scheme=scope["scheme"], tls=scope.get("extensions", {}).get("tls"))
        await self.app(scope, receive, send)


async def echo(stream: UpgradeStream) -> None:
    await stream.send(stream.extra(TLSAttribute.tls_version).encode() + b"\n")
    async for data in stream:
        await stream.send(data)


def is_private(scope: Scope) -> bool:
    return bool(scope["path"].startswith("/private"))


app = Noting(UpgradeMiddleware(application, tls=TLSSettings(context), protocols={"echo": echo}))
impatient = UpgradeMiddleware(application, tls=TLSSettings(context, handshake_timeout=0.5))
advertising_h2 = UpgradeMiddleware(application, tls=TLSSettings(careless))
required = Noting(UpgradeMiddleware(application, tls=TLSSettings(context, required=True)))
certified = Noting(UpgradeMiddleware(application, tls=TLSSettings(certifying)))
certified_and_required = Noting(UpgradeMiddleware(application, tls=TLSSettings(certifying, required=True)))
certified_if_they_like = Noting(UpgradeMiddleware(application, tls=TLSSettings(optional)))
private = Noting(UpgradeMiddleware(application, tls=TLSSettings(context, required=is_private)))
unattached = UpgradeMiddleware(application, tls=TLSSettings(context, required=True), extend_server=False)
inside = Starlette(routes=[Mount("/", application)])
inside.add_middleware(UpgradeMiddleware, tls=TLSSettings(context))
