"""What is measured: one row for each kind of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks import messages

BROWSER_OFFER = "permessage-deflate; client_max_window_bits"
STATELESS_OFFER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
IDLE_CONNECTIONS = 5000
MIB = 1 << 20
SEGMENT = 16 * 1024  # bytes; with much smaller ones, the client that writes them becomes what is measured


@dataclass(frozen=True)
class Row:
    """One kind of work; ``mode`` is the load generator's, see ``load/main.c``."""

    key: str
    title: str
    mode: str = "echo"
    unit: str = "msg/s"
    connections: int = 1
    depth: int = 1
    size: int = 32  # bytes in a message
    json: bool = False  # different JSON texts of about 1 KiB in place of `size` letters
    text: bool = False
    offer: str | None = None  # of Sec-WebSocket-Extensions; messages then go out compressed
    segment: int | None = None  # most bytes that the client writes at once
    app: str = "plain"
    only: Sequence[str] = ()  # the servers that take part; empty: all
    fresh_servers: bool = False  # started anew for each round: two processes of the same server differ by some percent

    @property
    def more_is_better(self) -> bool:
        """Whether a larger figure is the better one."""
        return self.mode != "idle"

    @cached_property
    def messages(self) -> list[bytes]:
        """The messages that are sent in turn."""
        return messages.json_documents() if self.json else messages.letters(self.size)

    def frames(self) -> bytes:
        """The messages as client frames."""
        deflate = self.offer is not None
        return b"".join(messages.client_frame(message, text=self.text, deflate=deflate) for message in self.messages)


ROWS = (
    Row("lockstep", "32 connections, lock-step, 32 bytes", connections=32),
    Row("pipelined", "8 connections, 16 in flight each, 32 bytes", connections=8, depth=16),
    Row("16k", "32 connections, lock-step, 16 KiB", connections=32, size=16384),
    Row("1m", "4 connections, lock-step, 1 MiB", connections=4, size=MIB),
    Row(
        "1m-segments",
        "4 connections, lock-step, 1 MiB in pieces of 16 KiB",
        connections=4,
        size=MIB,
        segment=SEGMENT,
    ),
    Row(
        "starlette",
        "32 connections, lock-step, 32 bytes of text through Starlette's WebSocket",
        connections=32,
        text=True,
        app="through_starlette",
    ),
    Row(
        "deflate",
        "32 connections, lock-step, 1 KiB of JSON, permessage-deflate as browsers offer it",
        connections=32,
        json=True,
        text=True,
        offer=BROWSER_OFFER,
    ),
    Row(
        "deflate-stateless",
        "32 connections, lock-step, 1 KiB of JSON, permessage-deflate without context takeover",
        connections=32,
        json=True,
        text=True,
        offer=STATELESS_OFFER,
    ),
    Row("sessions", "handshake, one echo, close; one after the other", mode="sessions", unit="sessions/s"),
    Row("idle", "memory of an idle connection, 5,000 open", mode="idle", unit="KiB", connections=IDLE_CONNECTIONS),
    Row(
        "idle-deflate",
        "memory of an idle connection, 5,000 open, permessage-deflate offered",
        mode="idle",
        unit="KiB",
        connections=IDLE_CONNECTIONS,
        offer=BROWSER_OFFER,
    ),
    Row(
        "http",
        "plain HTTP, 32 connections, kept alive",
        mode="http",
        unit="requests/s",
        connections=32,
        only=("asgi-upgrade", "asgi-upgrade-compiled", "uvicorn"),
        fresh_servers=True,
    ),
)

# Time must grow linearly with the size: the round trip divided by the size stays the same.
SIZES = tuple(
    Row(
        f"{size}m-once{'-segments' if segment else ''}",
        f"1 connection, lock-step, {size} MiB{' in pieces of 16 KiB' if segment else ''}",
        size=size * MIB,
        segment=segment,
    )
    for size in (1, 4, 16, 64)
    for segment in (None, SEGMENT)
)
