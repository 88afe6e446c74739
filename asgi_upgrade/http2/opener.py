"""Opens a stream for each request that a client sends, or says why there is none."""

from __future__ import annotations

import logging

import h2.errors
import h2.events
from starlette.types import ASGIApp

from asgi_upgrade.http2.ending import Ending
from asgi_upgrade.http2.engine import ServerConnection
from asgi_upgrade.http2.owner import Owner
from asgi_upgrade.http2.scope import MalformedRequestError, Request, ScopeTemplate
from asgi_upgrade.http2.stream import Stream
from asgi_upgrade.http2.table import StreamTable
from asgi_upgrade.http2.websocket import WebSocketStream

__all__ = ["Opener"]

logger = logging.getLogger("asgi_upgrade")

ErrorCodes = h2.errors.ErrorCodes


class Opener:
    """Decides what becomes of a request.

    Args:
        owner: The connection.
        app: The application.
        template: What the requests of the connection have in common.
        engine: Sends refusals.
        streams: What the connection serves.
        ending: Knows whether it serves more.
    """

    def __init__(
        self,
        *,
        owner: Owner,
        app: ASGIApp,
        template: ScopeTemplate,
        engine: ServerConnection,
        streams: StreamTable,
        ending: Ending,
    ) -> None:
        self._owner = owner
        self._app = app
        self._template = template
        self._engine = engine
        self._streams = streams
        self._ending = ending

    def open(self, event: h2.events.RequestReceived) -> bool:
        """Call the application for a request; ``False`` if it was refused."""
        stream_id = event.stream_id
        assert stream_id is not None
        streams = self._streams
        if not self._ending.opens or len(streams.running) >= self._owner.settings.max_concurrent_streams:
            # RFC 9113 section 8.7: the client may repeat it.
            self._engine.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return False
        try:
            request = Request(event.headers)
            method = request.pseudo[b"method"].decode("ascii")
            if self._owner.server.is_busy():
                return self._refuse(event, 503)
            stream: Stream
            if method != "CONNECT":
                stream = Stream(self._owner, stream_id, self._template.build(request, method))
            elif request.pseudo.get(b"protocol") == b"websocket":
                # RFC 8441 section 5: what is a GET in HTTP/1.1.
                stream = WebSocketStream(self._owner, stream_id, self._template.build(request, "GET"))
            else:
                return self._refuse(event, 501)
        except (MalformedRequestError, UnicodeDecodeError) as error:
            logger.debug("HTTP/2: %s", error)
            self._engine.reset_stream(stream_id, ErrorCodes.PROTOCOL_ERROR)
            return False
        streams.add(stream)
        stream.start(self._app)
        return True

    def _refuse(self, event: h2.events.RequestReceived, status: int) -> bool:
        """Answer without the application."""
        assert event.stream_id is not None
        headers = [(b":status", b"%d" % status), *self._owner.server.default_headers(), (b"content-length", b"0")]
        self._engine.send_headers(event.stream_id, headers, end_stream=True)
        if event.stream_ended is None:
            self._engine.reset_stream(event.stream_id, ErrorCodes.NO_ERROR)
        return False
