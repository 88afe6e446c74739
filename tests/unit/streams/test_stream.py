"""`UpgradeStream` beside AnyIO's own `SocketStream`: what the first half asks of one holds for the other."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import sys
import termios
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteStream
from anyio.streams.text import TextStream
from anyio.streams.tls import TLSAttribute, TLSStream
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_upgrade import UpgradeAttribute
from asgi_upgrade.streams.settings import StreamSettings
from tests.lost import drop_all_that_arrives
from tests.unit.connections import CONNECTIONS, Connection, Remote, upgrade_connection
from tests.unit.waiting import PATIENCE, arrived, still, turns, until

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(params=CONNECTIONS)
def connect(request: pytest.FixtureRequest) -> Callable[[], Connection]:
    return CONNECTIONS[request.param]


@asynccontextmanager
async def running(function: Callable[[], Any]) -> AsyncIterator[None]:
    """Have `function` run, and wait, in a task of its own; cancel it at the end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(function)
        await anyio.wait_all_tasks_blocked()
        yield
        tasks.cancel_scope.cancel()


async def send_for_ever(end: ByteStream | Remote) -> None:
    while True:
        await end.send(bytes(1_000_000))
        await checkpoint()


async def blocked(remote: Remote) -> None:
    """Wait until who sends to `remote`, which takes nothing, cannot go on."""
    await still(lambda: fcntl.ioctl(remote.socket.fileno(), termios.FIONREAD, bytes(4)))


async def receive_slowly(remote: Remote) -> AsyncIterator[bytes]:
    """Up to a reset."""
    with suppress(ConnectionResetError):
        while True:
            yield await remote.receive(100_000)
            await anyio.sleep(0.05)


# What holds for any AnyIO stream


async def test_receive_gives_what_has_arrived(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        await remote.send(b"hello")
        assert await stream.receive() == b"hello"


async def test_receive_waits(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        with anyio.move_on_after(0.05) as patience:
            await stream.receive()
        assert patience.cancelled_caught
        await remote.send(b"late")
        assert await stream.receive() == b"late"


async def test_receive_gives_no_more_than_asked_for(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        await remote.send(b"abcdefgh")
        assert await stream.receive(3) == b"abc"
        assert await stream.receive(1) == b"d"
        assert await stream.receive(4) == b"efgh"


async def test_the_remote_end_is_end_of_stream_behind_all_data(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        await remote.send(b"last words")
        remote.finish()
        await arrived(remote.socket)
        assert await stream.receive(4) == b"last"
        assert await stream.receive() == b" words"
        for _ in range(3):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_end_of_stream_wakes_receive(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        ended = anyio.Event()

        async def receive() -> None:
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            ended.set()

        async with running(receive):
            remote.finish()
            await ended.wait()


async def test_iteration_ends_with_the_stream(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        await remote.send(b"a" * 100_000)
        remote.finish()
        pieces = [piece async for piece in stream]
        assert all(0 < len(piece) <= 65536 for piece in pieces)
        assert b"".join(pieces) == b"a" * 100_000


async def test_send_works_after_the_remote_end(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        remote.finish()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        await stream.send(b"answer")
        assert await remote.receive(6) == b"answer"


async def test_send_eof_ends_one_direction(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        await stream.send(b"all of it")
        await stream.send_eof()
        await stream.send_eof()
        assert await remote.receive_end() == b"all of it"
        await remote.send(b"go on")
        assert await stream.receive() == b"go on"


async def test_send_eof_comes_behind_what_waits_to_be_sent(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):

        async def send() -> None:
            await stream.send(bytes(4_000_000))
            await stream.send_eof()

        async with running(send):
            assert await remote.receive_end() == bytes(4_000_000)


async def test_a_reset_is_a_broken_resource_for_receive(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        remote.reset()
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()


async def test_a_reset_is_a_broken_resource_for_send(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        remote.reset()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError):
                await stream.send(b"too late")


async def test_a_reset_wakes_send(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        broken = anyio.Event()

        async def send() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await send_for_ever(stream)
            broken.set()

        async with running(send):
            await blocked(remote)
            remote.reset()
            await broken.wait()


async def test_a_closed_stream_is_a_closed_resource(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        remote.finish()
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"too late")
        assert await remote.receive_end() == b""


async def test_aclose_wakes_receive(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        closed = anyio.Event()

        async def receive() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await stream.receive()
            closed.set()

        async with running(receive):
            remote.socket.settimeout(0)
            async with running(stream.aclose):
                await closed.wait()


async def test_aclose_wakes_send(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        closed = anyio.Event()

        async def send() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await send_for_ever(stream)
            closed.set()

        async with running(send):
            await blocked(remote)
            async with running(stream.aclose):
                await closed.wait()


async def test_two_tasks_cannot_receive(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote), running(stream.receive):
        with pytest.raises(anyio.BusyResourceError, match="reading from"):
            await stream.receive()
        await stream.send(b"but another may send")
        assert await remote.receive(20) == b"but another may send"


async def test_two_tasks_cannot_send(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote), running(lambda: send_for_ever(stream)):
        await blocked(remote)
        with pytest.raises(anyio.BusyResourceError, match="writing to"):
            await stream.send(b"me too")
        await remote.send(b"but another may receive")
        assert await stream.receive() == b"but another may receive"


async def test_in_a_cancelled_scope_nothing_is_sent(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.send(b"never")
        assert scope.cancelled_caught
        await stream.send(b"sent")
        assert await remote.receive(4) == b"sent"


@pytest.mark.parametrize("operation", ["send", "receive"])
async def test_a_task_that_never_waits_lets_others_run(connect: Callable[[], Connection], operation: str) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with connect() as (stream, remote):
        await remote.send(bytes(2000))
        await arrived(remote.socket)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other)
            for _ in range(1000):
                await (stream.send(b"x") if operation == "send" else stream.receive(1))
            tasks.cancel_scope.cancel()
        assert turns > 20


async def test_socket_attributes(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        host, port = remote.socket.getsockname()
        assert stream.extra(SocketAttribute.remote_address) == (host, port)
        assert stream.extra(SocketAttribute.remote_port) == port
        assert stream.extra(SocketAttribute.local_address) == remote.socket.getpeername()
        assert stream.extra(SocketAttribute.local_port) == remote.socket.getpeername()[1]
        assert stream.extra(SocketAttribute.family) == socket.AF_INET
        assert stream.extra(SocketAttribute.raw_socket).fileno() >= 0
        assert stream.extra(TLSAttribute.tls_version, None) is None


async def test_a_buffered_stream_on_top(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        buffered = BufferedByteStream(stream)
        await remote.send(b"line\nrest")
        assert await buffered.receive_until(b"\n", 100) == b"line"
        assert await buffered.receive_exactly(4) == b"rest"
        await buffered.send(b"back")
        assert await remote.receive(4) == b"back"
        remote.finish()
        with pytest.raises(anyio.IncompleteRead):
            await buffered.receive_exactly(1)


async def test_a_text_stream_on_top(connect: Callable[[], Connection]) -> None:
    async with connect() as (stream, remote):
        text = TextStream(stream)
        await remote.send("ä".encode()[:1])
        await arrived(remote.socket)
        await remote.send("ä".encode()[1:])
        assert await text.receive() == "ä"
        await text.send("ö")
        assert await remote.receive(2) == "ö".encode()


async def test_a_tls_server_on_top(connect: Callable[[], Connection]) -> None:
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("example.com").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    async with connect() as (stream, remote):
        port = remote.socket.getsockname()[1]

        async def serve() -> None:
            async with await TLSStream.wrap(stream, server_side=True, ssl_context=server_context) as tls:
                assert tls.extra(TLSAttribute.server_side)
                assert tls.extra(SocketAttribute.remote_port) == port
                async for data in tls:
                    await tls.send(data.upper())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            reader, writer = await asyncio.open_connection(
                sock=remote.release(), ssl=client_context, server_hostname="example.com"
            )
            writer.write(b"through tls")
            assert await reader.readexactly(11) == b"THROUGH TLS"
            writer.close()
            await writer.wait_closed()


# What holds for ours


@pytest.mark.parametrize("max_bytes", [0, -1])
async def test_receive_must_be_asked_for_something(max_bytes: int) -> None:
    async with upgrade_connection() as (stream, _):
        with pytest.raises(ValueError, match="max_bytes"):
            await stream.receive(max_bytes)


async def test_in_a_cancelled_scope_nothing_is_received() -> None:
    async with upgrade_connection() as (stream, remote):
        await remote.send(b"kept")
        await arrived(remote.socket)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await stream.receive()
        assert scope.cancelled_caught
        assert await stream.receive() == b"kept"


async def test_its_own_attributes() -> None:
    async with upgrade_connection() as (stream, _):
        assert stream.extra(UpgradeAttribute.scope) is stream.scope
        assert stream.scope == {"type": "http"}
        assert stream.extra(UpgradeAttribute.protocol) == stream.protocol == "example/1"
        assert stream.extra(UpgradeAttribute.half_close) is True
        assert isinstance(stream, ByteStream)


async def test_that_the_server_stops_is_told() -> None:
    async with upgrade_connection() as (stream, _):
        assert stream.shutting_down is False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.wait_shutdown)
            await turns()
            stream._protocol.shutdown()
        assert stream.shutting_down is True


async def test_attributes_survive_the_end_of_the_connection() -> None:
    async with upgrade_connection() as (stream, remote):
        port = remote.socket.getsockname()[1]
        remote.close()
        await stream.aclose()
        assert stream.extra(SocketAttribute.remote_port) == port


async def test_what_broke_the_stream_is_the_cause() -> None:
    async with upgrade_connection() as (stream, remote):
        remote.reset()
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await stream.receive()
        assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_what_came_before_a_reset_is_received() -> None:
    async with upgrade_connection() as (stream, remote):
        await remote.send(b"last words")
        await arrived(remote.socket)
        remote.reset()
        await stream._protocol._lost.wait()
        assert await stream.receive() == b"last words"
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()


async def test_the_end_of_the_input_stays_the_end_whatever_happens_then() -> None:
    async with upgrade_connection() as (stream, remote):
        remote.finish()
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        remote.reset()
        with pytest.raises(anyio.BrokenResourceError):
            await send_for_ever(stream)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


async def test_send_after_send_eof_is_a_closed_resource() -> None:
    async with upgrade_connection() as (stream, _):
        await stream.send_eof()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"too late")


async def test_send_eof_after_aclose_is_a_closed_resource() -> None:
    async with upgrade_connection() as (stream, remote):
        remote.finish()
        await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send_eof()


async def test_send_eof_to_a_remote_that_has_gone_is_no_error() -> None:
    async with upgrade_connection() as (stream, remote):
        remote.reset()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()
        await stream.send_eof()


async def test_send_eof_while_another_task_sends_is_busy() -> None:
    async with upgrade_connection() as (stream, _), running(lambda: send_for_ever(stream)):
        with pytest.raises(anyio.BusyResourceError):
            await stream.send_eof()


async def test_a_cancelled_send_has_sent_nothing() -> None:
    async with upgrade_connection(write_buffer_size=1000) as (stream, remote):
        sent = 0
        with anyio.move_on_after(0.2) as patience:
            while True:
                await stream.send(b"a" * 50_000)
                sent += 50_000
                patience.deadline = anyio.current_time() + 0.2
        assert patience.cancelled_caught
        assert await remote.receive(sent) == b"a" * sent
        await stream.send(b"b")
        assert await remote.receive(1) == b"b"


async def test_receive_and_send_that_are_cancelled_when_they_could_go_on_have_done_nothing() -> None:
    async with upgrade_connection(write_buffer_size=1000) as (stream, remote):
        protocol = stream._protocol
        receiving = asyncio.ensure_future(stream.receive())
        await asyncio.sleep(0)
        protocol.data_received(b"kept")
        receiving.cancel()

        await stream.send(bytes(16_000_000))
        sending = asyncio.ensure_future(stream.send(b"never"))
        await turns()
        protocol.resume_writing()
        sending.cancel()

        for task in (receiving, sending):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await stream.receive() == b"kept"
        async with running(stream.aclose):
            assert await remote.receive_end() == bytes(16_000_000)


async def test_an_empty_send_sends_nothing() -> None:
    async with upgrade_connection() as (stream, remote):
        await stream.send(b"")
        await stream.send(b"x")
        assert await remote.receive(1) == b"x"


async def test_reading_pauses_when_the_buffer_is_full_and_resumes() -> None:
    async with upgrade_connection(read_buffer_size=1000) as (stream, remote):
        sent = await remote.send_until_blocked()
        received = 0
        while received < sent:
            received += len(await stream.receive())
        # And again, which shows that reading was resumed.
        await remote.send(b"more")
        assert await stream.receive() == b"more"


async def test_what_waits_is_bounded_by_the_buffers() -> None:
    sizes = []
    for read_buffer_size in (1000, 8_000_000):
        async with upgrade_connection(read_buffer_size=read_buffer_size) as (_, remote):
            sizes.append(await remote.send_until_blocked())
    assert sizes[1] - sizes[0] > 6_000_000  # the kernel's share is the same


async def test_the_remote_end_is_seen_although_the_buffer_was_full() -> None:
    async with upgrade_connection(read_buffer_size=1000) as (stream, remote):
        await remote.send(b"x" * 100_000)
        remote.finish()
        await arrived(remote.socket)
        assert len(b"".join([piece async for piece in stream])) == 100_000


# Closing


async def test_aclose_sends_what_waits() -> None:
    async with upgrade_connection(write_buffer_size=16_000_000) as (stream, remote):
        await stream.send(bytes(8_000_000))
        async with running(stream.aclose):
            assert await remote.receive_end() == bytes(8_000_000)


async def test_aclose_does_not_reset_a_remote_that_still_sends() -> None:
    async with upgrade_connection(read_buffer_size=1000) as (stream, remote):
        await remote.send(bytes(100_000))
        await stream.send(b"last words")
        async with running(stream.aclose):
            await remote.send(bytes(1_000_000))
            assert await remote.receive_end() == b"last words"


async def test_aclose_ends_when_the_remote_has_ended() -> None:
    async with upgrade_connection(close_timeout=100.0) as (stream, remote):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.aclose)
            assert await remote.receive_end() == b""
            await turns()
            start = anyio.current_time()
            remote.close()
        assert anyio.current_time() - start < 50


async def test_aclose_cuts_a_remote_that_does_not_end() -> None:
    async with upgrade_connection(close_timeout=0.2) as (stream, remote):
        start = anyio.current_time()
        await stream.aclose()
        assert 0.19 < anyio.current_time() - start < 30
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await send_for_ever(remote)


async def test_aclose_is_patient_with_a_remote_that_takes_its_time() -> None:
    async with upgrade_connection(close_timeout=1.0) as (stream, remote):
        await stream.send(bytes(16_000_000))
        async with running(stream.aclose):
            for _ in range(4):
                await anyio.sleep(0.3)  # all in all longer than the timeout
                assert await remote.receive(4_000_000) == bytes(4_000_000)
            assert await remote.receive_end() == b""


async def test_aclose_is_not_patient_while_the_server_stops() -> None:
    async with upgrade_connection(close_timeout=0.2) as (stream, remote):
        await stream.send(bytes(16_000_000))
        stream._protocol.shutdown()
        taken = 0

        async def receive() -> None:
            nonlocal taken
            async for piece in receive_slowly(remote):
                taken += len(piece)

        async with running(receive):
            await stream.aclose()
            # Eight seconds are what all of it takes at least.
            assert taken < 16_000_000


@pytest.mark.parametrize("late", [False, True])
async def test_a_stop_waits_for_a_silent_remote_for_stop_timeout_only(*, late: bool) -> None:
    async with upgrade_connection(close_timeout=100.0, stop_timeout=0.2) as (stream, _):
        if not late:
            stream._protocol.shutdown()
        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.aclose)
            await turns()
            stream._protocol.shutdown()
        assert 0.19 < anyio.current_time() - start < 50


async def test_aclose_cuts_a_remote_that_takes_nothing() -> None:
    """With RST, for the end of the connection would look as if this were all."""
    async with upgrade_connection(close_timeout=0.2) as (stream, remote):
        await stream.send(bytes(16_000_000))
        await stream.aclose()
        with pytest.raises(ConnectionResetError):
            await remote.receive_end()


async def test_a_cancelled_aclose_cuts() -> None:
    async with upgrade_connection(close_timeout=30.0) as (stream, remote):
        with anyio.move_on_after(0.1) as patience:
            await stream.aclose()
        assert patience.cancelled_caught
        with pytest.raises(anyio.ClosedResourceError):
            await stream.send(b"x")
        await turns()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await send_for_ever(remote)


async def test_aclose_forcefully_does_not_wait() -> None:
    async with upgrade_connection(close_timeout=100.0) as (stream, remote):
        await stream.send(bytes(16_000_000))
        start = anyio.current_time()
        await anyio.aclose_forcefully(stream)
        assert anyio.current_time() - start < 50
        with pytest.raises(ConnectionResetError):
            await remote.receive_end()
        with pytest.raises(anyio.ClosedResourceError):
            await stream.receive()


# asyncio's streams


async def test_asyncios_streams_take_over_what_has_arrived() -> None:
    async with upgrade_connection() as (stream, remote):
        await remote.send(b"one\ntwo\nthree")
        await arrived(remote.socket)
        assert await stream.receive(2) == b"on"
        reader, writer = stream.asyncio_streams()
        assert await reader.readline() == b"e\n"
        assert await reader.readline() == b"two\n"
        await remote.send(b"!")
        assert await reader.readexactly(6) == b"three!"
        writer.write(b"answer")
        await writer.drain()
        assert await remote.receive(6) == b"answer"
        remote.finish()
        assert await reader.read() == b""
        writer.write(b" and more")
        writer.close()
        await writer.wait_closed()
        assert await remote.receive_end() == b" and more"


async def test_asyncios_streams_know_that_the_input_has_ended() -> None:
    async with upgrade_connection() as (stream, remote):
        await remote.send(b"all")
        remote.finish()
        await arrived(remote.socket)
        reader, _ = stream.asyncio_streams()
        assert await reader.read() == b"all"


async def test_asyncios_streams_know_that_the_connection_was_lost() -> None:
    async with upgrade_connection() as (stream, remote):
        remote.reset()
        await stream._protocol._lost.wait()
        reader, _ = stream.asyncio_streams()
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_asyncios_streams_are_told_of_the_loss() -> None:
    async with upgrade_connection() as (stream, remote):
        reader, writer = stream.asyncio_streams()
        remote.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(ConnectionResetError):
            await writer.drain()


async def test_asyncios_writer_waits_for_a_slow_remote() -> None:
    async with upgrade_connection(write_buffer_size=1000) as (stream, remote):
        _, writer = stream.asyncio_streams()
        writer.write(bytes(8_000_000))
        with anyio.move_on_after(0.1) as patience:
            await writer.drain()
        assert patience.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(writer.drain)
            assert await remote.receive(8_000_000) == bytes(8_000_000)


async def test_asyncios_reader_resumes_what_our_buffer_had_paused() -> None:
    async with upgrade_connection(read_buffer_size=1000) as (stream, remote):
        sent = await remote.send_until_blocked()
        reader, _ = stream.asyncio_streams()
        assert await reader.readexactly(sent) == bytes(sent)
        await remote.send(b"more")
        assert await reader.readexactly(4) == b"more"


async def test_aclose_reads_on_where_asyncios_reader_did_not() -> None:
    async with upgrade_connection(read_buffer_size=1000, close_timeout=100.0) as (stream, remote):
        _, writer = stream.asyncio_streams()
        sent = await remote.send_until_blocked()
        writer.write(b"last words")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.aclose)
            with anyio.fail_after(50):
                await remote.send(bytes(sent))
                remote.finish()
                assert await remote.receive_end() == b"last words"


async def test_asyncios_streams_may_turn_to_tls() -> None:
    """The connection belongs to TLS then, and not to us, who are still asked to close it."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("example.com").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    loop = asyncio.get_running_loop()
    async with upgrade_connection(close_timeout=100.0) as (stream, remote):
        reader, writer = stream.asyncio_streams()
        protocol = asyncio.StreamReaderProtocol(reader)
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                tls = await loop.start_tls(writer.transport, protocol, server_context, server_side=True)
                assert tls is not None
                tls.write((await reader.readexactly(5)).upper())
                await turns()
                with anyio.fail_after(50):
                    await stream.aclose()
                tls.close()

            tasks.start_soon(serve)
            client_reader, client_writer = await asyncio.open_connection(
                sock=remote.release(), ssl=client_context, server_hostname="example.com"
            )
            client_writer.write(b"hello")
            assert await client_reader.read(100) == b"HELLO"
            assert await client_reader.read(100) == b""
            client_writer.close()
            with suppress(OSError):  # there was no end of TLS before that of the connection
                await client_writer.wait_closed()


async def test_the_stream_is_busy_once_asyncios_have_it() -> None:
    async with upgrade_connection() as (stream, remote):
        stream.asyncio_streams()
        with pytest.raises(anyio.BusyResourceError):
            await stream.receive()
        with pytest.raises(anyio.BusyResourceError):
            await stream.send(b"x")
        with pytest.raises(anyio.BusyResourceError):
            await stream.send_eof()
        with pytest.raises(anyio.BusyResourceError):
            stream.asyncio_streams()
        remote.finish()
        await stream.aclose()
        assert await remote.receive_end() == b""


async def test_a_busy_stream_is_not_taken_over() -> None:
    async with upgrade_connection() as (stream, _), running(stream.receive):
        with pytest.raises(anyio.BusyResourceError):
            stream.asyncio_streams()


async def test_a_closed_stream_is_not_taken_over() -> None:
    async with upgrade_connection() as (stream, remote):
        remote.finish()
        await stream.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            stream.asyncio_streams()


# Any pieces in any sizes


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=20),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20),
    buffer=st.integers(1, 500),
)
def test_whatever_the_pieces_nothing_is_lost_or_turned_around(
    pieces: list[bytes], sizes: list[int], buffer: int
) -> None:
    async def check() -> None:
        async with upgrade_connection(read_buffer_size=buffer) as (stream, remote):

            async def send() -> None:
                for piece in pieces:
                    await remote.send(piece)
                    await asyncio.sleep(0)
                remote.finish()

            received: list[bytes] = []

            async def receive() -> None:
                while True:
                    size = sizes[len(received) % len(sizes)]
                    received.append(await stream.receive(size))
                    assert 0 < len(received[-1]) <= size

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                with pytest.raises(anyio.EndOfStream):
                    await receive()
            assert b"".join(received) == b"".join(pieces)

    asyncio.run(check())


# Clients that vanish


async def test_a_handler_that_does_nothing_is_told_of_a_reset() -> None:
    """Its buffer is full, so nobody reads, and it does not write."""
    async with upgrade_connection(read_buffer_size=1000) as (stream, remote):
        protocol = stream._protocol
        await remote.send(bytes(2000))
        await until(lambda: not protocol.transport.is_reading())
        remote.reset()
        with anyio.fail_after(PATIENCE):
            await protocol.wait_closed()
        assert await stream.receive() == bytes(2000), "what came before is still there"
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()
        with pytest.raises(anyio.BrokenResourceError):
            await stream.send(b"x")


async def test_a_full_buffer_alone_is_no_reason_to_leave() -> None:
    async with upgrade_connection(read_buffer_size=1000) as (stream, remote):
        await remote.send(bytes(2000))
        await anyio.sleep(1.5)
        remote.finish()
        await anyio.sleep(1.2)
        assert await stream.receive() == bytes(2000)
        await stream.send(b"still there")
        assert await remote.receive(11) == b"still there"


@pytest.mark.parametrize(("interval", "expected"), [(None, (0, 0)), (7.4, (1, 7)), (0.1, (1, 1))])
async def test_the_system_asks_whether_the_client_is_there(interval: float | None, expected: tuple[int, int]) -> None:
    async with upgrade_connection(keepalive_interval=interval) as (stream, _):
        sock = stream.extra(SocketAttribute.raw_socket)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == expected[0]
        if interval is not None:
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                assert sock.getsockopt(socket.IPPROTO_TCP, option) == expected[1]
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
async def test_a_client_that_does_not_acknowledge_what_was_sent_is_lost() -> None:
    async with upgrade_connection(keepalive_interval=1.0) as (stream, remote):
        drop_all_that_arrives(remote.socket)
        await stream.send(b"on its way for ever")
        with anyio.fail_after(60), pytest.raises(anyio.BrokenResourceError) as caught:
            await stream.receive()
        assert isinstance(caught.value.__cause__, TimeoutError)


async def test_a_client_that_only_does_not_read_is_not_lost() -> None:
    async with upgrade_connection(keepalive_interval=1.0) as (stream, _):
        with anyio.move_on_after(5):
            while True:
                await stream.send(bytes(64 * 1024))
        with pytest.raises(TimeoutError), anyio.fail_after(0.1):
            await stream.receive()


# Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("read_buffer_size", "write_buffer_size") for value in (0, -1, 1.5, None, True)),
        *(
            (name, value)
            for name in ("open_timeout", "close_timeout", "shutdown_timeout", "stop_timeout")
            for value in (0, -1.0, None, float("inf"), float("nan"), "1", True)
        ),
        *(
            (name, value)
            for name in ("idle_timeout", "keepalive_interval", "total_timeout")
            for value in (0, -1.0, float("inf"), "1", False)
        ),
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        StreamSettings(**{name: value})


async def test_bytes_that_come_one_by_one_take_little_more_memory_than_they_are() -> None:
    count = 60_000
    async with upgrade_connection() as (stream, _):
        protocol = stream._protocol
        tracemalloc.start()
        for number in range(count):
            protocol.data_received(bytes((number % 251,)))
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size < 2 * count
        data = b""
        while len(data) < count:
            data += await stream.receive(1000)
        assert data == bytes(number % 251 for number in range(count))
