"""What an HTTP/2 connection may cost: floods, sizes, times, and its end when the server stops."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import h2.events
import pytest
from hpack import Encoder

from tests.server.support.http2 import Answer, ErrorCodes, HTTP2Client, SettingCodes, frame
from tests.server.support.process import uvicorn
from tests.server.support.usage import measured
from tests.server.support.websocket import frame as websocket_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.process import Server

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4


@pytest.fixture
def server(shared: Callable[..., Server]) -> Server:
    return shared("over_http2:app", http="httptools", loop="asyncio")


@pytest.fixture
def client(server: Server) -> Iterator[HTTP2Client]:
    with HTTP2Client(server.peer()) as client:
        client.upgrade()
        assert client.answer(1).status == 200
        yield client


def head(client: HTTP2Client, stream_id: int, path: str = "/http") -> bytes:
    """A HEADERS frame whose fields leave no trace in the compression's state."""
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", client.peer.host), (":path", path)]
    encoder = Encoder()
    encoder.header_table_size = 0
    return frame(HEADERS, END_HEADERS | END_STREAM, stream_id, encoder.encode(fields))


def ends(client: HTTP2Client, code: ErrorCodes) -> bool:
    """Whether the server ends the connection with this code."""
    goaway = client.until_end()
    return goaway is not None and goaway.error_code == code


# Floods


@pytest.mark.parametrize(
    ("name", "flood"),
    [
        ("ping", frame(PING, 0, 0, bytes(8))),
        ("acknowledgement of a ping", frame(PING, ACK, 0, bytes(8))),
        ("settings", frame(SETTINGS, 0, 0)),
        ("settings that nobody knows", frame(SETTINGS, 0, 0, bytes.fromhex("ff0000000000") * 100)),
        ("acknowledgement of settings", frame(SETTINGS, ACK, 0)),
        ("priority", frame(PRIORITY, 0, 99, bytes(5))),
        ("window", frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1")),
        ("unknown", frame(99, 0, 0, b"?")),
    ],
)
def test_a_flood_ends_the_connection(client: HTTP2Client, server: Server, name: str, flood: bytes) -> None:
    try:
        for _ in range(50):
            client.peer.send(flood * 100)
    except OSError:
        pass  # it has ended already
    assert ends(client, ErrorCodes.ENHANCE_YOUR_CALM)
    with HTTP2Client(server.peer()) as other:
        other.upgrade()
        assert other.answer(1).status == 200


def test_empty_data_floods_end_the_connection(client: HTTP2Client) -> None:
    stream_id = client.request("POST", "/slow?1", end=False)
    client.peer.send(frame(DATA, 0, stream_id) * 3000)
    assert ends(client, ErrorCodes.ENHANCE_YOUR_CALM)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_flood_of_tiny_data_ends_the_connection(client: HTTP2Client, server: Server) -> None:
    """Each frame costs as much as a kilobyte of data."""
    stream_id = client.request("POST", "/slow?1", end=False)
    with measured(server.process.pid) as spent:
        client.peer.send(frame(DATA, 0, stream_id, b"x") * 40_000)
        assert ends(client, ErrorCodes.ENHANCE_YOUR_CALM)
    assert spent.seconds < 1  # 0.2 s were measured, and 0.5 on a busy machine


def test_a_body_in_small_pieces_is_no_flood(client: HTTP2Client) -> None:
    stream_id = client.request("POST", "/http", end=False)
    client.peer.send(frame(DATA, 0, stream_id, b"x") * 5000 + frame(DATA, END_STREAM, stream_id, b"y"))
    assert client.answer(stream_id).status == 200


def test_short_messages_of_a_websocket_are_no_flood(client: HTTP2Client) -> None:
    websocket = client.websocket()
    for number in range(300):
        websocket.send(websocket_frame(1, b"%d" % (number % 7)) * 100)
        for _ in range(100):
            assert websocket.receive_message() == str(number % 7)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_settings_of_a_megabyte_are_no_offer(server: Server) -> None:
    with server.peer() as peer, measured(server.process.pid) as spent:
        fields = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAQAAP__" * 150_000}
        assert peer.ask("GET", "/http", headers=fields).status == 200
    assert spent.seconds < 1


def test_rapid_resets_end_the_connection(client: HTTP2Client) -> None:
    """CVE-2023-44487: requests that are given up at once."""
    position = 3
    try:
        for _ in range(40):
            streams = range(position, position + 100, 2)
            position += 100
            pairs = [head(client, each, "/slow?1") + frame(RST_STREAM, 0, each, b"\0\0\0\x08") for each in streams]
            client.peer.send(b"".join(pairs))
    except OSError:
        pass
    assert ends(client, ErrorCodes.ENHANCE_YOUR_CALM)


def test_requests_that_were_reset_count_until_their_application_returns(client: HTTP2Client) -> None:
    """Otherwise resetting them would be the way around the limit."""
    streams = [client.request("GET", "/slow?4") for _ in range(100)]
    client.find(h2.events.SettingsAcknowledged)
    client.peer.wait_until_read()
    for stream_id in streams:
        client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
    client.flush()
    assert client.ask_again().reset == ErrorCodes.REFUSED_STREAM
    deadline = time.monotonic() + 30
    while client.ask_again().status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("size", [0, 16_000])
def test_continuation_floods_end_the_connection(client: HTTP2Client, size: int) -> None:
    """CVE-2024-27316 and its like: a header block without an end."""
    try:
        client.peer.send(frame(HEADERS, 0, 3, b""))
        for _ in range(300):
            client.peer.send(frame(CONTINUATION, 0, 3, bytes(size)))
    except OSError:
        pass
    assert ends(client, ErrorCodes.PROTOCOL_ERROR)


def test_a_compression_bomb_ends_the_connection(client: HTTP2Client) -> None:
    """One long field in the table, and a byte for each repetition."""
    encoder = Encoder()
    block = encoder.encode([(b"x-long", b"x" * 4000)]) + b"\xbe" * 1000
    client.peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, block))
    assert ends(client, ErrorCodes.ENHANCE_YOUR_CALM)


def test_headers_up_to_the_limit_are_served(client: HTTP2Client) -> None:
    assert client.h2.remote_settings.max_header_list_size == 64 * 1024
    assert client.ask_again(headers={"x-long": "x" * 60_000}).status == 200
    client.request(headers={"x-long": "x" * 66_000})
    assert ends(client, ErrorCodes.ENHANCE_YOUR_CALM)


def test_requests_above_the_limit_are_refused_one_by_one(client: HTTP2Client) -> None:
    assert client.h2.remote_settings.max_concurrent_streams == 100
    client.h2.remote_settings = type(client.h2.remote_settings)(client=False)  # let it forget the limit
    streams = [client.request("GET", "/slow?3") for _ in range(120)]
    answers = [client.answer(stream_id) for stream_id in streams]
    assert sum(answer.status == 200 for answer in answers) == 100
    assert sum(answer.reset == ErrorCodes.REFUSED_STREAM for answer in answers) == 20
    assert client.ask_again().status == 200


def test_far_too_many_requests_end_the_connection(client: HTTP2Client) -> None:
    client.peer.send(b"".join(head(client, number, "/slow?0.5") for number in range(3, 503, 2)))
    assert ends(client, ErrorCodes.PROTOCOL_ERROR)


@pytest.mark.parametrize("when", ["offered", "set later"])
def test_a_table_as_large_as_the_client_likes_is_not_used(server: Server, when: str) -> None:
    """Else each field that a response has for the first time would stay in memory."""
    limit: dict[SettingCodes | int, int] = {SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1}
    with HTTP2Client(server.peer(), limit if when == "offered" else {}) as client:
        client.upgrade()
        client.answer(1)
        if when == "set later":
            client.h2.update_settings(limit)
            client.flush()
        # A decoder that keeps to the usual size understands everything: nothing larger was announced, or referred to.
        client.h2.decoder.max_allowed_table_size = 4096
        assert [client.ask_again().status for _ in range(3)] == [200] * 3
        assert client.h2.decoder.header_table_size <= 4096


def test_a_table_may_be_smaller(server: Server) -> None:
    with HTTP2Client(server.peer(), {SettingCodes.HEADER_TABLE_SIZE: 0}) as client:
        client.upgrade()
        client.h2.decoder.max_allowed_table_size = 0
        assert [client.ask_again().status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    "malformed",
    [
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "nowhere")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/gr\xfc\xdfe")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x", "a\tb\x01")],
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x y", "b")],
    ],
)
def test_a_malformed_request_is_not_served(client: HTTP2Client, malformed: list[tuple[str, str]]) -> None:
    stream_id = client.h2.get_next_available_stream_id()
    client.send_headers(stream_id, malformed)
    while client.receive() and client.answers[stream_id].reset is None:
        pass
    assert client.answers[stream_id].status == 0
    assert ErrorCodes.PROTOCOL_ERROR in {client.answers[stream_id].reset, client.goaway and client.goaway.error_code}


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (frame(DATA, 0, 0, b"x"), ErrorCodes.PROTOCOL_ERROR),
        (frame(DATA, 0, 1, bytes(16385)), ErrorCodes.FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), ErrorCodes.FLOW_CONTROL_ERROR),
        (frame(5, END_HEADERS, 3, bytes(4)), ErrorCodes.PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 3), ErrorCodes.PROTOCOL_ERROR),
    ],
)
def test_what_breaks_the_rules_ends_the_connection_with_a_reason(
    client: HTTP2Client, server: Server, broken: bytes, code: ErrorCodes
) -> None:
    position = len(server.log.lines)
    client.peer.send(broken)
    assert ends(client, code)
    server.settle()
    assert not any("Traceback" in line for line in server.log.lines[position:])


def test_the_preface_may_come_byte_by_byte(server: Server) -> None:
    with HTTP2Client(server.peer()) as client:
        client.peer.send(client.ask())
        assert client.peer.receive_response().status == 101
        client.answers[1] = Answer()
        client.peer.send_in_pieces(client.h2.data_to_send(), 1, pause=0.0)
        client._take(client.peer.take_unread())
        assert client.answer(1).status == 200


# Times


def test_pings_are_answered(client: HTTP2Client) -> None:
    client.h2.ping(b"12345678")
    client.flush()
    assert client.find(h2.events.PingAckReceived).ping_data == b"12345678"


@pytest.fixture
def impatient(shared: Callable[..., Server]) -> Server:
    """Half a second is all that it has."""
    return shared("impatient_http2:app", http="httptools", loop="asyncio")


def test_a_connection_without_requests_is_closed(impatient: Server) -> None:
    with HTTP2Client(impatient.peer()) as client:
        client.upgrade()
        client.answer(1)
        assert client.ask_again("GET", "/slow?1").status == 200
        started = time.monotonic()
        client.h2.ping(b"12345678")  # not a request
        client.flush()
        assert ends(client, ErrorCodes.NO_ERROR)
        assert 0.3 < time.monotonic() - started < 30


def test_a_client_without_a_preface_is_cut_off(impatient: Server) -> None:
    with HTTP2Client(impatient.peer()) as client:
        client.peer.send(client.ask())
        assert client.peer.receive_response().status == 101
        assert client.peer.receive_end().endswith(
            bytes([GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4])
        )  # SETTINGS_TIMEOUT


def test_a_client_that_has_vanished_is_noticed(impatient: Server) -> None:
    """It answers no ping, though it has a request open."""
    with HTTP2Client(impatient.peer()) as client:
        client.upgrade(target="/wait-for-disconnect")
        impatient.note(client.peer.key, "http.disconnect")


def test_a_client_that_answers_pings_is_waited_for(impatient: Server) -> None:
    with HTTP2Client(impatient.peer()) as client:
        client.upgrade(target="/slow?1.2")
        assert client.answer(1).status == 200
        assert any(isinstance(event, h2.events.PingReceived) for event in client.events)


def test_a_client_that_takes_nothing_loses_its_stream(impatient: Server) -> None:
    with HTTP2Client(impatient.peer(), read=False) as client:
        client.upgrade(target="/pour?100000")
        answer = client.answer(1)
        assert answer.reset == ErrorCodes.CANCEL
        impatient.note(client.peer.key, "all sent")


def test_a_connection_that_is_closing_is_left_alone(impatient: Server) -> None:
    """Its application still runs, and the client does not hang up; no ping is due any more."""
    position = len(impatient.log.lines)
    with HTTP2Client(impatient.peer()) as client:
        client.upgrade(target="/slow?1.2")
        impatient.note(client.peer.key, "started")
        client.peer.send(frame(DATA, 0, 0, b"x"))
        assert ends(client, ErrorCodes.PROTOCOL_ERROR)
        time.sleep(1)
    impatient.settle()
    assert not any("Traceback" in line for line in impatient.log.lines[position:])


# The server stops


def test_what_is_in_flight_is_finished_when_the_server_stops() -> None:
    with uvicorn("over_http2:app") as server, HTTP2Client(server.peer()) as client, HTTP2Client(server.peer()) as idle:
        for each in (client, idle):
            each.upgrade()
            each.answer(1)
        stream_id = client.request("GET", "/slow?0.8")
        server.note(client.peer.key, "started")
        os.kill(server.process.pid, signal.SIGTERM)
        assert client.find(h2.events.ConnectionTerminated).last_stream_id == 2**31 - 1
        # h2 may have forgotten its answer to the ping over the GOAWAY that came with it.
        client.send_raw(frame(PING, ACK, 0, b"shutdown"))
        client.until(lambda: client.goaway is not None and client.goaway.last_stream_id == stream_id)
        assert client.ask_again().reset == ErrorCodes.REFUSED_STREAM
        assert client.answer(stream_id).status == 200
        assert ends(client, ErrorCodes.NO_ERROR)
        assert client.goaway is not None
        assert client.goaway.last_stream_id == stream_id
        assert ends(idle, ErrorCodes.NO_ERROR)
        client.peer.close()
        idle.peer.close()
        assert server.wait() in (0, -signal.SIGTERM)


def test_nothing_is_left_behind_when_the_server_may_wait_no_longer() -> None:
    options = ("--timeout-graceful-shutdown", "1")
    with uvicorn("over_http2:app", *options) as server, HTTP2Client(server.peer()) as client:
        client.upgrade(target="/slow?100")
        server.note(client.peer.key, "started")
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.wait() in (0, -signal.SIGTERM)


def test_the_servers_own_limit_holds_for_streams() -> None:
    with uvicorn("over_http2:app", "--limit-concurrency", "4") as server, HTTP2Client(server.peer()) as client:
        client.upgrade()
        client.answer(1)
        streams = [client.request("GET", "/slow?0.3") for _ in range(6)]
        assert {client.answer(stream_id).status for stream_id in streams} == {200, 503}
        assert client.ask_again().status == 200
