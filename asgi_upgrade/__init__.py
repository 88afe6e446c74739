"""HTTP Upgrade for ASGI: WebSockets that your HTTP middleware guards, and any other protocol (RFC 9110 §7.8)."""

import asgi_upgrade.system.logs  # noqa: F401 - what it does to the records of this package
from asgi_upgrade.handshake_middleware import HandshakeMiddleware
from asgi_upgrade.http.offer import OfferedProtocol, UpgradeOffer
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.middleware import UpgradeMiddleware
from asgi_upgrade.streams.handlers import Handler
from asgi_upgrade.streams.response import UpgradeResponse
from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.streams.stream import UpgradeAttribute, UpgradeStream
from asgi_upgrade.tls.settings import TLSSettings
from asgi_upgrade.websocket.compiled import compiled
from asgi_upgrade.websocket.deflate import PerMessageDeflate
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.observer import ConnectionClosed, HandshakeEnded, Observer, OpenTotals, Outcome
from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = [
    "ClientDisconnected",
    "ConnectionClosed",
    "H2CSettings",
    "Handler",
    "HandshakeEnded",
    "HandshakeMiddleware",
    "Observer",
    "OfferedProtocol",
    "OpenTotals",
    "Outcome",
    "PerMessageDeflate",
    "StreamSettings",
    "TLSSettings",
    "UpgradeAttribute",
    "UpgradeMiddleware",
    "UpgradeOffer",
    "UpgradeResponse",
    "UpgradeStream",
    "WebSocketSettings",
    "__version__",
    "compiled",
]

__version__ = "0.1.0"
