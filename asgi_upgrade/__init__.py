"""HTTP Upgrade for ASGI: WebSockets that your HTTP middleware guards, and any other protocol (RFC 9110 §7.8)."""

import asgi_upgrade.system.logs  # noqa: F401 - what it does to the records of this package
from asgi_upgrade.handshake_middleware import HandshakeMiddleware
from asgi_upgrade.http.offer import OfferedProtocol, UpgradeOffer
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.middleware import UpgradeMiddleware
from asgi_upgrade.streams.response import UpgradeResponse
from asgi_upgrade.streams.stream import UpgradeAttribute, UpgradeStream
from asgi_upgrade.websocket.deflate import PerMessageDeflate
from asgi_upgrade.websocket.observer import ConnectionClosed, HandshakeEnded, Observer, OpenTotals, Outcome

__all__ = [
    "ConnectionClosed",
    "H2CSettings",
    "HandshakeEnded",
    "HandshakeMiddleware",
    "Observer",
    "OfferedProtocol",
    "OpenTotals",
    "Outcome",
    "PerMessageDeflate",
    "UpgradeAttribute",
    "UpgradeMiddleware",
    "UpgradeOffer",
    "UpgradeResponse",
    "UpgradeStream",
    "__version__",
]

__version__ = "0.1.0"
