"""Rules of RFC 9113 that a client breaks, one by one: its stream or its connection ends, with the right code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hpack import Encoder

from tests.server.support.http2 import ErrorCodes, HTTP2Client, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS = 4
PADDED = 8
WITH_PRIORITY = 32
PROTOCOL = {ErrorCodes.PROTOCOL_ERROR}
SIZE = {ErrorCodes.FRAME_SIZE_ERROR}
CLOSED = {ErrorCodes.STREAM_CLOSED}
FLOW = {ErrorCodes.FLOW_CONTROL_ERROR}
COMPRESSION = {ErrorCodes.COMPRESSION_ERROR, ErrorCodes.PROTOCOL_ERROR}

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/http")]
POST = [(b":method", b"POST"), *GET[1:]]
UNREAD = [*POST[:3], (b":path", b"/slow?1")]


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """A header block that changes no table."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields)


def head(stream_id: int, flags: int = END_STREAM, fields: Any = GET, *more: tuple[bytes, bytes]) -> bytes:
    return frame(HEADERS, END_HEADERS | flags, stream_id, block(*fields, *more))


RULES = [
    # 4: frames
    ("4.2 a frame longer than announced", head(3, 0, POST) + frame(DATA, 0, 3, bytes(16385)), SIZE),
    ("4.2 headers longer than announced", frame(HEADERS, END_HEADERS, 3, bytes(16385)), SIZE),
    ("4.3 a header block that cannot be read", frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x80"), COMPRESSION),
    (
        "4.3 another frame within a header block",
        frame(HEADERS, 0, 3, block(*GET)) + frame(PING, 0, 0, bytes(8)),
        PROTOCOL,
    ),
    ("4.3 another stream within a header block", frame(HEADERS, 0, 3, block(*GET)) + head(5), PROTOCOL),
    # 5: streams
    ("5.1 data on an idle stream", frame(DATA, 0, 9, b"x"), PROTOCOL),
    ("5.1 a reset of an idle stream", frame(RST_STREAM, 0, 9, bytes(4)), PROTOCOL),
    ("5.1 a window for an idle stream", frame(WINDOW_UPDATE, 0, 9, b"\0\0\0\1"), PROTOCOL),
    ("5.1 a continuation of nothing", frame(CONTINUATION, END_HEADERS, 3), PROTOCOL),
    ("5.1 data behind the end", head(3, fields=POST) + frame(DATA, 0, 3, b"x"), CLOSED),
    ("5.1 headers behind the end", head(3) + head(3), CLOSED),
    ("5.1 data behind a reset", head(3, 0, POST) + frame(RST_STREAM, 0, 3, bytes(4)) + frame(DATA, 0, 3, b"x"), CLOSED),
    ("5.1.1 a stream of the server's", head(2), PROTOCOL),
    ("5.1.1 a stream below the last", head(9) + head(5), PROTOCOL | CLOSED),
    ("5.3.1 a stream that depends on itself", frame(PRIORITY, 0, 3, b"\0\0\0\3\0"), PROTOCOL),
    # 6: what belongs into frames
    ("6.1 data on no stream", frame(DATA, 0, 0, b"x"), PROTOCOL),
    ("6.1 padding longer than the frame", head(3, 0, POST) + frame(DATA, PADDED, 3, b"\5x"), PROTOCOL),
    ("6.2 headers on no stream", frame(HEADERS, END_HEADERS, 0, block(*GET)), PROTOCOL),
    ("6.2 padding longer than headers", frame(HEADERS, END_HEADERS | PADDED, 3, b"\xff\x82"), PROTOCOL),
    ("6.3 priority of no stream", frame(PRIORITY, 0, 0, bytes(5)), PROTOCOL),
    ("6.4 a reset of no stream", frame(RST_STREAM, 0, 0, bytes(4)), PROTOCOL),
    ("6.4 a reset of the wrong size", head(3, 0, POST) + frame(RST_STREAM, 0, 3, bytes(3)), SIZE | PROTOCOL),
    ("6.5 settings on a stream", frame(SETTINGS, 0, 1), PROTOCOL),
    ("6.5 settings of the wrong size", frame(SETTINGS, 0, 0, bytes(5)), SIZE | PROTOCOL),
    ("6.5 an acknowledgement with settings", frame(SETTINGS, ACK, 0, bytes(6)), SIZE | PROTOCOL),
    ("6.5.2 push neither on nor off", frame(SETTINGS, 0, 0, b"\0\2\0\0\0\2"), PROTOCOL),
    ("6.5.2 too large a window", frame(SETTINGS, 0, 0, b"\0\4\x80\0\0\0"), FLOW),
    ("6.5.2 too small a frame", frame(SETTINGS, 0, 0, b"\0\5\0\0\x3f\xff"), PROTOCOL),
    ("6.5.2 too large a frame", frame(SETTINGS, 0, 0, b"\0\5\1\0\0\0"), PROTOCOL),
    ("6.6 a push from a client", frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(*GET)), PROTOCOL),
    ("6.7 a ping on a stream", frame(PING, 0, 1, bytes(8)), PROTOCOL),
    ("6.7 a ping of the wrong size", frame(PING, 0, 0, bytes(6)), SIZE | PROTOCOL),
    ("6.8 the end on a stream", frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    ("6.9 a window of nothing", frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL),
    ("6.9 a window of nothing on a stream", head(3, 0, POST) + frame(WINDOW_UPDATE, 0, 3, bytes(4)), PROTOCOL),
    ("6.9 a window of the wrong size", frame(WINDOW_UPDATE, 0, 0, bytes(3)), SIZE | PROTOCOL),
    ("6.9.1 a window that overflows", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW),
    ("6.9.1 and on a stream", head(3, 0, POST) + frame(WINDOW_UPDATE, 0, 3, b"\x7f\xff\xff\xff"), FLOW),
    ("6.9.1 more than the window", head(3, 0, UNREAD) + frame(DATA, 0, 3, bytes(16384)) * 5, FLOW),
    (
        "6.10 a continuation on no stream",
        frame(HEADERS, 0, 3, block(*GET)) + frame(CONTINUATION, END_HEADERS, 0),
        PROTOCOL,
    ),
    # 8: requests
    ("8.1 trailers that do not end", head(3, 0, POST) + head(3, 0, [(b"x", b"y")]), PROTOCOL),
    ("8.1 pseudo-header fields in trailers", head(3, 0, POST) + head(3, END_STREAM, [(b":path", b"/")]), PROTOCOL),
    (
        "8.1.1 less than announced",
        head(3, 0, POST, (b"content-length", b"5")) + frame(DATA, END_STREAM, 3, b"x"),
        PROTOCOL,
    ),
    (
        "8.1.1 more than announced",
        head(3, 0, POST, (b"content-length", b"1")) + frame(DATA, END_STREAM, 3, b"xy"),
        PROTOCOL,
    ),
    ("8.2.1 a name in upper case", head(3, END_STREAM, GET, (b"X-Upper", b"y")), PROTOCOL),
    ("8.2.1 a line break", head(3, END_STREAM, GET, (b"x", b"a\r\nb")), PROTOCOL),
    ("8.2.1 a space in a name", head(3, END_STREAM, GET, (b"x y", b"a")), PROTOCOL),
    ("8.2.2 connection", head(3, END_STREAM, GET, (b"connection", b"close")), PROTOCOL),
    ("8.2.2 transfer-encoding", head(3, 0, POST, (b"transfer-encoding", b"chunked")), PROTOCOL),
    ("8.2.2 upgrade", head(3, END_STREAM, GET, (b"upgrade", b"websocket")), PROTOCOL),
    ("8.2.2 te other than trailers", head(3, END_STREAM, GET, (b"te", b"gzip")), PROTOCOL),
    ("8.3 an unknown pseudo-header field", head(3, END_STREAM, GET, (b":what", b"x")), PROTOCOL),
    ("8.3 one of a response", head(3, END_STREAM, [*GET, (b":status", b"200")]), PROTOCOL),
    ("8.3 one behind the others", head(3, END_STREAM, [*GET[:3], (b"x", b"y"), GET[3]]), PROTOCOL),
    ("8.3.1 no method", head(3, END_STREAM, GET[1:]), PROTOCOL),
    ("8.3.1 no scheme", head(3, END_STREAM, [GET[0], *GET[2:]]), PROTOCOL),
    ("8.3.1 no path", head(3, END_STREAM, GET[:3]), PROTOCOL),
    ("8.3.1 an empty path", head(3, END_STREAM, [*GET[:3], (b":path", b"")]), PROTOCOL),
    ("8.3.1 two methods", head(3, END_STREAM, [GET[0], *GET]), PROTOCOL),
    ("8.3.1 no authority", head(3, END_STREAM, [*GET[:2], GET[3]]), PROTOCOL),
    ("8441 4 a protocol without CONNECT", head(3, END_STREAM, [*GET, (b":protocol", b"websocket")]), PROTOCOL),
    ("8441 4 no path", head(3, 0, [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:3]]), PROTOCOL),
]

HARMLESS = [
    ("4.1 a frame of a kind that nobody knows", frame(22, 0xFF, 0, b"?")),
    ("4.1 reserved bits", frame(PING, 0xFE, 0, bytes(8))),
    ("5.1 priority of an idle stream", frame(PRIORITY, 0, 9, bytes(5))),
    ("5.1 a window for a stream that has ended", frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")),
    ("5.1 a reset of a stream that has ended", frame(RST_STREAM, 0, 1, bytes(4))),
    ("6.1 padding", head(3, 0, POST) + frame(DATA, PADDED | END_STREAM, 3, b"\3xyz" + bytes(3))),
    ("6.2 padding and priority", frame(HEADERS, 0x2D, 3, b"\1" + bytes(5) + block(*GET) + b"\0")),
    ("6.5 settings that nobody knows", frame(SETTINGS, 0, 0, b"\xff\xff\0\0\0\1")),
    ("6.9.2 a window that opens", frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + frame(SETTINGS, 0, 0, b"\0\4\0\1\0\0")),
    ("6.10 an empty continuation", frame(HEADERS, END_STREAM, 3, block(*GET)) + frame(CONTINUATION, END_HEADERS, 3)),
    ("8.2.3 cookies in pieces", head(3, END_STREAM, GET, (b"cookie", b"a=1"), (b"cookie", b"b=2"))),
]


@pytest.fixture
def server(shared: Callable[..., Server]) -> Server:
    return shared("over_http2:app", http="httptools", loop="asyncio")


def upgraded(server: Server) -> HTTP2Client:
    client = HTTP2Client(server.peer())
    client.upgrade()
    assert client.answer(1).status == 200
    return client


def received(client: HTTP2Client, last: Callable[[int, int, bytes], bool]) -> list[tuple[int, int, bytes]]:
    """Type, stream and payload of the frames that come, up to one for which `last` is true, or the end."""
    found: list[tuple[int, int, bytes]] = []
    data = b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + (size := int.from_bytes(data[:3], "big")):
            found.append((data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]))
            data = data[9 + size :]
            if last(*found[-1]):
                return found
        try:
            more = client.peer.socket.recv(65536)
        except ConnectionError:
            more = b""
        if not more:
            return found
        data += more


@pytest.mark.parametrize(("rule", "broken", "codes"), RULES, ids=[rule for rule, _, _ in RULES])
def test_a_broken_rule_is_answered(server: Server, rule: str, broken: bytes, codes: set[ErrorCodes]) -> None:
    position = len(server.log.lines)
    with upgraded(server) as client:
        # Where only a stream ends, the connection still answers.
        client.peer.send(broken + frame(PING, 0, 0, b"that all"))
        ends = set()
        for kind, _, payload in received(client, lambda kind, _, payload: (kind, payload) == (PING, b"that all")):
            if kind in (RST_STREAM, GOAWAY):
                ends.add(ErrorCodes(int.from_bytes(payload[:4] if kind == RST_STREAM else payload[4:8], "big")))
        assert ends & codes, rule
    server.settle()
    assert not any("Traceback" in line for line in server.log.lines[position:])


@pytest.mark.parametrize(("rule", "data"), HARMLESS, ids=[rule for rule, _ in HARMLESS])
def test_what_is_allowed_does_no_harm(server: Server, rule: str, data: bytes) -> None:
    with upgraded(server) as client:
        client.peer.send(data + head(11))
        frames = received(client, lambda kind, stream, _: (kind, stream) == (HEADERS, 11))
        assert frames[-1][:2] == (HEADERS, 11), rule
        assert not {GOAWAY, RST_STREAM} & {kind for kind, _, _ in frames}, rule
