"""What is done to transports and with protocols: ending our direction, and giving bytes that came early."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from asgi_upgrade.system.transports import end_output, replay
from asgi_upgrade.websocket.messages import Messages
from tests.unit.connected import Test, connected
from tests.unit.sockets import reset

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_peer_that_has_gone_is_no_error(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        lost = asyncio.Event()

        class Protocol(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.set()

        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(Protocol, far)
        reset(near)  # and the loop has not seen it
        end_output(transport)
        await lost.wait()
        end_output(transport)

    on_loop(test)


def test_the_end_goes_out(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        near.setblocking(False)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(asyncio.Protocol, far)
        transport.write(b"the end")
        end_output(transport)
        assert await asyncio.get_running_loop().sock_recv(near, 100) == b"the end"
        assert await asyncio.get_running_loop().sock_recv(near, 100) == b""
        near.close()
        transport.abort()

    on_loop(test)


def test_closing_a_websocket_whose_client_has_gone_is_no_error(on_loop: Callable[[Test], None]) -> None:
    """Our close frame is out, the client's comes, and the client resets the connection right behind it."""

    async def test() -> None:
        async with connected() as (protocol, client):
            await Messages(protocol).send({"type": "websocket.close", "code": 1000})
            await client.receive_frame()
            client.reset()
            protocol.data_received(b"\x88\x82\0\0\0\0\x03\xe8")
            await Messages(protocol).wait_closed()

    on_loop(test)


class Buffered(asyncio.BufferedProtocol):
    """Takes as many bytes at a time as it has room for."""

    def __init__(self, room: int) -> None:
        self.taken: list[bytes] = []
        self.hints: list[int] = []
        self._buffer = bytearray(room)

    def get_buffer(self, sizehint: int) -> bytearray:
        self.hints.append(sizehint)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.taken.append(bytes(self._buffer[:nbytes]))


def test_a_buffered_protocol_is_given_what_fits() -> None:
    protocol = Buffered(4)
    replay(protocol, b"0123456789")
    assert protocol.taken == [b"0123", b"4567", b"89"]
    assert protocol.hints == [10, 6, 2]  # how much is there, for which it may make room


def test_a_streaming_protocol_is_given_all_at_once() -> None:
    taken: list[bytes] = []

    class Streaming(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            taken.append(data)

    replay(Streaming(), b"0123456789")
    assert taken == [b"0123456789"]


def test_a_buffered_protocol_without_room_is_an_error() -> None:
    """As with asyncio: without it, this would go on for ever."""
    with pytest.raises(RuntimeError, match="empty buffer"):
        replay(Buffered(0), b"0")
