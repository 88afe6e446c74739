"""What a WebSocket connection has carried, for observers and for the log."""

from __future__ import annotations

__all__ = ["Counts"]


class Counts:
    """The numbers of one connection. Whoever reads and writes adds to them.

    Attributes:
        messages_received: Messages that have come from the client, whether the application has taken them or not.
        bytes_received: Bytes that have come, as they were on the wire before TLS: frames with their headers, compressed
            where that was agreed, pings, pongs and the close frame too.
        pieces_sent: How many of the pieces that the `Connection` has encoded were written.
        bytes_sent: Bytes that were written, counted as those that have come.
    """

    __slots__ = ("bytes_received", "bytes_sent", "messages_received", "pieces_sent")

    def __init__(self) -> None:
        self.messages_received = 0
        self.bytes_received = 0
        self.pieces_sent = 0
        self.bytes_sent = 0
