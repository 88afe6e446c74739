"""uvicorn's zttp protocol with ``http.upgrade``.

zttp does not give back what it was fed behind a request, so it is never fed more than that: data is cut behind each
empty line, where heads end, and what follows a request is held back until it is answered. A request that offers an
upgrade and has a body is read by h11, because only its parser knows where the body ends.
"""

from __future__ import annotations

import asyncio

import zttp
from uvicorn.protocols.http import auto_zttp_impl, zttp_impl
from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.uvicorn.h11_protocol import borrow
from asgi_upgrade.servers.uvicorn.head import request_head
from asgi_upgrade.servers.uvicorn.request import OfferingRequest
from asgi_upgrade.servers.uvicorn.upgrading_protocol import HOLD_LIMIT, UpgradingProtocol
from asgi_upgrade.switching.request import has_body

__all__ = ["AutoZttpUpgradeProtocol", "ZttpUpgradeProtocol"]

_HEAD_END = b"\r\n\r\n"


class ZttpUpgradeProtocol(UpgradingProtocol, zttp_impl.ZttpProtocol):
    """An HTTP/1.1 connection read by zttp."""

    _held = b""  # what arrived behind a request that has not been answered
    _tail = b""  # the last three bytes fed, which may be the start of an empty line
    _body = 0  # how much is missing of a body of known length, where no head can end
    _chunked = False  # the body is chunked
    _last_chunk = False  # what may be its last chunk has begun, so that it ends with the next empty line
    _head: bytes | None = None  # an offer that h11 shall read

    def _should_upgrade(self) -> bool:
        # uvicorn asks this about each request, right before it looks up the application to call.
        if b":" in self.scope["raw_path"]:
            self.read_absolute_form()
        offer = has_upgrade(self.headers)
        self.app = OfferingRequest(self) if offer else self.plain_app
        # uvicorn has asked zttp to read the head, which refuses a length that is not a number.
        self._body = next((int(value) for name, value in self.headers if name == b"content-length"), 0)
        self._last_chunk = False
        self._chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        return offer and has_body(self.headers)

    def handle_websocket_upgrade(self, event: zttp.Request) -> None:
        # Not only WebSocket: whatever `_should_upgrade` says yes to comes here.
        self._head = request_head(event.method, event.target, event.http_version, self.headers)

    def data_received(self, data: bytes) -> None:
        self._held += data
        self._feed_held()
        if len(self._held) > HOLD_LIMIT and self._is_answering():
            self.hold()

    def _feed_held(self) -> None:
        if not self._held or self._is_answering():
            return
        data = self._tail + self._held
        self._held = b""  # an eager task may answer while this feeds, which calls this again
        position = len(self._tail)
        while position < len(data) and not self._is_answering() and not self.transport.is_closing():
            if self._body:
                end = min(position + self._body, len(data))
                self._body -= end - position
            else:
                end = self._find_end(data, position)
            super().data_received(data[position:end])
            position = end
            if self._head is not None:
                break
        self._held = data[position:]
        self._tail = data[max(position - 3, 0) : position]
        self._lend()

    def _find_end(self, data: bytes, position: int) -> int:
        """Return where the head, or the chunked body, that is being read at ``position`` may end."""
        # Three bytes back, because an empty line may have begun in what was fed already.
        start = max(position - 3, 0)
        if self._chunked and not self._last_chunk and self.cycle is not None and self.cycle.more_body:
            # RFC 9112 §7.1: the last chunk's line begins with 0. Empty lines before it are not worth a cut.
            start = data.find(b"\n0", max(position - 1, 0))
            if start < 0:
                return len(data)
            self._last_chunk = True
        end = data.find(_HEAD_END, start)
        if end < 0:
            return len(data)
        self._last_chunk = False
        return end + len(_HEAD_END)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _lend(self) -> None:
        if self._head is not None:
            data = self._head + self._held
            self._head = None
            self._held = b""
            self._body = 0
            borrow(self, data)

    def on_response_complete(self) -> None:
        self.let_go()
        super().on_response_complete()
        self._lend()
        self._feed_held()

    def take_back(self) -> None:
        """Read the connection again after h11 did."""
        self.conn = zttp.Connection(zttp.SERVER)
        self._tail = b""
        self.connections.add(self)
        self.transport.set_protocol(self)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def release(self) -> bytes:
        self._unset_keepalive_if_required()
        held = self._held
        self._held = b""
        del self.conn, self.cycle.conn
        return held


class AutoZttpUpgradeProtocol(auto_zttp_impl.AutoZttpProtocol, UpgradingProtocol):
    """HTTP/1.1 or HTTP/2, decided by ALPN or by the first bytes; upgrades belong to HTTP/1.1."""

    def _switch(self, http2: bool, initial_data: bytes = b"") -> None:
        protocol_class: type[asyncio.Protocol] = ZttpH2Protocol if http2 else ZttpUpgradeProtocol
        protocol = protocol_class(self.config, self.server_state, self.app_state, self.loop)  # type: ignore[call-arg]
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if initial_data:
            protocol.data_received(initial_data)
