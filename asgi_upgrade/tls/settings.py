"""The settings of TLS on a connection that began in the clear."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from asgi_upgrade.system.checks import check_seconds

__all__ = ["TLSSettings", "check_tls"]


@dataclass(frozen=True)
class TLSSettings:
    """How to speak TLS with clients that ask for it with ``Upgrade: TLS/1.2`` or a similar protocol (RFC 2817).

    Attributes:
        context: The `ssl.SSLContext` for TLS. It must be for the server's side, and have a certificate.
        required: Whether requests without TLS are refused with 426 (RFC 2817 §4.2). A function ``(scope) -> bool``
            decides for each request. Default: ``False``.
        handshake_timeout: Seconds that the TLS handshake may take, from the 101 on. Default: 20.

    Raises:
        ValueError: A value is out of range; the message names it.
    """

    context: ssl.SSLContext
    required: bool | Callable[[Scope], bool] = False
    handshake_timeout: float = 20.0

    def __post_init__(self) -> None:
        if not isinstance(self.context, ssl.SSLContext) or self.context.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise ValueError(
                "TLSSettings.context must be an ssl.SSLContext for the server's side (ssl.PROTOCOL_TLS_SERVER), not "
                f"{self.context!r}"
            )
        if not isinstance(self.required, bool) and not callable(self.required):
            raise ValueError(f"TLSSettings.required must be a bool or a predicate on the scope, not {self.required!r}")
        check_seconds(self, "handshake_timeout")

    def refuses(self, scope: Scope) -> bool:
        """Tell whether a request is refused if it comes in the clear.

        Args:
            scope: The request.
        """
        return self.required if isinstance(self.required, bool) else self.required(scope)


def check_tls(tls: TLSSettings | None) -> TLSSettings | None:
    """Return the argument ``tls`` of `UpgradeMiddleware`.

    Raises:
        ValueError: It is something else.
    """
    if tls is not None and not isinstance(tls, TLSSettings):
        raise ValueError(f"tls must be TLSSettings or None, not {tls!r}")
    return tls
