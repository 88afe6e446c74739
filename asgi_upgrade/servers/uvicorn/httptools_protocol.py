"""uvicorn's httptools protocol with ``http.upgrade``.

httptools stops at the end of the head of a request that offers an upgrade, and tells where that is. A request without
a body is whole then, and is served here: what follows is held back until it is answered. httptools would never
deliver the body of one that has a body, so h11 reads that request instead.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http import httptools_impl

from asgi_upgrade.servers.uvicorn.h11_protocol import borrow
from asgi_upgrade.servers.uvicorn.head import match_absolute_form, replace_host, request_head
from asgi_upgrade.servers.uvicorn.request import OfferingRequest
from asgi_upgrade.servers.uvicorn.upgrading_protocol import HOLD_LIMIT, UpgradingProtocol
from asgi_upgrade.switching.request import has_body

__all__ = ["HttpToolsUpgradeProtocol"]


# Named, because `super` costs more, and this is what happens to each request.
_Plain = httptools_impl.HttpToolsProtocol


class HttpToolsUpgradeProtocol(UpgradingProtocol, httptools_impl.HttpToolsProtocol):
    """An HTTP/1.1 connection read by httptools."""

    _held: bytes | None = None  # what arrived behind an offer that has not been answered
    _head: bytes | None = None  # that offer, if h11 shall read it
    _serving_offer = False

    def _should_upgrade(self) -> bool:
        # uvicorn asks in each callback of a request that offers an upgrade, and leaves it alone if we say yes. In the
        # first one it takes `app` next. CONNECT also stops the parser, but is not an upgrade.
        if self._serving_offer or self.parser.get_method() == b"CONNECT":
            return False
        if has_body(self.headers):
            return True  # `_offer_arrived` has h11 read it
        self._serving_offer = True
        self.app = OfferingRequest(self)
        return False

    def on_headers_complete(self) -> None:
        if self.url[:1] == b"/":
            _Plain.on_headers_complete(self)
            return
        if self.url != b"*" or self.parser.get_method() != b"OPTIONS":
            form = match_absolute_form(self.url)
            if form is not None:
                replace_host(self.headers, form[1])  # see `read_absolute_form`; uvicorn drops it
            _Plain.on_headers_complete(self)
            return
        # RFC 9112 §3.2.4, the form that names the server and no resource: `httptools.parse_url` does not know it.
        self.url = b"/"
        super().on_headers_complete()
        self.url = b"*"
        self.scope["path"] = self.root_path + "*"
        self.scope["raw_path"] = self.root_path.encode("ascii") + b"*"

    def data_received(self, data: bytes) -> None:
        if self._held is not None:
            self._held += data
            if len(self._held) > HOLD_LIMIT:
                self.hold()
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self._unsupported_upgrade_warning()
            else:
                self._offer_arrived(data[upgrade.args[0] :])

    def _offer_arrived(self, rest: bytes) -> None:
        self._held = rest
        if self._serving_offer:
            self._serving_offer = False
            self.app = self.plain_app
            if not self.cycle.response_complete:
                self.cycle.on_response = self._on_answer
            else:
                self._go_on()
            return
        self._head = request_head(
            self.parser.get_method(), self.url, self.parser.get_http_version().encode(), self.headers
        )
        if self.cycle is None or self.cycle.response_complete:
            self._go_on()
        else:
            self.cycle.on_response = self._on_answer

    def _on_answer(self) -> None:
        """Go on with what is held: the last request that has been read is answered."""
        self.on_response_complete()
        self._go_on()

    def _go_on(self) -> None:
        held, head = self._held, self._head
        if held is None or self.transport.is_closing():
            return
        self._held = self._head = None
        self.let_go()
        if head is not None:
            borrow(self, head + held)
        elif held:
            self.data_received(held)

    def take_back(self) -> None:
        """Read the connection again after h11 did."""
        self.connections.add(self)
        self.transport.set_protocol(self)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def release(self) -> bytes:
        del self.parser
        return self._held or b""
