"""The settings of the two upgrades that concern a connection and not a resource. The server's edge takes them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.types import Scope

if TYPE_CHECKING:
    from asgi_upgrade.http2.settings import H2CSettings

__all__ = ["EdgeSettings", "check_h2c", "check_tls", "check_tls_required"]


@dataclass(frozen=True)
class EdgeSettings:
    """Which upgrades the server's edge performs before it calls the application.

    The edge keeps these settings for each connection (``UpgradingProtocol.settings``). A request in the clear that
    offers an upgrade, and no other, meets `asgi_upgrade.tls.upgrade.TLS` and then `asgi_upgrade.http2`'s ``H2C`` in
    front of the application, whichever of them there are settings for: see
    `asgi_upgrade.servers.uvicorn.request`.
    They are ASGI applications made for this one request: they take the offer by the extension ``http.upgrade`` of its
    scope, or call the application inside. The scope is as the server made it, so its ``client`` is the peer of the
    connection, whatever a proxy says.

    Attributes:
        h2c: How to speak HTTP/2 with clients that ask for it (RFC 7540 §3.2), or ``None`` not to.
        tls: What to speak TLS with (RFC 2817), or ``None`` not to.
        tls_required: Tells which requests are refused in the clear. The middleware refuses them; the edge gives none of
            them to HTTP/2, where TLS cannot begin any more.
        open_timeout: Seconds that the switch to TLS, and then its handshake, may take.
    """

    h2c: H2CSettings | None = None
    tls: ssl.SSLContext | None = None
    tls_required: Callable[[Scope], bool] | None = None
    open_timeout: float = 20.0

    def __bool__(self) -> bool:
        return self.h2c is not None or self.tls is not None


def check_h2c(h2c: bool | Sequence[str] | H2CSettings) -> H2CSettings | None:
    """Return the argument ``h2c`` of `UpgradeMiddleware`, as `EdgeSettings` has it.

    Raises:
        ValueError: It is neither a bool nor networks, or the package h2 is missing.
    """
    if h2c is False:
        return None
    from asgi_upgrade.http2.settings import parse_h2c

    try:
        return parse_h2c(h2c)
    except ImportError as error:
        raise ValueError(str(error)) from None


def check_tls(tls: ssl.SSLContext | None) -> ssl.SSLContext | None:
    """Return the argument ``tls`` of `UpgradeMiddleware`.

    Raises:
        ValueError: It is no context for the server's side.
    """
    if tls is not None and (not isinstance(tls, ssl.SSLContext) or tls.protocol == ssl.PROTOCOL_TLS_CLIENT):
        raise ValueError(f"tls must be an ssl.SSLContext for the server's side (ssl.PROTOCOL_TLS_SERVER), not {tls!r}")
    return tls


def check_tls_required(
    tls_required: bool | Callable[[Scope], bool], tls: ssl.SSLContext | None
) -> Callable[[Scope], bool] | None:
    """Return the argument ``tls_required`` of `UpgradeMiddleware` as a predicate, ``None`` if it requires nothing.

    Raises:
        ValueError: It is neither a bool nor callable, or there is no ``tls`` to require.
    """
    if tls_required is False:
        return None
    if tls_required is not True and not callable(tls_required):
        raise ValueError(f"tls_required must be a bool or a predicate on the scope, not {tls_required!r}")
    if tls is None:
        raise ValueError("tls_required needs tls, what to speak TLS with")
    return _always if tls_required is True else tls_required


def _always(scope: Scope) -> bool:  # noqa: ARG001 - a predicate
    return True
