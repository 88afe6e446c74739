"""The buffers of long frames."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest

from asgi_upgrade.websocket import buffers
from asgi_upgrade.websocket.buffers import BUFFER_SIZE, give_buffer, take_buffer


@pytest.fixture(autouse=True)
def no_spare_buffers() -> Iterator[None]:
    spare = buffers._spare[:]
    buffers._spare.clear()
    yield
    buffers._spare[:] = spare


def test_a_buffer_is_used_again() -> None:
    buffer = take_buffer(1000)
    assert len(buffer) == 1000
    give_buffer(buffer)
    assert take_buffer(900) is buffer
    assert take_buffer(900) is not buffer


def test_a_buffer_that_is_too_small_makes_room_for_a_larger_one() -> None:
    small = take_buffer(1000)
    give_buffer(small)
    large = take_buffer(1001)
    assert len(large) == 1001
    give_buffer(large)
    assert take_buffer(1000) is large
    assert take_buffer(1000) is not small


def test_few_buffers_are_kept() -> None:
    for _ in range(100):
        give_buffer(bytearray(BUFFER_SIZE))
    assert sum(map(len, buffers._spare)) == 4 * BUFFER_SIZE


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
