"""`H2C`: an ASGI application that takes an offer of ``h2c`` (RFC 7540 §3.2), in front of the user's application."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_upgrade.http2.connection import HTTP2Protocol
from asgi_upgrade.http2.first import FirstRequest
from asgi_upgrade.http2.offer import read_offer
from asgi_upgrade.http2.scope import ScopeTemplate
from asgi_upgrade.http2.server import ServerSide
from asgi_upgrade.http2.settings import H2CSettings
from asgi_upgrade.switching.extension import UpgradeExtension, get_extension
from asgi_upgrade.switching.request import has_body
from asgi_upgrade.switching.response import send_101

__all__ = ["H2C"]


class H2C:
    """ASGI application that goes on with HTTP/2 where a client offers that (RFC 7540 section 3.2).

    It stands outermost, right behind a server that offers ``http.upgrade``. A request that makes no offer, or one that
    is not taken, is passed on as it is.

    Args:
        app: The application.
        settings: Who may upgrade, limits and times.
        server: What the server does for each request.
    """

    def __init__(self, app: ASGIApp, settings: H2CSettings, server: ServerSide) -> None:
        self.app = app
        self._settings = settings
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and the HTTP/2 connection that it may lead to."""
        extension = get_extension(scope)
        offer = read_offer(scope) if extension is not None else None
        if extension is None or offer is None or not self._settings.admits(scope.get("client")):
            return await self.app(scope, receive, send)
        template = ScopeTemplate(scope)
        protocol = HTTP2Protocol(
            self.app, template=template, client_settings=offer, settings=self._settings, server=self._server
        )
        request = template.first()
        if not has_body(scope["headers"]):
            stream = protocol.open_first(request, body_given=False)
            if await _switch(protocol, extension, send):
                stream.start(self.app)
                await protocol.wait_closed()
            return None
        first = FirstRequest(self.app, request, receive, send)
        try:
            if await first.read():
                stream = protocol.open_first(request, body_given=True)
                if await _switch(protocol, extension, send):
                    stream.start(first.join)
                    first.continue_on(stream)
                    await protocol.wait_closed()
                    return None
            first.stay()
            await first.task
        except asyncio.CancelledError:
            first.task.cancel()
            with suppress(BaseException):
                await first.task
            raise


async def _switch(protocol: HTTP2Protocol, extension: UpgradeExtension, send: Send) -> bool:
    """Answer with 101. ``False`` if the client has gone."""
    switched = extension["connect"](protocol, [(b"upgrade", b"h2c")])
    await send_101(send, ())
    return await switched
