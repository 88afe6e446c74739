"""uvicorn's zttp protocol with ``http.upgrade``.

zttp does not give back what it was fed behind a request, so it is never fed more than that: data is cut behind an empty
line, where a head ends, and where a body ends. What follows a request is held back until it is answered.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http import auto_zttp_impl, zttp_impl
from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.uvicorn.body import BodyEnd
from asgi_upgrade.servers.uvicorn.request import OfferingRequest
from asgi_upgrade.servers.uvicorn.upgrading_protocol import HOLD_LIMIT, UpgradingProtocol
from asgi_upgrade.switching.request import has_body

__all__ = ["AutoZttpUpgradeProtocol", "ZttpUpgradeProtocol"]

_HEAD_END = b"\r\n\r\n"


class ZttpUpgradeProtocol(UpgradingProtocol, zttp_impl.ZttpProtocol):
    """An HTTP/1.1 connection read by zttp."""

    # The three bytes that were fed last, which may be the start of an empty line, and what is held back.
    _data = bytes(3)
    _fed = 3  # where the latter begins
    _feeding = False
    _body: BodyEnd | None = None  # of the request that is being read, where no head can end

    def _should_upgrade(self) -> bool:
        # uvicorn asks this about each request, right before it looks up the application to call.
        if b":" in self.scope["raw_path"]:
            self.read_absolute_form()
        self.app = OfferingRequest(self) if has_upgrade(self.headers) else self.plain_app
        self._body = BodyEnd(self.headers) if has_body(self.headers) else None
        return False

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
            self._fed = self._find_end(position)
            super().data_received(self._data[position : self._fed])
        self._feeding = False
        self._data = self._data[self._fed - 3 :]
        self._fed = 3

    def _find_end(self, position: int) -> int:
        """Return where the head, or the body, that is being read at ``position`` may end."""
        if self._body is not None:
            try:
                taken = self._body.take(self._data[position:])
            except ValueError:
                return len(self._data)  # zttp refuses it
            if self._body.reached:
                self._body = None
            return position + taken
        # Three bytes back, because an empty line may have begun in what was fed already.
        found = self._data.find(_HEAD_END, position - 3)
        return len(self._data) if found < 0 else found + len(_HEAD_END)

    def _is_reading(self) -> bool:
        return not self._is_answering() and not self.transport.is_closing()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        self.let_go()
        super().on_response_complete()
        self._feed()

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
