"""`EdgeSettings`: how the server takes TLS and h2c, before the application is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgi_upgrade.http2.settings import H2CSettings
    from asgi_upgrade.tls.settings import TLSSettings

__all__ = ["EdgeSettings"]


@dataclass(frozen=True)
class EdgeSettings:
    """The upgrades that a server performs before it calls the application.

    The server keeps them (`asgi_upgrade.servers.uvicorn.edge`). A request in the clear that offers an upgrade, and no
    other, meets `asgi_upgrade.tls.upgrade.TLS` and then `asgi_upgrade.http2`'s ``H2C`` in
    front of the application, whichever of them there are settings for: see
    `asgi_upgrade.servers.uvicorn.upgrades`.
    They are ASGI applications made for this one request: they take the offer by the extension ``http.upgrade`` of its
    scope, or call the application inside. The scope is as the server made it, so its ``client`` is the peer of the
    connection, whatever a proxy says.

    Attributes:
        h2c: How to speak HTTP/2 with clients that ask for it (RFC 7540 §3.2), or ``None`` not to.
        tls: How to speak TLS with those that ask for that (RFC 2817), or ``None`` not to. Which requests are refused in
            the clear, the middleware refuses; the edge gives none of them to HTTP/2, where TLS cannot begin any more.
    """

    h2c: H2CSettings | None = None
    tls: TLSSettings | None = None

    def __bool__(self) -> bool:
        return self.h2c is not None or self.tls is not None
