"""`HandshakeMiddleware`: the outermost layer on servers that deliver ``websocket`` scopes; makes handshakes of them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.guard.adapters import adapt_layers
from asgi_upgrade.guard.in_place import in_place
from asgi_upgrade.guard.outermost import Proof, prove_outermost
from asgi_upgrade.guard.refusals import refuse_unguarded, report_unguarded
from asgi_upgrade.system.checks import check_flag
from asgi_upgrade.websocket.bridge import CONVERTED, Bridge

__all__ = ["HandshakeMiddleware"]


class HandshakeMiddleware:
    """Shows the handshakes to HTTP middleware on a server that delivers ``websocket`` scopes.

    Put it outermost of all, on any ASGI server:

        app = HandshakeMiddleware(HTTPMiddleware(UpgradeMiddleware(app)))

    Starlette and FastAPI applications need it in two cases only: something stands around the application, or this
    package does not know the server. In all other cases `UpgradeMiddleware` does the same by itself.

    If the server has the denial response extension (``websocket.http.response``), a refusal reaches the client with its
    status, headers and body. If it does not have it, the client gets 403.

    Args:
        app: The application, with `UpgradeMiddleware` somewhere inside.
        insecure_allow_unguarded: Whether to serve WebSockets even if another layer stands around this one. That layer
            has seen no handshakes. Default: ``False``, they are refused with 503.

    Raises:
        ValueError: ``insecure_allow_unguarded`` is no bool.
    """

    def __init__(self, app: ASGIApp, *, insecure_allow_unguarded: bool = False) -> None:
        self.app = adapt_layers(app, None)
        self._allow_unguarded = check_flag("insecure_allow_unguarded", insecure_allow_unguarded)
        self._reported = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket as an HTTP request; let everything else pass."""
        if scope["type"] != "websocket" or CONVERTED in scope:
            await self.app(scope, receive, send)
        elif self._allow_unguarded or prove_outermost(self, receive, send) is not Proof.DISPROVEN:
            # Who puts it outermost says that it is; only something that is seen to stand around it speaks against that.
            await Bridge(scope, receive, send).run(in_place(self.app))
        else:
            if not self._reported:
                self._reported = True
                report_unguarded(self)
            await refuse_unguarded(scope, receive, send)
