"""Reads long binary frames into buffers of our own, so that no copy of them is made on the way."""

from __future__ import annotations

import asyncio
from typing import Protocol

from asgi_upgrade.websocket.connection import Connection

__all__ = ["BulkReader"]

# Bytes that are read at once where a long frame may start: the less they are, the less is copied.
_START_SIZE = 4096


class Owner(Protocol):
    """The protocol of the connection, as far as it concerns a `BulkReader`."""

    def data_received(self, data: bytes) -> None:
        """Take bytes that belong to no long frame."""

    def bulk_received(self, size: int) -> None:
        """Take note of ``size`` bytes that were written to `Connection.bulk`."""

    def read_short_frames(self) -> None:
        """Read as usual again: the long frame has ended."""

    def eof_received(self) -> bool:
        """See asyncio."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""

    def pause_writing(self) -> None:
        """See asyncio."""

    def resume_writing(self) -> None:
        """See asyncio."""


class BulkReader(asyncio.BufferedProtocol):
    """Stands in for the protocol of a connection while long frames arrive.

    Args:
        owner: That protocol.
        connection: Its state machine.
    """

    def __init__(self, owner: Owner, connection: Connection) -> None:
        self._owner = owner
        self._connection = connection
        self._start = bytearray(_START_SIZE)

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        return self._connection.bulk or self._start

    def buffer_updated(self, nbytes: int) -> None:
        # A variable: what is known of the attribute does not hold any more after the call.
        bulk = self._connection.bulk
        if bulk is not None:
            self._owner.bulk_received(nbytes)
            return
        self._owner.data_received(bytes(self._start[:nbytes]))
        if self._connection.bulk is None:
            self._owner.read_short_frames()

    def eof_received(self) -> bool:
        return self._owner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._owner.pause_writing()

    def resume_writing(self) -> None:
        self._owner.resume_writing()
