"""An `UpgradeStream` whose transport is in memory: the test is the client, and what is not taken stays unsent."""

from __future__ import annotations

import asyncio
from typing import Any

from asgi_upgrade import UpgradeStream
from asgi_upgrade.streams.protocol import StreamProtocol
from asgi_upgrade.streams.settings import StreamSettings
from tests.unit.http2.pair import Wire as PlainWire

__all__ = ["Wire", "open_stream"]


class Wire(PlainWire):
    """The server's transport, which tells whose it is, and may be told twice to read on, as asyncio's may."""

    def get_protocol(self) -> Any:
        return self.protocol

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def resume_reading(self) -> None:
        if not self.reading:
            super().resume_reading()


def open_stream(*, half_close: bool = True, **settings: Any) -> tuple[UpgradeStream, StreamProtocol, Wire]:
    """A stream on a connection that has just been switched."""
    wire = Wire()
    wire.can_end = half_close
    protocol = wire.protocol = StreamProtocol(StreamSettings(**settings), asyncio.get_running_loop())
    protocol.connection_made(wire)
    return UpgradeStream(protocol, {"type": "http"}, "example/1"), protocol, wire
