"""What uvicorn's HTTP protocols have in common once they offer ``http.upgrade``."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from uvicorn.config import Config

from asgi_upgrade.http.offer import has_upgrade
from asgi_upgrade.servers.uvicorn.head import match_absolute_form, replace_host

__all__ = ["HOLD_LIMIT", "UpgradingProtocol"]

# Bytes that may arrive behind a request that is being answered before reading pauses. One read more may be held.
HOLD_LIMIT = 64 * 1024


class UpgradingProtocol:
    """Mixed into uvicorn's HTTP protocols, in front of them.

    Each request that offers an upgrade is served by an ``OfferingRequest``. If a 101 reaches that, it writes it and
    gives the transport away; otherwise the request is answered as any other.

    Attributes:
        stopping: uvicorn has begun to shut down.
        half_closed: The client has sent all it will send, behind a request that offers an upgrade.
    """

    # Set by uvicorn's protocols, which have no common base class.
    access_log: bool
    access_logger: logging.Logger
    app: Any
    app_state: dict[str, Any]
    config: Config
    connections: set[Any]
    cycle: Any
    flow: Any
    headers: list[tuple[bytes, bytes]]
    logger: logging.Logger
    loop: asyncio.AbstractEventLoop
    root_path: str
    scope: Any
    server_state: Any
    tasks: set[asyncio.Task[None]]
    transport: asyncio.Transport

    # Defaults of the class, and no `__init__`: beyond 30 attributes CPython does not let instances share their names,
    # which takes a kilobyte of each connection and time of each request. uvicorn sets 28.
    stopping = False
    half_closed = False
    _plain_app: Any = None

    @property
    def plain_app(self) -> Any:
        """The application for a request that offers nothing; ``app`` is called for the next one."""
        return self.config.loaded_app if self._plain_app is None else self._plain_app

    def serve_with(self, app: Any) -> None:
        """Call ``app`` for all requests from now on."""
        self.app = self._plain_app = app

    def shutdown(self) -> None:
        self.stopping = True
        super().shutdown()  # type: ignore[misc]
        offering = getattr(self.cycle, "offering", None)
        if offering is not None:
            offering.tell_shutdown()

    def send_400_response(self, msg: str) -> None:
        # asyncio's TLS delivers what it has decrypted even after the connection was closed.
        if not self.transport.is_closing():
            super().send_400_response(msg)  # type: ignore[misc]

    def eof_received(self) -> Any:  # uvicorn declares None; asyncio closes the connection unless this is true
        """Keep the connection, which uvicorn would close now, where what follows HTTP may need only one direction."""
        cycle = self.cycle
        self.half_closed = (
            cycle is not None
            and not cycle.more_body
            and not cycle.response_started
            and has_upgrade(cycle.scope["headers"])
            and self.transport.can_write_eof()
        )
        if self.half_closed:
            cycle.message_event.set()  # for `OfferingRequest.receive`
        return self.half_closed

    def read_absolute_form(self) -> None:
        """Have the scope of a request say what the absolute form of its target says.

        RFC 9112 §3.2.2: the authority in it is the one that counts, whatever Host says. Who checks Host must not be
        told another one than who serves the request. uvicorn takes such a target for a path.
        """
        scope, root_path = self.scope, self.root_path
        form = match_absolute_form(scope["raw_path"][len(root_path) :])
        if form is not None:
            authority, path = form.groups()
            path = path or (b"*" if scope["method"] == "OPTIONS" else b"/")  # §3.2.4
            scope["path"] = root_path + unquote(path.decode("ascii"))
            scope["raw_path"] = root_path.encode("ascii") + path
            replace_host(self.headers, authority)

    def hold(self) -> None:
        """Read no more until `let_go`: enough waits behind the request that is being answered.

        uvicorn's ``receive`` would resume reading, to learn whether the client has gone: so that waits, too.
        """
        self.flow.pause_reading()
        self.flow.resume_reading = _read_nothing

    def let_go(self) -> None:
        """Read again, because what was held goes on."""
        flow = self.flow
        if flow.read_paused:
            flow.__dict__.pop("resume_reading", None)
            if not self.transport.is_closing():
                flow.resume_reading()

    @property
    def successor(self) -> Callable[[], Any]:
        """Makes a protocol for the same connection, like the one that it began with."""
        kind: Any = type(self)
        return partial(kind, self.config, self.server_state, self.app_state, self.loop)

    @abstractmethod
    def release(self) -> bytes:
        """Stop being the protocol of this connection; return what has arrived behind the request."""


def _read_nothing() -> None:
    """In place of ``FlowControl.resume_reading``. A function of its own, which refers to nobody."""
