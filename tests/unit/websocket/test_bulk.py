"""`BulkReader`: where the transport writes, and who is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_upgrade.websocket.bulk import BulkReader
from asgi_upgrade.websocket.connection import BULK_SIZE, Connection
from tests.unit.wire import BINARY, TEXT, frame

LONG = frame(BINARY, bytes(2 * BULK_SIZE))


class Owner:
    """Gives what it is told to the connection, and takes notes."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.calls: list[Any] = []

    def data_received(self, data: bytes) -> None:
        self.calls.append(("data", data))
        self.connection.receive_data(data)

    def bulk_received(self, size: int) -> None:
        self.calls.append(("bulk", size))
        self.connection.bulk_received(size)

    def read_short_frames(self) -> None:
        self.calls.append("short")

    def eof_received(self) -> bool:
        self.calls.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.calls.append(("lost", exc))

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")


@pytest.fixture
def owner() -> Owner:
    return Owner(Connection(max_message_size=4 * BULK_SIZE, max_message_frames=8))


@pytest.fixture
def reader(owner: Owner) -> BulkReader:
    return BulkReader(owner, owner.connection)


def deliver(reader: BulkReader, data: bytes) -> None:
    """Write `data` as a transport does, as much of it at a time as there is room for."""
    while data:
        buffer = reader.get_buffer(-1)
        taken = min(len(buffer), len(data))
        buffer[:taken] = data[:taken]
        data = data[taken:]
        reader.buffer_updated(taken)


def test_a_long_frame_is_written_where_the_connection_wants_it(owner: Owner, reader: BulkReader) -> None:
    owner.connection.receive_data(LONG[:100])
    missing = len(LONG) - 100
    deliver(reader, LONG[100:-5])
    # The frame lacks a few bytes: nothing is read as usual yet.
    assert owner.calls == [("bulk", missing - 5)]
    deliver(reader, LONG[-5:])
    assert owner.calls == [("bulk", missing - 5), ("bulk", 5)]


def test_what_comes_behind_a_long_frame_is_read_as_usual(owner: Owner, reader: BulkReader) -> None:
    behind = frame(TEXT, b"behind")
    deliver(reader, behind)
    assert owner.calls == [("data", behind), "short"]


def test_the_next_long_frame_is_written_where_it_belongs_too(owner: Owner, reader: BulkReader) -> None:
    deliver(reader, LONG)
    # The start is read as usual, and little of it. Then the reader stays where it is.
    first, *rest = owner.calls
    assert first == ("data", LONG[:4096])
    assert rest == [("bulk", len(LONG) - 4096)]


def test_everything_else_is_passed_on(owner: Owner, reader: BulkReader) -> None:
    error = ConnectionResetError()
    assert reader.eof_received()
    reader.pause_writing()
    reader.resume_writing()
    reader.connection_lost(error)
    reader.connection_lost(None)
    assert owner.calls == ["eof", "pause", "resume", ("lost", error), ("lost", None)]
