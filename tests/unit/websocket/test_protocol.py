import asyncio
import time
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.messages import Messages
from asgi_upgrade.websocket.protocol import WebSocketProtocol
from tests.unit.connected import Client, Test, connected
from tests.unit.waiting import PATIENCE, arrived, still, turns, until
from tests.unit.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MASK,
    PING,
    PONG,
    RSV1,
    TEXT,
    Frame,
    close,
    frame,
    header,
    read_frames,
)

MEBIBYTE = 1024 * 1024
SMALL_BUFFER = 4096  # the kernel doubles it
UNREAD = 4 * MEBIBYTE  # more than fits into the kernel's buffers, when they are small


def text(data: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": data}


def binary(data: bytes) -> dict[str, Any]:
    return {"type": "websocket.send", "bytes": data}


def closing(code: int = 1000, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.close", "code": code, "reason": reason}


def close_sent(code: int, reason: str = "") -> Frame:
    return Frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def received(data: str | bytes) -> dict[str, Any]:
    return {"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data}


def disconnect(code: int, reason: str = "") -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


BAD = frame(TEXT, b"x", rsv=0x40)
BAD_ANSWER = close_sent(1002, "reserved bit set")


async def settle() -> None:
    """Let what has been sent arrive, and what it wakes run."""
    await turns()
    await asyncio.sleep(0.001)
    await turns()


async def echo(protocol: WebSocketProtocol) -> dict[str, Any]:
    """An application that answers each message with itself; gives the message that ends it."""
    while (message := await Messages(protocol).receive())["type"] == "websocket.receive":
        await Messages(protocol).send({**message, "type": "websocket.send"})
    return dict(message)


# Messages


def test_messages_go_both_ways(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            app = asyncio.ensure_future(echo(protocol))
            await client.send(frame(TEXT, b"one") + frame(BINARY, b"two") + frame(TEXT, b"thr", fin=False))
            assert await client.receive_frame() == (TEXT, b"one", True, 0)
            assert await client.receive_frame() == (BINARY, b"two", True, 0)
            await client.send(frame(PING, b"?") + frame(CONTINUATION, b"ee") + close(1000, b"enough"))
            assert await client.receive_end() == [Frame(PONG, b"?"), Frame(TEXT, b"three"), close_sent(1000)]
            assert await app == disconnect(1000, "enough")

    on_loop(test)


def inflating(data: bytes) -> bytes:
    """A binary message of compressed data."""
    codec = zlib.compressobj(9, zlib.DEFLATED, -12)
    return frame(BINARY, (codec.compress(data) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=RSV1)


@pytest.mark.parametrize("ending", ["close", "end", "reset"])
def test_what_was_too_much_to_inflate_comes_before_the_end(on_loop: Callable[[Test], None], ending: str) -> None:
    messages = [bytes([number]) * 10_000 for number in range(20)]

    async def test() -> None:
        async with connected(deflate=True, max_queue_size=25_000) as (protocol, client):
            tail = close(1001) if ending == "close" else b""
            await client.send(b"".join(map(inflating, messages)) + tail)
            await arrived(client.socket)
            if ending == "end":
                client.end()
                await arrived(client.socket)
            elif ending == "reset":
                client.reset()
            for message in messages[:3]:
                assert await Messages(protocol).receive() == received(message)
            if ending == "reset":
                return  # what else came may be lost
            for message in messages[3:]:
                assert await Messages(protocol).receive() == received(message)
            code = 1001 if ending == "close" else 1006
            assert await Messages(protocol).receive() == {"type": "websocket.disconnect", "code": code, "reason": ""}

    on_loop(test)


def test_an_end_that_is_told_while_something_is_held_comes_behind_it(on_loop: Callable[[Test], None]) -> None:
    """As where a server replays what came before the switch."""
    messages = [bytes([number]) * 10_000 for number in range(9)]

    async def test() -> None:
        async with connected(deflate=True, max_queue_size=10_000) as (protocol, _):
            protocol.data_received(b"".join(map(inflating, messages)))
            protocol.eof_received()
            for message in messages:
                assert await Messages(protocol).receive() == received(message)
            assert await Messages(protocol).receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    on_loop(test)


def test_a_close_of_ours_is_answered_behind_what_is_held(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(deflate=True, max_queue_size=10_000) as (protocol, client):
            await client.send(inflating(bytes(10_000)) * 50 + close(1000))
            await arrived(client.socket)
            await Messages(protocol).send(closing(1000))
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_large_messages_go_both_ways(on_loop: Callable[[Test], None], kind: int, deflate: bool) -> None:
    payload = bytes(range(128)) * (MEBIBYTE * 3 // 128)

    async def test() -> None:
        async with connected(max_message_size=3 * MEBIBYTE, deflate=deflate) as (protocol, client):
            app = asyncio.ensure_future(echo(protocol))
            for _ in range(2):
                sending = asyncio.ensure_future(client.send(frame(kind, payload)))
                answer = await client.receive_frame()
                await sending
                assert len(answer.payload) < len(payload) // 20 if deflate else answer == Frame(kind, payload)
            await client.send(frame(PING) + frame(TEXT, b"behind") + close(1000))
            assert await client.receive_end() == [Frame(PONG, b""), Frame(TEXT, b"behind"), close_sent(1000)]
            assert await app == disconnect(1000)

    on_loop(test)


def test_what_the_application_sends_in_one_turn_stays_in_order(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(write_buffer_size=1000) as (protocol, client):
            for number in range(500):
                await Messages(protocol).send(text(str(number)))
            await Messages(protocol).send(binary(bytes(200_000)))
            await Messages(protocol).send(text("end"))
            frames = [await client.receive_frame() for _ in range(502)]
            assert [each.payload for each in frames[:500]] == [b"%d" % number for number in range(500)]
            assert frames[500:] == [Frame(BINARY, bytes(200_000)), Frame(TEXT, b"end")]

    on_loop(test)


def test_messages_of_the_wrong_kind_are_refused(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            with pytest.raises(RuntimeError, match=r"but got 'websocket\.accept'"):
                await Messages(protocol).send({"type": "websocket.accept"})
            with pytest.raises(UnicodeEncodeError):
                await Messages(protocol).send(text("\ud800"))
            with pytest.raises(ValueError, match="close code 1006 may not be sent"):
                await Messages(protocol).send(closing(1006))
            await Messages(protocol).send(text("still open"))
            await Messages(protocol).send({"type": "websocket.send", "text": None, "bytes": b"both keys"})
            await Messages(protocol).send({"type": "websocket.send", "bytes": None, "text": "the other way round"})
            assert [(await client.receive_frame()).payload for _ in range(3)] == [
                b"still open",
                b"both keys",
                b"the other way round",
            ]

    on_loop(test)


# Closing


@pytest.mark.parametrize(
    ("sent", "code", "reason", "answer"),
    [
        (close(1000), 1000, "", close_sent(1000)),
        (close(1001, b"bye"), 1001, "bye", close_sent(1001)),
        (close(4321, "\u20ac".encode()), 4321, "€", close_sent(4321)),
        (frame(CLOSE), 1005, "", Frame(CLOSE, b"")),
    ],
)
def test_the_client_closes(on_loop: Callable[[Test], None], sent: bytes, code: int, reason: str, answer: Frame) -> None:
    async def test() -> None:
        for waiting in (True, False):
            async with connected() as (protocol, client):
                app = asyncio.ensure_future(Messages(protocol).receive()) if waiting else None
                await settle()
                await client.send(sent + frame(PING) + frame(TEXT, b"behind") + close(1002))
                await settle()
                message = await (app or Messages(protocol).receive())
                assert message == disconnect(code, reason)
                # The server ends the connection first (RFC 6455 section 7.1.1): our end is still open.
                assert await client.receive_end() == [answer]
                client.end()
                await Messages(protocol).wait_closed()
                assert await Messages(protocol).receive() == disconnect(code, reason)
                for message in (text("late"), binary(b"late")):
                    with pytest.raises(ClientDisconnected) as caught:
                        await Messages(protocol).send(message)
                    assert (caught.value.code, caught.value.reason) == (code, reason)
                    assert isinstance(caught.value, OSError)
                await Messages(protocol).send(closing())  # nothing is left to close

    on_loop(test)


@pytest.mark.parametrize("answer", [close(1000), close(1001, b"all right"), frame(CLOSE), frame(PONG) + close(4000)])
def test_the_application_closes(on_loop: Callable[[Test], None], answer: bytes) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await Messages(protocol).send(text("before"))
            await Messages(protocol).send(closing(4001, "enough"))
            for message in (text("late"), closing(1000)):
                with pytest.raises(RuntimeError, match=r"after sending 'websocket\.close'"):
                    await Messages(protocol).send(message)
            assert await client.receive_frame() == (TEXT, b"before", True, 0)
            assert await client.receive_frame() == close_sent(4001, "enough")
            # Messages that cross it are dropped, pings are answered, and TCP stays open until the client closes too.
            app = asyncio.ensure_future(Messages(protocol).receive())
            await client.send(frame(TEXT, b"crossing") + frame(PING, b"?"))
            assert await client.receive_frame() == Frame(PONG, b"?")
            assert await client.stays_silent(0.05)
            assert not app.done()
            await client.send(answer)
            assert await client.receive_end() == []
            code = int.from_bytes(read_close(answer)[:2], "big") or 1005
            assert await app == disconnect(code, read_close(answer)[2:].decode())
            with pytest.raises(RuntimeError, match=r"after sending 'websocket\.close'"):
                await Messages(protocol).send(text("late"))

    on_loop(test)


def read_close(sent: bytes) -> bytes:
    """The payload of the close frame that ends `sent`, a client's."""
    start = sent.index(0x88)
    payload = sent[start + 6 :]
    return bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def test_an_empty_close_frame_is_sent_for_1005(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await Messages(protocol).send({"type": "websocket.close", "code": 1005, "reason": None})
            assert await client.receive_frame() == Frame(CLOSE, b"")
            await client.send(frame(CLOSE))
            assert await client.receive_end() == []
            assert await Messages(protocol).receive() == disconnect(1005)

    on_loop(test)


def test_both_close_at_once(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            client.socket.send(close(1001, b"client"))
            protocol.close(1000, "server")  # before the loop reads the client's
            assert await client.receive_end() == [close_sent(1000, "server")]
            assert await Messages(protocol).receive() == disconnect(1001, "client")

    on_loop(test)


def test_the_application_closes_with_another_code_than_the_client(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(TEXT, b"bye") + close(1000))
            assert await Messages(protocol).receive() == received("bye")
            await settle()
            await Messages(protocol).send(closing(3000, "done"))
            assert await client.receive_end() == [close_sent(3000, "done")]
            assert await Messages(protocol).receive() == disconnect(1000)

    on_loop(test)


def test_a_client_that_does_not_answer_the_close_is_cut_off(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(close_timeout=0.1) as (protocol, client):
            await Messages(protocol).send(closing())
            assert await client.receive_frame() == close_sent(1000)
            started = time.monotonic()
            await Messages(protocol).wait_closed()
            assert 0.05 < time.monotonic() - started < 30
            assert await Messages(protocol).receive() == disconnect(1006)

    on_loop(test)


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes_instead_of_answering_the_close(on_loop: Callable[[Test], None], reset: bool) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await Messages(protocol).send(closing())
            assert await client.receive_frame() == close_sent(1000)
            if reset:
                client.reset()
            else:
                client.end()
                assert await client.receive_end() == []
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            assert await Messages(protocol).receive() == disconnect(1006)

    on_loop(test)


@pytest.mark.parametrize("closer", ["client", "application", "shutdown"])
def test_a_close_behind_a_large_message(on_loop: Callable[[Test], None], closer: str) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER, stop_timeout=50.0) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            if closer == "client":
                await client.send(close(1001))
                await settle()
                code = 1001
            elif closer == "application":
                await Messages(protocol).send(closing(code=1000))
                code = 1000
            else:
                protocol.shutdown()
                code = 1012
            assert await client.receive_frame() == (BINARY, bytes(UNREAD), True, 0)
            assert await client.receive_frame() == close_sent(code)
            if closer != "client":
                await client.send(close(code))
            assert await client.receive_end() == []
            assert await Messages(protocol).receive() == disconnect(code)

    on_loop(test)


def test_a_slow_client_gets_all_that_came_before_the_close(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        size = MEBIBYTE
        async with connected(socket_buffer=SMALL_BUFFER, close_timeout=0.6) as (protocol, client):
            await Messages(protocol).send(binary(bytes(size)))
            await Messages(protocol).send(closing())
            started = time.monotonic()
            data = b""
            while len(data) < size + 10 + 4:
                data += await client.receive_exactly(min(size // 10, size + 14 - len(data)))
                await asyncio.sleep(0.09)
            assert time.monotonic() - started > 0.8
            assert read_frames(data) == [Frame(BINARY, bytes(size)), close_sent(1000)]
            await client.send(close(1000))
            assert await client.receive_end() == []

    on_loop(test)


@pytest.mark.parametrize("shutdown", [False, True])
def test_a_client_that_reads_nothing_is_cut_off(on_loop: Callable[[Test], None], shutdown: bool) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER, close_timeout=0.1) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            if shutdown:
                protocol.shutdown()
            else:
                await Messages(protocol).send(closing())
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            with pytest.raises(AssertionError, match="the last frame is cut"):
                await client.receive_end()

    on_loop(test)


# The loss of the client


@pytest.mark.parametrize("how", ["reset", "end", "close"])
def test_the_client_vanishes(on_loop: Callable[[Test], None], how: str) -> None:
    async def test() -> None:
        for waiting in (True, False):
            async with connected() as (protocol, client):
                await client.send(frame(TEXT, b"last words"))
                await settle()
                assert await Messages(protocol).receive() == received("last words")
                app = asyncio.ensure_future(Messages(protocol).receive()) if waiting else None
                await client.send(frame(TEXT, b"unfinished", fin=False) + frame(CONTINUATION, b"unfinished")[:9])
                await settle()
                if how == "reset":
                    client.reset()
                elif how == "close":
                    client.socket.close()
                else:
                    client.end()
                assert await (app or Messages(protocol).receive()) == disconnect(1006)
                if how == "end":
                    assert await client.receive_end() == []
                    client.socket.close()
                await Messages(protocol).wait_closed()
                assert await Messages(protocol).receive() == disconnect(1006)
                with pytest.raises(ClientDisconnected, match="the WebSocket connection is closed: 1006"):
                    await Messages(protocol).send(text("late"))
                await Messages(protocol).send(closing())

    on_loop(test)


def test_what_came_before_the_loss_is_still_received(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(TEXT, b"one") + frame(BINARY, b"two"))
            await settle()
            client.reset()
            await Messages(protocol).wait_closed()
            with pytest.raises(ClientDisconnected):
                await Messages(protocol).send(text("late"))
            assert await Messages(protocol).receive() == received("one")
            assert await Messages(protocol).receive() == received(b"two")
            assert await Messages(protocol).receive() == disconnect(1006)

    on_loop(test)


def test_the_loss_wakes_whoever_sends_or_receives(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            senders = [asyncio.ensure_future(Messages(protocol).send(text("blocked"))) for _ in range(3)]
            receivers = [asyncio.ensure_future(Messages(protocol).receive()) for _ in range(3)]
            await settle()
            assert not any(task.done() for task in senders + receivers)
            client.reset()
            for result in await asyncio.gather(*senders, return_exceptions=True):
                assert isinstance(result, ClientDisconnected)
                assert result.code == 1006
            assert await asyncio.gather(*receivers) == [disconnect(1006)] * 3

    on_loop(test)


def test_a_half_closed_connection_carries_the_answers(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"two"))
            client.end()
            assert await Messages(protocol).receive() == received("one")
            await arrived(client.socket)
            await Messages(protocol).send(text("1"))
            assert await Messages(protocol).receive() == received("two")
            await turns()
            await Messages(protocol).send(text("2"))
            assert await Messages(protocol).receive() == disconnect(1006)
            # There was no close frame, so there is none in answer.
            assert await client.receive_end() == [Frame(TEXT, b"1"), Frame(TEXT, b"2")]

    on_loop(test)


@pytest.mark.parametrize(("sent", "answer"), [(close(1000), close_sent(1000)), (BAD, BAD_ANSWER)])
def test_a_half_closed_connection_ends_with_our_close_frame(
    on_loop: Callable[[Test], None], sent: bytes, answer: Frame
) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(TEXT, b"one") + sent)
            client.end()
            assert await Messages(protocol).receive() == received("one")
            await settle()
            await Messages(protocol).send(text("1"))
            await Messages(protocol).receive()
            assert await client.receive_end() == [Frame(TEXT, b"1"), answer]
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


def test_the_server_waits_for_the_end_of_the_client(on_loop: Callable[[Test], None]) -> None:
    # RFC 6455 section 7.1.1: our direction ends, the rest of the client's is read, and only then the socket is closed.
    # A client may well answer a ping behind its close frame; closing at once would answer that pong with a reset.
    async def test() -> None:
        for sent in (close(1000), BAD):
            async with connected() as (protocol, client):
                await client.send(frame(TEXT, b"one") + sent)
                app = asyncio.ensure_future(echo(protocol))
                assert await client.receive_frame() == Frame(TEXT, b"one")
                assert (await client.receive_frame()).opcode == CLOSE
                for _ in range(3):
                    await client.send(frame(PONG))
                    await settle()
                assert await client.receive() == b""
                await app
                client.end()
                assert await client.receive() == b""
                await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


def test_the_server_does_not_wait_long_for_the_end_of_the_client(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            await client.send(close(1000))
            assert await Messages(protocol).receive() == disconnect(1000)
            await asyncio.sleep(1.1)
            assert await client.receive_end() == [Frame(BINARY, bytes(UNREAD)), close_sent(1000)]
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


def test_a_half_closed_connection_carries_a_large_answer(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER) as (protocol, client):
            await client.send(frame(TEXT, b"more"))
            client.end()
            assert await Messages(protocol).receive() == received("more")
            await Messages(protocol).send(binary(bytes(UNREAD)))
            assert await Messages(protocol).receive() == disconnect(1006)
            assert await client.receive_end() == [Frame(BINARY, bytes(UNREAD))]

    on_loop(test)


# Broken rules and exceeded limits


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (BAD, 1002, "reserved bit set"),
        (frame(TEXT, b"\xff"), 1007, "text is not valid UTF-8"),
        (header(0x82, 2000) + MASK, 1009, "message is longer than 1000 bytes"),
        (frame(TEXT, fin=False) + frame(0, fin=False) * 5, 1008, "message has more than 5 frames"),
        (close(1005), 1002, "close code 1005 may not be sent"),
    ],
)
def test_a_broken_rule_is_told_and_ends_our_direction(
    on_loop: Callable[[Test], None], sent: bytes, code: int, reason: str
) -> None:
    async def test() -> None:
        async with connected(max_message_size=1000, max_frames=5) as (protocol, client):
            app = asyncio.ensure_future(Messages(protocol).receive())
            await settle()
            await client.send(sent + frame(PING) + close(1000))
            assert await app == disconnect(code, reason)
            # RFC 6455 section 7.1.1: our direction ends now; closing the socket would reset what is on its way.
            assert await client.receive_end() == [close_sent(code, reason)]
            await client.send(frame(TEXT, b"still talking") * 1000)
            await settle()
            await client.send(close(1000))
            client.end()
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


def test_what_came_before_a_broken_rule_is_answered(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            app = asyncio.ensure_future(echo(protocol))
            await client.send(
                frame(TEXT, b"one") + frame(PING, b"p") + frame(TEXT, b"two") + BAD + frame(TEXT, b"three")
            )
            frames = await client.receive_end()
            assert [each for each in frames if each.opcode != PONG] == [
                Frame(TEXT, b"one"),
                Frame(TEXT, b"two"),
                BAD_ANSWER,
            ]
            assert frames.count(Frame(PONG, b"p")) == 1
            assert await app == disconnect(1002, "reserved bit set")

    on_loop(test)


def test_a_client_that_broke_a_rule_and_stays_is_cut_off(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(close_timeout=0.1) as (protocol, client):
            await client.send(BAD)
            assert await Messages(protocol).receive() == disconnect(1002, "reserved bit set")
            assert await client.receive_end() == [BAD_ANSWER]
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


def test_a_rule_broken_after_our_close_frame(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await Messages(protocol).send(closing(1000, "first"))
            await client.send(BAD + bytes(100_000))
            assert await client.receive_end() == [close_sent(1000, "first")]
            assert await Messages(protocol).receive() == disconnect(1002, "reserved bit set")

    on_loop(test)


def test_a_rule_broken_while_the_client_reads_nothing(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER, answer_timeout=0.05) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            blocked = asyncio.ensure_future(Messages(protocol).send(text("blocked")))
            await client.send(BAD)
            with pytest.raises(ClientDisconnected):
                await blocked
            assert await client.receive_end() == [Frame(BINARY, bytes(UNREAD)), BAD_ANSWER]

    on_loop(test)


# The time for answers


@pytest.mark.parametrize(("sent", "answer"), [(close(1000), close_sent(1000)), (BAD, BAD_ANSWER)])
def test_answers_in_time_go_out_before_the_close_frame(
    on_loop: Callable[[Test], None], sent: bytes, answer: Frame
) -> None:
    async def test() -> None:
        async with connected(answer_timeout=50) as (protocol, client):
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + sent)
            for message in ("one", "two"):
                assert await Messages(protocol).receive() == received(message)
                assert await client.stays_silent(0.05)
                await Messages(protocol).send(text(message))
                assert await client.receive_frame() == Frame(TEXT, message.encode())
            assert await client.stays_silent(0.05)
            await Messages(protocol).receive()
            assert await client.receive_end() == [answer]

    on_loop(test)


@pytest.mark.parametrize(("sent", "answer"), [(close(1000), close_sent(1000)), (BAD, BAD_ANSWER), (b"", None)])
def test_the_time_for_answers_is_limited(on_loop: Callable[[Test], None], sent: bytes, answer: Frame | None) -> None:
    async def test() -> None:
        async with connected(answer_timeout=0.1) as (protocol, client):
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + sent)
            if answer is None:
                client.end()
            assert await Messages(protocol).receive() == received("one")
            await Messages(protocol).send(text("1"))
            # The application is busy from now on.
            started = time.monotonic()
            assert await client.receive_end() == [Frame(TEXT, b"1"), *([answer] if answer else [])]
            assert 0.03 < time.monotonic() - started < 30
            with pytest.raises(ClientDisconnected):
                await Messages(protocol).send(text("too late"))
            assert await Messages(protocol).receive() == received("two")
            assert (await Messages(protocol).receive())["type"] == "websocket.disconnect"

    on_loop(test)


# Cancellation


def test_a_cancelled_receive_loses_nothing(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, _):
            # Every order of the three things that can happen to a waiting receive within one turn of the loop.
            for order in ("cancel, message", "message, cancel", "message, message, cancel", "message, cancel, message"):
                numbers = count()
                sent = []
                task = asyncio.ensure_future(Messages(protocol).receive())
                await asyncio.sleep(0)
                for step in order.split(", "):
                    if step == "cancel":
                        task.cancel()
                    else:
                        sent.append(str(next(numbers)))
                        protocol.data_received(frame(TEXT, sent[-1].encode()))
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert [await asyncio.wait_for(Messages(protocol).receive(), PATIENCE) for _ in sent] == [
                    received(each) for each in sent
                ]

    on_loop(test)


def test_a_receive_that_is_cancelled_as_the_connection_ends(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        for first in ("cancel", "end"):
            async with connected() as (protocol, client):
                task = asyncio.ensure_future(Messages(protocol).receive())
                await asyncio.sleep(0)
                if first == "cancel":
                    task.cancel()
                protocol.data_received(close(1000))
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await Messages(protocol).receive() == disconnect(1000)
                assert await client.receive_end() == [close_sent(1000)]

    on_loop(test)


def test_receiving_with_a_timeout_loses_nothing(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            total = 200

            async def send_all() -> None:
                for number in range(total):
                    await client.send(frame(TEXT, b"%d" % number))
                    if number % 3:
                        await asyncio.sleep(0.001)

            sending = asyncio.ensure_future(send_all())
            messages: list[Any] = []
            while len(messages) < total:
                task = asyncio.ensure_future(Messages(protocol).receive())
                await asyncio.wait([task], timeout=0.0007)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    messages.append((await task)["text"])
            await sending
            assert messages == [str(number) for number in range(total)]

    on_loop(test)


def test_several_receivers_share_the_messages(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            first, second, third = (asyncio.ensure_future(Messages(protocol).receive()) for _ in range(3))
            await settle()
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"two"))
            assert list(await asyncio.wait_for(asyncio.gather(first, second), PATIENCE)) == [
                received("one"),
                received("two"),
            ]
            assert not third.done()
            await client.send(frame(TEXT, b"three"))
            assert await third == received("three")

            # One is woken and cancelled in the same turn: the message is for the other one.
            first, second = (asyncio.ensure_future(Messages(protocol).receive()) for _ in range(2))
            await asyncio.sleep(0)
            protocol.data_received(frame(TEXT, b"four"))
            first.cancel()
            assert await asyncio.wait_for(second, PATIENCE) == received("four")
            with pytest.raises(asyncio.CancelledError):
                await first

            # One is woken and cancelled, and nobody else waits: the message is for the next call, in front of others.
            first = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0)
            protocol.data_received(frame(TEXT, b"five") + frame(TEXT, b"six"))
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert await Messages(protocol).receive() == received("five")
            assert await Messages(protocol).receive() == received("six")

            # One comes late: the message is for the one that has waited.
            first = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0)
            protocol.data_received(frame(TEXT, b"seven"))
            second = asyncio.ensure_future(Messages(protocol).receive())
            assert await first == received("seven")
            await settle()
            assert not second.done()
            await client.send(frame(TEXT, b"eight") + close(1000))
            assert await second == received("eight")
            assert await Messages(protocol).receive() == disconnect(1000)

    on_loop(test)


def test_an_answer_goes_out_although_another_receiver_waits(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            first, second = (asyncio.ensure_future(Messages(protocol).receive()) for _ in range(2))
            await settle()
            protocol.data_received(frame(TEXT, b"one") + close(1000))
            assert await first == received("one")
            await Messages(protocol).send(text("answer"))
            assert await Messages(protocol).receive() == disconnect(1000)
            assert await second == disconnect(1000)
            assert await client.receive_end() == [Frame(TEXT, b"answer"), close_sent(1000)]

    on_loop(test)


def test_a_cancelled_send_leaves_the_stream_whole(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            blocked = [asyncio.ensure_future(Messages(protocol).send(text(str(number)))) for number in range(4)]
            await settle()
            assert not any(task.done() for task in blocked)
            blocked[1].cancel()
            await settle()
            blocked[3].cancel()  # together with the end of its wait, below
            reading = asyncio.ensure_future(client.receive_frame())
            await asyncio.gather(*blocked, return_exceptions=True)
            assert await reading == Frame(BINARY, bytes(UNREAD))
            assert [task.cancelled() for task in blocked] == [False, True, False, True]
            await Messages(protocol).send(closing())
            await client.send(close(1000))
            assert await client.receive_end() == [Frame(TEXT, b"0"), Frame(TEXT, b"2"), close_sent(1000)]

    on_loop(test)


def test_a_send_that_is_cancelled_as_it_may_go_on(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            protocol.pause_writing()
            blocked = asyncio.ensure_future(Messages(protocol).send(text("cancelled")))
            other = asyncio.ensure_future(Messages(protocol).send(text("sent")))
            await asyncio.sleep(0)
            protocol.resume_writing()
            blocked.cancel()
            await other
            with pytest.raises(asyncio.CancelledError):
                await blocked
            assert await client.receive_frame() == Frame(TEXT, b"sent")

    on_loop(test)


# Backpressure


def test_a_slow_client_blocks_the_application(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        size = 32 * 1024
        async with connected(socket_buffer=SMALL_BUFFER, write_buffer_size=128 * 1024) as (protocol, client):
            sent = 0

            async def stream() -> None:
                nonlocal sent
                while sent < 200:
                    await Messages(protocol).send(binary(sent.to_bytes(2, "big") * (size // 2)))
                    sent += 1

            tracemalloc.start()
            try:
                app = asyncio.ensure_future(stream())
                # What fits into the buffers of both kernels and into ours, no more.
                assert 4 <= await still(lambda: sent) < 40
                for number in range(200):
                    assert await client.receive_frame() == Frame(BINARY, number.to_bytes(2, "big") * (size // 2))
                await app
                assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
            finally:
                tracemalloc.stop()

    on_loop(test)


def test_a_slow_application_stops_the_client(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        size = 16 * 1024
        settings: dict[str, Any] = {"max_queue": 8, "max_queue_size": 64 * 1024}
        async with connected(socket_buffer=SMALL_BUFFER, **settings) as (protocol, client):
            sent = 0

            async def stream() -> None:
                nonlocal sent
                while sent < 300:
                    await client.send(frame(BINARY, sent.to_bytes(2, "big") * (size // 2)))
                    sent += 1

            tracemalloc.start()
            try:
                sending = asyncio.ensure_future(stream())
                assert await still(lambda: sent) < 30
                for number in range(300):
                    message = await Messages(protocol).receive()
                    assert message == received(number.to_bytes(2, "big") * (size // 2))
                await sending
                assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
            finally:
                tracemalloc.stop()

    on_loop(test)


def test_the_number_of_waiting_messages_is_limited_too(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER, max_queue=8) as (protocol, client):
            total = 100_000
            sending = asyncio.ensure_future(client.send(frame(TEXT) * total))
            await until(lambda: not protocol._transport.is_reading())
            await still(sending.done)
            assert not sending.done()
            for _ in range(total):
                assert await Messages(protocol).receive() == received("")
            await sending

    on_loop(test)


def test_an_echo_to_a_client_that_does_not_read_stops_it(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        size = 16 * 1024
        async with connected(socket_buffer=SMALL_BUFFER, write_buffer_size=64 * 1024) as (protocol, client):
            app = asyncio.ensure_future(echo(protocol))
            total = 200
            tracemalloc.start()
            try:
                sending = asyncio.ensure_future(client.send(frame(BINARY, bytes(size)) * total))
                await until(lambda: not protocol._transport.is_reading())
                await still(sending.done)
                assert not sending.done()
                assert not app.done()
                for _ in range(total):
                    assert await client.receive_frame() == Frame(BINARY, bytes(size))
                await sending
                # The client's own copy of what it sends is the largest part.
                assert tracemalloc.get_traced_memory()[1] < size * total + 2 * MEBIBYTE
            finally:
                tracemalloc.stop()
            await client.send(close(1000))
            assert await client.receive_end() == [close_sent(1000)]
            await app

    on_loop(test)


@pytest.mark.parametrize("closed", [False, True])
def test_a_flood_of_pings_by_a_client_that_does_not_read(on_loop: Callable[[Test], None], closed: bool) -> None:
    async def test() -> None:
        async with connected(socket_buffer=SMALL_BUFFER, close_timeout=100) as (protocol, client):
            if closed:
                await Messages(protocol).send(closing())
            app = asyncio.ensure_future(Messages(protocol).receive())
            pings = 10_000
            flood = frame(PING, b"x" * 125) * pings
            tracemalloc.start()
            try:
                sending = asyncio.ensure_future(client.send(flood))
                await until(lambda: not protocol._transport.is_reading())
                await still(sending.done)
                assert not sending.done()
                assert tracemalloc.get_traced_memory()[1] < 2 * MEBIBYTE
            finally:
                tracemalloc.stop()
            if closed:
                assert await client.receive_frame() == close_sent(1000)
            for _ in range(pings):
                assert await client.receive_frame() == Frame(PONG, b"x" * 125)
            await sending
            await client.send(close(1000))
            assert await client.receive_end() == ([] if closed else [close_sent(1000)])
            assert await app == disconnect(1000)

    on_loop(test)


# Keepalive


async def answer_pings(client: Client, pong: bytes = b"") -> list[Frame]:
    """Answer each ping with a pong until the end of the connection; gives the other frames."""
    others: list[Frame] = []
    while True:
        head = await client.receive(2)
        if not head:
            return others
        [got] = read_frames(head + (await client.receive_exactly(head[1]) if head[1] else b""))
        if got.opcode == PING:
            await client.send(frame(PONG, pong or got.payload))
        else:
            others.append(got)


def test_a_client_that_answers_pings_stays(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        for pong in (b"", b"one that nobody asked for"):
            async with connected(ping_interval=0.03, ping_timeout=0.03) as (protocol, client):
                app = asyncio.ensure_future(Messages(protocol).receive())
                answering = asyncio.ensure_future(answer_pings(client, pong))
                await asyncio.sleep(0.3)  # several pings
                assert not app.done()
                await Messages(protocol).send(text("still there"))
                await client.send(close(1000))
                assert await answering == [Frame(TEXT, b"still there"), close_sent(1000)]
                assert await app == disconnect(1000)

    on_loop(test)


@pytest.mark.parametrize(("interval", "timeout"), [(0.05, 0.1), (0.1, 0.05)])
def test_a_silent_client_is_left(on_loop: Callable[[Test], None], interval: float, timeout: float) -> None:
    async def test() -> None:
        async with connected(ping_interval=interval, ping_timeout=timeout, close_timeout=0.1) as (protocol, client):
            started = time.monotonic()
            assert await Messages(protocol).receive() == disconnect(1011, "keepalive ping timeout")
            assert interval + timeout - 0.02 < time.monotonic() - started < 30
            assert await client.receive_end() == [Frame(PING, b""), close_sent(1011, "keepalive ping timeout")]
            # What it says now is not answered (RFC 6455 section 7.1.7), and it cannot keep the connection.
            await client.send(frame(PING) + frame(TEXT, b"here I am") + close(1000))
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            assert await Messages(protocol).receive() == disconnect(1011, "keepalive ping timeout")

    on_loop(test)


def test_without_a_ping_timeout_a_silent_client_stays(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(ping_interval=0.02, ping_timeout=None) as (protocol, client):
            app = asyncio.ensure_future(Messages(protocol).receive())
            for _ in range(4):
                assert await client.receive_frame() == Frame(PING, b"")
            assert not app.done()
            await client.send(close(1000))
            *pings, last = await client.receive_end()
            assert last == close_sent(1000)
            assert pings == [Frame(PING, b"")] * len(pings)
            await app

    on_loop(test)


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_client_in_the_middle_of_a_long_frame_cannot_answer_pings(on_loop: Callable[[Test], None], kind: int) -> None:
    async def test() -> None:
        payload = b"x" * 200_000
        wire = frame(kind, payload)
        async with connected(ping_interval=0.05, ping_timeout=0.05) as (protocol, client):
            app = asyncio.ensure_future(Messages(protocol).receive())
            for start in range(0, len(wire), 10_000):
                await client.send(wire[start : start + 10_000])
                await asyncio.sleep(0.02)
            assert await app == received(payload if kind == BINARY else payload.decode())

    on_loop(test)


def test_a_client_that_stops_in_the_middle_of_a_long_frame_is_left(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(ping_interval=0.05, ping_timeout=0.05, close_timeout=0.1) as (protocol, client):
            await client.send(frame(BINARY, bytes(300_000))[:20_000])
            assert await Messages(protocol).receive() == disconnect(1011, "keepalive ping timeout")
            await client.send(bytes(100_000))
            assert await client.receive_end() == [Frame(PING, b""), close_sent(1011, "keepalive ping timeout")]
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


def test_a_client_that_slowly_takes_a_large_message_is_alive(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        size = MEBIBYTE
        settings: dict[str, Any] = {"ping_interval": 0.05, "ping_timeout": 0.1}
        async with connected(socket_buffer=SMALL_BUFFER, **settings) as (protocol, client):
            await Messages(protocol).send(binary(bytes(size)))
            data = b""
            while len(data) < size + 10:
                data += await client.receive_exactly(min(size // 12, size + 10 - len(data)))
                await asyncio.sleep(0.04)
            assert read_frames(data) == [Frame(BINARY, bytes(size))]
            app = asyncio.ensure_future(Messages(protocol).receive())
            answering = asyncio.ensure_future(answer_pings(client))
            await asyncio.sleep(0.2)
            assert not app.done()
            await client.send(close(1000))
            assert await answering == [close_sent(1000)]
            await app

    on_loop(test)


def test_a_client_that_takes_nothing_of_a_large_message_is_left(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        settings: dict[str, Any] = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.1}
        async with connected(socket_buffer=SMALL_BUFFER, **settings) as (protocol, client):
            await Messages(protocol).send(binary(bytes(UNREAD)))
            blocked = asyncio.ensure_future(Messages(protocol).send(text("blocked")))
            with pytest.raises(ClientDisconnected, match="1011"):
                await blocked
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            client.reset()

    on_loop(test)


def test_a_client_is_not_blamed_for_an_application_that_does_not_receive(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        settings: dict[str, Any] = {"ping_interval": 0.03, "ping_timeout": 0.03, "max_queue": 2}
        async with connected(**settings) as (protocol, client):
            await client.send(frame(TEXT, b"one") + frame(TEXT, b"two") + frame(TEXT, b"three"))
            answering = asyncio.ensure_future(answer_pings(client))
            await asyncio.sleep(0.3)
            for message in ("one", "two", "three"):
                assert await Messages(protocol).receive() == received(message)
            app = asyncio.ensure_future(Messages(protocol).receive())
            await asyncio.sleep(0.1)
            assert not app.done()
            await client.send(close(1000))
            assert await answering == [close_sent(1000)]
            await app

    on_loop(test)


def test_a_client_is_not_blamed_for_a_loop_that_was_held_up(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(ping_interval=0.05, ping_timeout=0.05) as (protocol, client):
            app = asyncio.ensure_future(Messages(protocol).receive())
            assert await client.receive_frame() == Frame(PING, b"")
            client.socket.send(frame(PONG))
            time.sleep(0.3)  # noqa: ASYNC251
            answering = asyncio.ensure_future(answer_pings(client))
            await asyncio.sleep(0.1)
            assert not app.done()
            await client.send(close(1000))
            assert await answering == [close_sent(1000)]
            await app

    on_loop(test)


# Idleness


def test_an_idle_connection_is_closed(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        settings: dict[str, Any] = {"idle_timeout": 0.15, "ping_interval": 0.03, "ping_timeout": 1}
        async with connected(**settings) as (protocol, client):
            answering = asyncio.ensure_future(answer_pings(client))
            started = time.monotonic()
            reason = "no message for 0.15 seconds"
            assert await Messages(protocol).receive() == disconnect(1001, reason)
            assert 0.13 < time.monotonic() - started < 30
            with pytest.raises(ClientDisconnected, match=reason):
                await Messages(protocol).send(text("late"))
            await client.send(close(1001))
            assert await answering == [close_sent(1001, reason)]

    on_loop(test)


def test_messages_in_either_direction_keep_a_connection(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(idle_timeout=1.0) as (protocol, client):
            for number in range(5):
                if number % 2:
                    await client.send(frame(TEXT, b"hello"))
                    assert await Messages(protocol).receive() == received("hello")
                else:
                    await Messages(protocol).send(text("hello"))
                    assert await client.receive_frame() == Frame(TEXT, b"hello")
                await asyncio.sleep(0.3)
            await client.send(close(1000))
            assert await Messages(protocol).receive() == disconnect(1000)

    on_loop(test)


# The server stops


def test_the_server_stops(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await client.send(frame(TEXT, b"before"))
            await settle()
            await Messages(protocol).send(text("behind"))
            protocol.shutdown()
            protocol.shutdown()
            with pytest.raises(ClientDisconnected, match="1012"):
                await Messages(protocol).send(text("late"))
            assert await Messages(protocol).receive() == received("before")
            assert await Messages(protocol).receive() == disconnect(1012)
            assert [await client.receive_frame(), await client.receive_frame()] == [
                Frame(TEXT, b"behind"),
                close_sent(1012),
            ]
            await client.send(frame(TEXT, b"crossing") + close(1012))
            assert await client.receive_end() == []
            assert await Messages(protocol).receive() == disconnect(1012)

    on_loop(test)


def test_the_server_stops_after_the_client_has_closed(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(answer_timeout=50) as (protocol, client):
            await client.send(frame(TEXT, b"question") + close(1000))
            await settle()
            protocol.shutdown()
            assert await client.receive_end() == [close_sent(1000)]
            client.end()
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            assert await Messages(protocol).receive() == received("question")
            assert await Messages(protocol).receive() == disconnect(1000)

    on_loop(test)


def test_the_server_stops_after_the_application_has_closed(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            await Messages(protocol).send(closing(3000))
            protocol.shutdown()
            assert await client.receive_frame() == close_sent(3000)
            assert await client.stays_silent(0.05)
            await client.send(close(3000))
            assert await client.receive_end() == []

    on_loop(test)


@pytest.mark.parametrize("reading", [False, True])
def test_the_server_stops_and_the_client_does_not_care(on_loop: Callable[[Test], None], reading: bool) -> None:
    async def test() -> None:
        async with connected(close_timeout=0.1, socket_buffer=SMALL_BUFFER) as (protocol, client):
            if not reading:
                await Messages(protocol).send(binary(bytes(UNREAD)))
            protocol.shutdown()
            if reading:
                assert await client.receive_end() == [close_sent(1012)]
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            assert await Messages(protocol).receive() == disconnect(1012)

    on_loop(test)


def test_the_server_stops_after_the_client_has_gone(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected() as (protocol, client):
            client.reset()
            await Messages(protocol).wait_closed()
            protocol.shutdown()
            assert await Messages(protocol).receive() == disconnect(1006)

    on_loop(test)


# The server stops


@pytest.mark.parametrize("state", ["open", "closing", "full", "after an error"])
def test_a_silent_client_holds_up_a_stop_for_stop_timeout_only(on_loop: Callable[[Test], None], state: str) -> None:
    async def test() -> None:
        buffer = SMALL_BUFFER if state == "full" else None
        async with connected(socket_buffer=buffer, close_timeout=100, stop_timeout=0.2) as (protocol, client):
            if state == "closing":
                await Messages(protocol).send(closing())
            elif state == "full":
                await Messages(protocol).send(binary(bytes(UNREAD)))
            elif state == "after an error":
                await client.send(BAD)
                assert (await Messages(protocol).receive())["type"] == "websocket.disconnect"
            protocol.shutdown()
            start = time.monotonic()
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)
            assert 0.19 < time.monotonic() - start < 30

    on_loop(test)


def test_a_client_that_answers_at_a_stop_sees_a_clean_end(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(stop_timeout=50) as (protocol, client):
            protocol.shutdown()
            assert await client.receive_frame() == close_sent(1012)
            await client.send(close(1012))
            assert await client.receive_end() == []
            client.end()
            await Messages(protocol).wait_closed()

    on_loop(test)


def test_a_stop_waits_no_longer_than_a_close(on_loop: Callable[[Test], None]) -> None:
    async def test() -> None:
        async with connected(close_timeout=0.1, stop_timeout=100) as (protocol, _):
            protocol.shutdown()
            await asyncio.wait_for(Messages(protocol).wait_closed(), PATIENCE)

    on_loop(test)


# The end of what is too long


@pytest.mark.parametrize("sending_on", [False, True])
def test_our_direction_does_not_end_while_a_client_sends_what_is_too_long(
    on_loop: Callable[[Test], None], sending_on: bool
) -> None:
    """It may only look at the close frame when it is done; but a second is enough."""

    async def test() -> None:
        async with connected(max_message_size=1000, close_timeout=100) as (protocol, client):
            receiving = asyncio.ensure_future(Messages(protocol).receive())
            start = time.monotonic()
            await client.send(header(BINARY, 1_000_000))
            assert await client.receive_frame() == close_sent(1009, "message is longer than 1000 bytes")
            ended = asyncio.ensure_future(client.receive_end())
            for _ in range(10):
                await client.send(bytes(100))
                await turns()
            assert not ended.done()
            while sending_on and not ended.done():
                await client.send(bytes(100))
                await asyncio.sleep(0.01)
            assert await ended == []
            assert time.monotonic() - start < 30
            assert (await receiving)["code"] == 1009

    on_loop(test)
