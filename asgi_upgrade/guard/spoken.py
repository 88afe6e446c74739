"""The argument ``protocols`` of `UpgradeMiddleware`: which handler takes a request, and where in the application."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.guard.gate import Taker
from asgi_upgrade.guard.leaves import held
from asgi_upgrade.guard.policy import App, HandshakePolicy
from asgi_upgrade.guard.refusals import name_of
from asgi_upgrade.streams.handlers import Handler, ProtocolTable, run_handler
from asgi_upgrade.streams.settings import StreamSettings
from asgi_upgrade.switching.extension import get_extension
from asgi_upgrade.switching.response import report_no_extension
from asgi_upgrade.websocket.bridge import get_bridge

__all__ = ["SpokenProtocols"]

logger = logging.getLogger("asgi_upgrade")


class SpokenProtocols:
    """Speaks the protocols of a middleware: behind the last middleware of its application, if that is known.

    Args:
        protocols: The argument of `UpgradeMiddleware`.
        streams: Limits and times of their connections.
        policy: The middleware.

    Attributes:
        exist: Whether there are any.

    Raises:
        ValueError: A protocol or a handler is no such thing; the message names it.
    """

    def __init__(
        self, protocols: Mapping[str, Handler] | None, streams: StreamSettings, policy: HandshakePolicy
    ) -> None:
        self._table = ProtocolTable({} if protocols is None else protocols)
        self._settings = streams
        self._policy = policy
        self._placed = not self._table  # whether it is decided who speaks them
        self._delegates = False  # a `Taker` further inside does
        self._reported = False
        self.exist = bool(self._table)

    def come_first(self, scope: Scope) -> bool:
        """Tell whether a request offers one of them before WebSocket, on a server that can switch to it."""
        return get_bridge(scope) is None and self._table.come_first(scope)

    def place(self, scope: Scope) -> bool:
        """Decide where they are spoken, if that is open. Tell whether a `Taker` further inside does it.

        Args:
            scope: The first request that offers one, or the lifespan.
        """
        if self._placed:
            return self._delegates
        application = self._policy.application(scope)
        if application is not None:
            router = application.router
            router.middleware_stack = Taker(router.middleware_stack, self.take)
            self._delegates = True
        elif not self._reported and held(self._policy.app):
            self._reported = True
            logger.warning(
                "%s stands inside UpgradeMiddleware and will not see requests that offer %s.",
                name_of(self._policy.app),
                " or ".join(self._table.names),
            )
        self._placed = scope["type"] != "lifespan" or application is not None
        return self._delegates

    async def take(self, scope: Scope, receive: Receive, send: Send, app: ASGIApp) -> Any:
        """Serve a request that has come to where they are spoken: speak one of them, or go on with ``app``."""
        if not self.come_first(scope):
            return await app(scope, receive, send)
        if await self._speak(scope, send):
            return None
        served: App = self._policy.pass_on(scope, app)
        return await served(scope, receive, send)

    async def _speak(self, scope: Scope, send: Send) -> bool:
        """Serve a request that offers one of them. ``False`` if there is none, or WebSocket comes first."""
        selected = await self._table.select(scope)
        if selected is None:
            return False
        offered, handler = selected
        extension = get_extension(scope)
        if extension is None:
            report_no_extension(scope, str(offered))
            return False
        await run_handler(handler, scope, send, extension=extension, protocol=str(offered), settings=self._settings)
        return True
