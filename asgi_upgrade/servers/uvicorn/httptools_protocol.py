"""uvicorn's httptools protocol with ``http.upgrade``.

httptools stops at the end of the head of a request that offers an upgrade, tells where that is, and would never deliver
the body. So another parser of its kind reads the body, and is fed nothing behind it. What follows the request is held
back until it is answered.
"""

from __future__ import annotations

import httptools
from uvicorn.protocols.http import httptools_impl

from asgi_upgrade.servers.uvicorn.body import BodyEnd
from asgi_upgrade.servers.uvicorn.head import match_absolute_form, replace_host, request_head
from asgi_upgrade.servers.uvicorn.request import OfferingRequest
from asgi_upgrade.servers.uvicorn.upgrading_protocol import HOLD_LIMIT, UpgradingProtocol
from asgi_upgrade.switching.request import has_body

__all__ = ["HttpToolsUpgradeProtocol"]


_FRAMING = {b"content-length", b"transfer-encoding"}
# Named, because `super` costs more, and this is what happens to each request.
_Plain = httptools_impl.HttpToolsProtocol


class _Body:
    """The body of a request that offers an upgrade, for the callbacks of uvicorn's protocol.

    Args:
        http: uvicorn's protocol, which has read the head.
    """

    def __init__(self, http: httptools_impl.HttpToolsProtocol) -> None:
        self._http = http
        self._end = BodyEnd(http.headers)
        self._is_complete = False
        self.on_body = http.on_body
        self._parser = httptools.HttpRequestParser(self)
        framing = [field for field in http.headers if field[0] in _FRAMING]
        self._parser.feed_data(request_head(b"POST", b"/", http.parser.get_http_version().encode(), framing))

    def on_message_complete(self) -> None:
        self._is_complete = True
        self._http.on_message_complete()

    def feed(self, data: bytes) -> bytes | None:
        """Read ``data``, and return what of it is behind the body, once that has ended.

        Raises:
            httptools.HttpParserError: This is no body.
        """
        try:
            taken = self._end.take(data)
        except ValueError as error:
            raise httptools.HttpParserError(str(error)) from None
        self._parser.feed_data(data[:taken])
        if self._is_complete != self._end.reached:
            raise httptools.HttpParserError("nobody knows where the body ends")
        return data[taken:] if self._is_complete else None


class HttpToolsUpgradeProtocol(UpgradingProtocol, httptools_impl.HttpToolsProtocol):
    """An HTTP/1.1 connection read by httptools."""

    _held: bytes | None = None  # what arrived behind an offer that has not been answered
    _body: _Body | None = None  # of an offer, until it has been read
    _serving_offer = False  # its head is being read

    def _should_upgrade(self) -> bool:
        # uvicorn asks in each callback of a request that offers an upgrade, and leaves it alone if we say yes. In the
        # first one it takes `app` next. CONNECT also stops the parser, but is not an upgrade.
        if self._serving_offer:
            return self._body is not None  # httptools calls the request whole, which has a body
        if self._body is not None or self.parser.get_method() == b"CONNECT":
            return False
        self._serving_offer = True
        self.app = OfferingRequest(self)
        if has_body(self.headers):
            self._body = _Body(self)
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
        if self._body is not None:
            self._read_body(self._body, data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse()
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self._unsupported_upgrade_warning()
            else:
                self._offer_arrived(data[upgrade.args[0] :])

    def _offer_arrived(self, rest: bytes) -> None:
        self._serving_offer = False
        self.app = self.plain_app
        if self._body is None:
            self._request_arrived(rest)
        else:
            self._read_body(self._body, rest)

    def _read_body(self, body: _Body, data: bytes) -> None:
        try:
            rest = body.feed(data)
        except httptools.HttpParserError:
            self._refuse()
            return
        if rest is not None:
            self._body = None
            self._request_arrived(rest)

    def _request_arrived(self, rest: bytes) -> None:
        self._held = rest
        if self.cycle.response_complete:
            self._go_on()
        else:
            self.cycle.on_response = self._on_answer

    def _refuse(self) -> None:
        self.logger.warning("Invalid HTTP request received.")
        self.send_400_response("Invalid HTTP request received.")

    def _on_answer(self) -> None:
        """Go on with what is held: the last request that has been read is answered."""
        self.on_response_complete()
        self._go_on()

    def _go_on(self) -> None:
        held = self._held
        if held is None or self.transport.is_closing():
            return
        self._held = None
        self.let_go()
        if held:
            self.data_received(held)

    def release(self) -> bytes:
        del self.parser
        return self._held or b""
