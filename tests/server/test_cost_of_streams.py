"""What is read of a client behind the end of what means anything, for raw streams and HTTP/2."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import LOOPS
from tests.server.support.floods import kernel_buffers, send_until_cut
from tests.server.support.http2 import HTTP2Client, frame
from tests.server.support.upgrades import upgrade
from tests.server.support.usage import measured

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

MEBIBYTE = 1024 * 1024
# 16 MiB, a bit more, and what the kernel may hold at both ends.
MOST = 18 * MEBIBYTE + kernel_buffers()


@pytest.mark.parametrize("loop", LOOPS)
def test_little_is_read_after_the_handler_of_a_stream_has_ended(shared: Callable[..., Server], loop: str) -> None:
    server = shared("streams:fastapi", http="httptools", loop=loop)
    with server.peer() as peer, measured(server.process.pid) as spent:
        upgrade(peer, "/streams/return-at-once")
        assert send_until_cut(peer.socket, seconds=8) < MOST
    assert spent.seconds < 1


@pytest.mark.parametrize("loop", LOOPS)
def test_little_is_read_after_an_http2_connection_has_failed(shared: Callable[..., Server], loop: str) -> None:
    server = shared("over_http2:app", http="httptools", loop=loop)
    with HTTP2Client(server.peer()) as client:
        client.upgrade()
        assert client.answer(1).status == 200
        with measured(server.process.pid) as spent:
            client.send_raw(frame(6, 0, 0, b"a ping has eight bytes"))
            assert send_until_cut(client.peer.socket, seconds=8) < MOST
        assert spent.seconds < 1
