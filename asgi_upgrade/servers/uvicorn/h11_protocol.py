"""uvicorn's h11 protocol with ``http.upgrade``.

h11 reads the body of a request that offers an upgrade like any other, and then stops until it is answered: nothing
behind it is mistaken for HTTP. So it also serves these requests, when they have a body, for the other parsers, which
give the connection here and get it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import h11
from uvicorn.protocols.http import h11_impl

from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.uvicorn.request import OfferingRequest
from asgi_upgrade.servers.uvicorn.upgrading_protocol import HOLD_LIMIT, UpgradingProtocol

__all__ = ["H11UpgradeProtocol", "Lender", "borrow"]


class Lender(Protocol):
    """A protocol with another parser, which is to get the connection back."""

    def take_back(self) -> None: ...

    @property
    def successor(self) -> Callable[[], Any]: ...


class H11UpgradeProtocol(UpgradingProtocol, h11_impl.H11Protocol):
    """An HTTP/1.1 connection read by h11."""

    lender: Lender | None = None
    _offer = False

    def _should_upgrade(self) -> bool:
        # uvicorn asks this about each request, right before it looks up the application to call.
        if b":" in self.scope["raw_path"]:
            self.read_absolute_form()
        self._offer = has_upgrade(self.headers)
        self.app = OfferingRequest(self) if self._offer else self.plain_app
        return False

    def on_response_complete(self) -> None:
        offer = self._offer
        self.let_go()
        super().on_response_complete()
        # A client that repeats its offer with each request, as Java's does, stays here. The first request without one
        # sends the connection back, once nothing of a next one has arrived.
        if (
            self.lender is not None
            and not offer
            and self.conn.our_state is h11.IDLE
            and not self.conn.trailing_data[0]
            and not self.transport.is_closing()
        ):
            self._unset_keepalive_if_required()
            self.connections.discard(self)
            self.lender.take_back()

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

    @property
    def successor(self) -> Callable[[], Any]:
        return super().successor if self.lender is None else self.lender.successor

    def release(self) -> bytes:
        self._unset_keepalive_if_required()
        data, _ = self.conn.trailing_data
        del self.conn, self.cycle.conn
        return data


def borrow(lender: Any, data: bytes) -> None:
    """Serve the connection of ``lender`` from ``data`` on, which starts with a request.

    Args:
        lender: An `UpgradingProtocol`, which has let go of what it held.
        data: What h11 reads first.
    """
    protocol = H11UpgradeProtocol(lender.config, lender.server_state, lender.app_state, lender.loop)
    protocol.lender = lender
    protocol.serve_with(lender.plain_app)
    lender._unset_keepalive_if_required()
    lender.connections.discard(lender)
    protocol.connection_made(lender.transport)
    if lender.flow.write_paused:
        protocol.flow.pause_writing()
    lender.transport.set_protocol(protocol)
    protocol.data_received(data)
