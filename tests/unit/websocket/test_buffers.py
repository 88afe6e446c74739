"""The buffers of long frames."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from asgi_upgrade.websocket import buffers
from asgi_upgrade.websocket.buffers import BUFFER_SIZE, give_buffer, take_buffer
from asgi_upgrade.websocket.connection import Connection
from tests.unit import wire


@pytest.fixture(autouse=True)
def no_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has read no long frame yet."""
    monkeypatch.setattr(buffers._Shared, "existing", 0)
    monkeypatch.setattr(buffers, "_spare", [])


def take_all() -> list[bytearray]:
    return [take_buffer(1000, 0) for _ in range(4)]


def test_a_few_buffers_are_shared() -> None:
    shared = take_all()
    assert [len(buffer) for buffer in shared] == [BUFFER_SIZE] * 4
    give_buffer(shared[1])
    assert take_buffer(900, 0) is shared[1]
    other = take_buffer(900, 0)
    give_buffer(other)
    assert take_buffer(900, 0) is not other


def test_a_connection_gives_its_buffer_back_when_a_frame_is_whole() -> None:
    """More connections than there are buffers, each with a long frame: all of them use the same few."""
    frame = wire.frame(wire.BINARY, bytes(BUFFER_SIZE))
    used: list[bytearray] = []
    for _ in range(6):
        connection = Connection(max_message_size=BUFFER_SIZE, max_message_frames=1)
        assert connection.receive_data(frame[:1000]) == []
        assert connection.bulk is not None
        used.append(connection.bulk.obj)  # type: ignore[arg-type]  # what it is a view of
        (message,) = connection.receive_data(frame[1000:])
        assert message == bytes(BUFFER_SIZE)
    assert [len(buffer) for buffer in used] == [BUFFER_SIZE] * 6
    assert all(buffer is used[0] for buffer in used)


def test_a_shared_buffer_that_is_lost_is_replaced() -> None:
    """As when its connection is lost in the middle of a frame."""
    shared = take_all()
    del shared[2]
    shared.append(take_buffer(1000, 0))
    assert len(shared[-1]) == BUFFER_SIZE
    assert len(take_buffer(1000, 0)) == 1000


@pytest.mark.parametrize(
    ("missing", "arrived", "size"),
    [
        (BUFFER_SIZE, 0, 4096),
        (BUFFER_SIZE, 1, 4096),
        (BUFFER_SIZE, 10_000, 40_000),
        (BUFFER_SIZE, BUFFER_SIZE, BUFFER_SIZE),
        (50_000, 100_000, 50_000),
        (2**40, 2**30, BUFFER_SIZE),
    ],
)
def test_other_buffers_follow_what_has_arrived(missing: int, arrived: int, size: int) -> None:
    shared = take_all()
    assert len(take_buffer(missing, arrived)) == size
    assert shared


# Four messages of 1 MiB at a time, as four connections have them; prints the page faults of each.
FAULTS_OF_LONG_MESSAGES = """
import resource
from asgi_upgrade.websocket.connection import Connection

opcode = {opcode}
frame = bytes((0x80 | opcode, 0xFF)) + (1 << 20).to_bytes(8, "big") + bytes(4) + b"x" * (1 << 20)
connections = [Connection(max_message_size=1 << 20, max_message_frames=1) for _ in range(4)]

def receive():
    assert all([[len(message) for message in messages] == [1 << 20] for messages in
                [connection.receive_data(frame[:4096]) + connection.receive_data(frame[4096:])
                 for connection in connections]])

for _ in range(5):
    receive()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    receive()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 200)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is about glibc's malloc")
@pytest.mark.parametrize("opcode", [1, 2], ids=["text", "binary"])
def test_long_messages_need_no_fresh_memory(opcode: int) -> None:
    # In a process of its own: what else was allocated and freed decides too. 1 MiB is 256 pages.
    script = FAULTS_OF_LONG_MESSAGES.format(opcode=opcode)
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert float(ran.stdout) < 30
