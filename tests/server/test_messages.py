"""Messages between the application and its client, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.support.websocket import BINARY, CONTINUATION, PING, PONG, TEXT, Frame, close_frame, frame

if TYPE_CHECKING:
    from tests.server.support.process import Server

TEXTS = ["", "a", "grüße, 世界 😀", "x" * 125, "x" * 126, "x" * 65535, "x" * 65536, "é" * 300_000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{len(text.encode())} bytes")
def test_text_is_echoed(server: Server, text: str) -> None:
    with server.websocket() as websocket:
        websocket.send_text(text)
        assert websocket.receive_message() == text


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1024 * 1024])
def test_bytes_are_echoed(server: Server, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    with server.websocket() as websocket:
        websocket.send_bytes(data)
        assert websocket.receive_message() == data


def test_long_and_short_messages_take_turns(server: Server) -> None:
    sizes = [1024 * 1024, 1024 * 1024, 3, 200_000, 0, 70_000, 1024 * 1024, 5000, 65536 + 4096]
    messages = [bytes([number]) * size for number, size in enumerate(sizes)]
    with server.websocket() as websocket:
        for message in messages:
            websocket.send_bytes(message)
            assert websocket.receive_message() == message
        # Now several are under way at once, cut where the segments happen to end.
        for message in messages:
            websocket.send(frame(BINARY, message[:70_000], fin=False) + frame(PING, b"p"))
            websocket.send(frame(CONTINUATION, message[70_000:]) + frame(TEXT, b"next"))
            assert websocket.receive_frame() == Frame(PONG, b"p")
            assert websocket.receive_message() == message
            assert websocket.receive_message() == "next"


def test_a_message_in_fragments_reaches_the_app_whole_with_a_ping_answered_between(server: Server) -> None:
    euro = "€".encode()
    with server.websocket() as websocket:
        websocket.send(frame(TEXT, euro[:1], fin=False))
        websocket.send(frame(CONTINUATION, euro[1:2], fin=False))
        websocket.send(frame(PING, b"still there?"))
        websocket.send(frame(CONTINUATION, euro[2:]))
        assert websocket.receive_frame() == Frame(PONG, b"still there?")
        assert websocket.receive_message() == "€"


def test_many_messages_keep_their_order_and_kind(server: Server) -> None:
    with server.websocket() as websocket:
        websocket.send(b"".join(frame(TEXT, b"%d" % n) + frame(BINARY, b"%d" % n) for n in range(200)))
        for number in range(200):
            assert websocket.receive_message() == str(number)
            assert websocket.receive_message() == str(number).encode()


def test_a_session_sent_byte_by_byte_is_the_same(server: Server) -> None:
    with server.handshaker() as websocket:
        sent = websocket.handshake() + frame(TEXT, b"slowly") + close_frame(1000)
        websocket.send_in_pieces(sent, 1)
        websocket.receive_101()
        assert websocket.receive_message() == "slowly"
        assert websocket.receive_close() == (1000, "")


def test_frames_in_the_same_segment_as_the_handshake_are_not_lost(server: Server) -> None:
    with server.handshaker() as websocket:
        early = frame(TEXT, b"early") + frame(PING, b"ping") + frame(BINARY, b"bird")
        websocket.send(websocket.handshake() + early + close_frame(4000))
        websocket.receive_101()
        received = [websocket.receive_frame() for _ in range(3)]
        # A pong may overtake what the application has yet to say.
        assert sorted(received) == [Frame(TEXT, b"early"), Frame(BINARY, b"bird"), Frame(PONG, b"ping")]
        assert websocket.receive_close() == (4000, "")


def test_a_large_message_that_starts_in_the_handshakes_segment_is_not_lost(server: Server) -> None:
    data = b"z" * 500_000
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake() + frame(BINARY, data))
        websocket.receive_101()
        assert websocket.receive_message() == data


def test_frames_after_the_body_of_a_handshake_are_not_lost(server: Server) -> None:
    """The request ends where its body ends: only what follows belongs to the WebSocket."""
    with server.handshaker() as websocket:
        handshake = websocket.handshake(headers={"Content-Length": "5"}, body=b"\x81\x85abc")
        websocket.send(handshake + frame(TEXT, b"after the body"))
        websocket.receive_101()
        assert websocket.receive_message() == "after the body"


def test_frames_after_the_chunked_body_of_a_handshake_are_not_lost(server: Server) -> None:
    with server.handshaker() as websocket:
        handshake = websocket.handshake(headers={"Transfer-Encoding": "chunked"}, body=b"3\r\nabc\r\n0\r\n\r\n")
        websocket.send_in_pieces(handshake + frame(TEXT, b"after the body"), 40)
        websocket.receive_101()
        assert websocket.receive_message() == "after the body"


def test_the_101_waits_for_the_body_of_the_handshake(server: Server) -> None:
    """RFC 9110 section 7.8: the new protocol begins behind the whole request, even if its body comes late."""
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake(headers={"Content-Length": "5"}))
        server.note(websocket.key, "first message")
        assert websocket.receive_until_silence() == b""
        websocket.send(b"\x81\x85abc" + frame(TEXT, b"after the body"))
        websocket.receive_101()
        assert websocket.receive_message() == "after the body"


def test_a_handshake_with_content_length_0_as_java_17_sends_it_succeeds(server: Server) -> None:
    with server.websocket(headers={"Content-Length": "0"}) as websocket:
        websocket.send_text("java")
        assert websocket.receive_message() == "java"


def test_several_sessions_at_once_do_not_mix(server: Server) -> None:
    websockets = [server.websocket() for _ in range(20)]
    for number, websocket in enumerate(websockets):
        websocket.send_text(str(number))
    for number, websocket in reversed(list(enumerate(websockets))):
        assert websocket.receive_message() == str(number)
        websocket.close()
