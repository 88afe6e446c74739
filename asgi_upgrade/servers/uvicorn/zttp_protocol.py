"""uvicorn's zttp protocol with ``http.upgrade``.

zttp does not give back what it was fed behind a request, so it is never fed more than that: data is cut where a head
or a body may end, and what follows a request is held back until it is answered. A request that offers an upgrade and
has a body is read by h11, because only its parser knows where the body ends.
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

    _data = b""  # what was fed last, and what is held back
    _fed = 0  # where the latter begins
    _seek = 0  # where the next end is looked for: in what was fed, or beyond what has arrived
    _feeding = False
    _body = 0  # how much is missing of a body of known length, where no head can end
    _head: bytes | None = None  # an offer that h11 shall read

    def _should_upgrade(self) -> bool:
        # uvicorn asks this about each request, right before it looks up the application to call.
        if b":" in self.scope["raw_path"]:
            self.read_absolute_form()
        offer = has_upgrade(self.headers)
        self.app = OfferingRequest(self) if offer else self.plain_app
        if offer and has_body(self.headers):
            return True
        # zttp has read the head, and refuses a length that is not a number of 64 bits, and two that differ. Zeros may
        # come first, more of them than `int` takes.
        self._body = int(dict(self.headers).get(b"content-length", b"0")[-20:])
        return False

    def handle_websocket_upgrade(self, event: zttp.Request) -> None:
        # Not only WebSocket: whatever `_should_upgrade` says yes to comes here.
        self._head = request_head(event.method, event.target, event.http_version, self.headers)

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._feed()
        if len(self._data) > HOLD_LIMIT and self._is_answering():
            self.hold()

    def _feed(self) -> None:
        """Have zttp read what is held back, up to the end of a request, or of one after the other."""
        if self._feeding:  # an eager task has answered before zttp has gone on
            return
        self._feeding = True
        while self._fed < len(self._data) and self._is_reading():
            position = self._fed
            self._fed = self._find_end()
            super().data_received(self._data[position : self._fed])
        self._feeding = False
        done = min(self._seek, self._fed)
        self._data = self._data[done:]
        self._fed -= done
        self._seek -= done
        if self._head is not None:
            data = self._head + self._data[self._fed :]
            self._head = None
            self._data = b""
            self._fed = self._seek = 0
            borrow(self, data)

    def _find_end(self) -> int:
        """Return where the head, or the body, that is being read may end, or where the data ends."""
        size = len(self._data)
        if self._body:
            end = min(self._fed + self._body, size)
            self._body -= end - self._fed
            self._seek = end
            return end
        if self.cycle is not None and self.cycle.more_body:
            start = self._pass_chunks()
        else:
            start = self._seek
            self._seek = max(start, size - 3)  # the first bytes of an empty line may have come
        found = self._data.find(_HEAD_END, start)
        if found < 0:
            return size
        self._seek = found + len(_HEAD_END)
        return self._seek

    def _pass_chunks(self) -> int:
        """Seek the chunk that has not come whole; return where the line of the last one ends, or where the data ends.

        RFC 9112 §7.1: no body ends in the data of a chunk, and fields may come behind the last one, which is empty.
        """
        data, start, size = self._data, self._seek, len(self._data)
        fields = size
        while start < size and (end := data.find(b"\r\n", start)) >= 0:
            try:
                length = int(data[start:end].partition(b";")[0], 16)
            except ValueError:  # zttp refuses it, as it does what is a number for Python only
                break
            if length <= 0:
                fields = end
                break
            start = end + length + 4  # a line ends before the data, and one behind it
        self._seek = start
        return fields

    def _is_reading(self) -> bool:
        return self._head is None and not self._is_answering() and not self.transport.is_closing()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        self.let_go()
        super().on_response_complete()
        self._feed()

    def take_back(self) -> None:
        """Read the connection again after h11 did."""
        self.conn = zttp.Connection(zttp.SERVER)
        self.connections.add(self)
        self.transport.set_protocol(self)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def release(self) -> bytes:
        held = self._data[self._fed :]
        self._data = b""  # an eager task may do this while `_feed` goes on; uvicorn then asks `conn` for what is left
        del self.cycle.conn
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
