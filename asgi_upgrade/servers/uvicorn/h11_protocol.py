"""uvicorn's h11 protocol with ``http.upgrade``.

h11 stops behind a request until it is answered, and gives back what has arrived: nothing behind an offer is mistaken
for HTTP.
"""

from __future__ import annotations

from uvicorn.protocols.http import h11_impl

from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.uvicorn.request import OfferingRequest
from asgi_upgrade.servers.uvicorn.upgrading_protocol import HOLD_LIMIT, UpgradingProtocol

__all__ = ["H11UpgradeProtocol"]


class H11UpgradeProtocol(UpgradingProtocol, h11_impl.H11Protocol):
    """An HTTP/1.1 connection read by h11."""

    _offer = False

    def _should_upgrade(self) -> bool:
        # uvicorn asks this about each request, right before it looks up the application to call.
        if b":" in self.scope["raw_path"]:
            self.read_absolute_form()
        self._offer = has_upgrade(self.headers)
        self.app = OfferingRequest(self) if self._offer else self.plain_app
        return False

    def on_response_complete(self) -> None:
        self.let_go()
        super().on_response_complete()

    def handle_events(self) -> None:
        super().handle_events()
        cycle = self.cycle
        if self._offer and not cycle.more_body and not cycle.response_complete:
            # h11 keeps what comes behind the request. uvicorn would read no more after one byte of it, and so never
            # see the client's end; or it would read more each time that the application asks for a message.
            if len(self.conn.trailing_data[0]) > HOLD_LIMIT:
                self.hold()
            else:
                self.flow.resume_reading()

    def release(self) -> bytes:
        self._unset_keepalive_if_required()
        data, _ = self.conn.trailing_data
        del self.conn, self.cycle.conn
        return data
