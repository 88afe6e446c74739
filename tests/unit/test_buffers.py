"""The buffers of long frames."""

from __future__ import annotations

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
