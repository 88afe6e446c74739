"""The end of our direction, towards a peer that has reset the connection a moment ago."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.system.transports import end_output
from tests.unit.connected import LOOPS, connected, run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Test = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=list(LOOPS))
def on_loop(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    def run_it(test: Test) -> None:
        run(request.param, test)

    return run_it


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


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
            await protocol.send({"type": "websocket.close", "code": 1000})
            await client.receive_frame()
            client.reset()
            protocol.data_received(b"\x88\x82\0\0\0\0\x03\xe8")
            await protocol.wait_closed()

    on_loop(test)
