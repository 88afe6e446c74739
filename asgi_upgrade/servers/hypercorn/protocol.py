"""hypercorn's HTTP/1.1 protocol with ``http.upgrade``.

It differs only for requests that offer an upgrade: they are served as HTTP, WebSocket handshakes included, through an
`OfferingRequest`. h11 stops behind such a request until it is answered, and with it hypercorn's loop that reads the
socket: all that has arrived by then is in two buffers, and can be handed over with the transport.
"""

from __future__ import annotations

from weakref import WeakSet

import h11
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.hypercorn.request import OfferingRequest

__all__ = ["H11UpgradeProtocol", "extended"]

extended: WeakSet[Config] = WeakSet()
"""The configurations of the servers whose connections are extended."""


class H11UpgradeProtocol(H11Protocol):
    """An HTTP/1.1 connection of hypercorn that can be given away."""

    async def _create_stream(self, request: h11.Request) -> None:
        server = getattr(self.send, "__self__", None)
        if not (
            self.config in extended
            and isinstance(server, TCPServer)
            and request.http_version == b"1.1"  # RFC 9110 §7.8: an Upgrade field in HTTP/1.0 is ignored
            and request.method != b"CONNECT"
            and has_upgrade(list(request.headers))
        ):
            await super()._create_stream(request)
            return
        offering = OfferingRequest(self, server)
        self.stream = offering.stream = HTTPStream(
            offering,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        raw = self.config.h11_pass_raw_headers
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=request.headers.raw_items() if raw else list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()
