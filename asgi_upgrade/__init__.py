"""HTTP Upgrade for ASGI: WebSockets that your HTTP middleware guards, and any other protocol (RFC 9110 §7.8)."""

from asgi_upgrade.middleware import UpgradeMiddleware
from asgi_upgrade.offer import OfferedProtocol, UpgradeOffer
from asgi_upgrade.websocket.bridge import HandshakeMiddleware
from asgi_upgrade.websocket.deflate import PerMessageDeflate

__all__ = [
    "HandshakeMiddleware",
    "OfferedProtocol",
    "PerMessageDeflate",
    "UpgradeMiddleware",
    "UpgradeOffer",
    "__version__",
]

__version__ = "0.1.0"
