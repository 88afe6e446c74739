"""WebSockets on the streams of an HTTP/2 connection (RFC 8441), with the policy and the engine of HTTP/1.1."""

from __future__ import annotations

import json
import os
import random
import signal
import zlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.server.conftest import COMBINATIONS
from tests.server.support.http2 import Answer, ErrorCodes, HTTP2Client, StreamSocket
from tests.server.support.process import uvicorn
from tests.server.support.websocket import CLOSE, PING, PONG, TEXT, WebSocket, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.process import Server


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    parser, loop = request.param
    return shared("over_http2:app", http=parser, loop=loop)


@pytest.fixture
def client(server: Server) -> Iterator[HTTP2Client]:
    with HTTP2Client(server.peer()) as client:
        client.upgrade()
        client.answer(1)
        yield client


@pytest.fixture
def one_server(shared: Callable[..., Server]) -> Server:
    return shared("over_http2:app", http="httptools", loop="asyncio")


@pytest.fixture
def one_client(one_server: Server) -> Iterator[HTTP2Client]:
    with HTTP2Client(one_server.peer()) as client:
        client.upgrade()
        client.answer(1)
        yield client


def stream_of(websocket: WebSocket) -> StreamSocket:
    return cast("StreamSocket", websocket.socket)


def answer_of(client: HTTP2Client, websocket: WebSocket) -> Answer:
    return client.answers[stream_of(websocket).stream_id]


def test_the_server_says_that_it_can(client: HTTP2Client) -> None:
    assert client.h2.remote_settings.enable_connect_protocol == 1


def test_messages_are_echoed(client: HTTP2Client) -> None:
    websocket = client.websocket()
    for message in ("grüße", "", "x" * 70_000):
        websocket.send_text(message)
        assert websocket.receive_message() == message
    websocket.send_bytes(bytes(range(256)))
    assert websocket.receive_message() == bytes(range(256))
    websocket.finish()


def test_the_response_is_200_and_has_passed_the_middleware(client: HTTP2Client, server: Server) -> None:
    seen = int(client.ask_again().header("x-seen") or 0)
    websocket = client.websocket(headers={"sec-websocket-protocol": "unknown, configured.v1"})
    answer = answer_of(client, websocket)
    assert answer.status == 200
    assert answer.header("sec-websocket-protocol") == "configured.v1"
    assert answer.header("x-outer") == "seen"
    assert answer.header("x-seen") == str(seen + 1)
    assert answer.header("server") == "uvicorn"
    names = {name for name, _ in answer.headers}
    assert not names & {"connection", "upgrade", "sec-websocket-accept", "content-length", "content-encoding"}
    server.log.search('"GET /echo HTTP/2" 200')


def test_the_application_gets_the_scope_of_a_websocket(client: HTTP2Client, server: Server) -> None:
    websocket = client.websocket("/describe-scope?a=b", {"cookie": ["a=1", "b=2"]})
    scope = json.loads(websocket.receive_text())
    assert (scope["type"], scope["http_version"], scope["scheme"]) == ("websocket", "2", "ws")
    assert (scope["path"], scope["query_string"]) == ("/describe-scope", "a=b")
    assert "method" not in scope
    headers = [tuple(pair) for pair in scope["headers"]]
    assert ("host", server.host) in headers
    assert ("cookie", "a=1; b=2") in headers
    assert ("sec-websocket-version", "13") in headers
    websocket.finish()


def test_uvicorns_limits_hold(shared: Callable[..., Server]) -> None:
    server = shared("over_http2:app", "--ws-max-size", "1000")
    with HTTP2Client(server.peer()) as client:
        client.upgrade()
        client.answer(1)
        websocket = client.websocket()
        websocket.send_bytes(bytes(1001))
        assert websocket.receive_close()[0] == 1009


def test_many_websockets_and_requests_share_a_connection(client: HTTP2Client) -> None:
    websockets = [client.websocket() for _ in range(20)]
    for number, websocket in enumerate(websockets):
        websocket.send_text(f"message {number}")
    assert client.ask_again().status == 200
    for number, websocket in enumerate(websockets):
        assert websocket.receive_message() == f"message {number}"
    for websocket in websockets:
        websocket.finish()
    assert client.ask_again().status == 200


def test_long_messages_come_whole(client: HTTP2Client) -> None:
    data = random.Random(6).randbytes(900_000)
    websocket = client.websocket()
    for _ in range(2):
        websocket.send_bytes(data)
        assert websocket.receive_message() == data
    websocket.finish()


def test_pings_are_answered(client: HTTP2Client) -> None:
    websocket = client.websocket()
    websocket.send(frame(PING, b"there?"))
    assert websocket.receive_frame() == (PONG, b"there?", True)
    websocket.finish()


def test_messages_are_deflated(one_client: HTTP2Client) -> None:
    extension = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
    websocket = one_client.websocket(headers={"sec-websocket-extensions": extension})
    assert (answer_of(one_client, websocket).header("sec-websocket-extensions") or "").startswith("permessage-deflate")
    deflater = zlib.compressobj(wbits=-15)
    data = (deflater.compress(b"abc" * 1000) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    deflated = bytearray(frame(TEXT, data))
    deflated[0] |= 0x40
    websocket.send(bytes(deflated))
    first, second = websocket.receive_exactly(2)
    assert first == 0xC0 | TEXT
    payload = websocket.receive_exactly(second)
    assert zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff") == b"abc" * 1000


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/forbidden", {}, 401),
        ("/echo", {"origin": "https://evil.example"}, 403),
        ("/echo", {"origin": "https://app.example.com"}, 200),
        ("/echo", {"sec-websocket-version": "12"}, 400),
        ("/echo", {"sec-websocket-protocol": "a b"}, 400),
        ("/close-before-accept", {}, 403),
        ("/return-before-accept", {}, 500),
        ("/raise-before-accept", {}, 500),
        ("/deny-shortly", {}, 401),
    ],
)
def test_handshakes_are_refused_as_in_http1(
    one_client: HTTP2Client, path: str, headers: dict[str, Any], status: int
) -> None:
    answer = one_client.answers[one_client.connect(path, headers)]
    one_client.until(lambda: answer.status)
    assert answer.status == status
    if status != 200:
        one_client.until(lambda: answer.ended)
    assert one_client.ask_again().status == 200


def test_a_denial_response_has_its_body(one_client: HTTP2Client) -> None:
    stream_id = one_client.connect("/deny")
    answer = one_client.answers[stream_id]
    one_client.until(lambda: answer.body == b"one two ")
    assert one_client.ask_again("POST", "/release").status == 200
    assert one_client.answer(stream_id).body == b"one two three"
    assert (answer.status, answer.header("x-denied")) == (418, "yes")


def test_a_request_on_a_path_for_websockets_only_gets_426(one_client: HTTP2Client) -> None:
    answer = one_client.ask_again("GET", "/websocket-only")
    assert answer.status == 426
    assert not {name for name, _ in answer.headers} & {"upgrade", "connection"}
    one_client.websocket("/websocket-only").finish()


def test_other_protocols_are_not_implemented(one_client: HTTP2Client) -> None:
    assert one_client.answer(one_client.connect(protocol="echo")).status == 501


def test_a_get_is_no_handshake_whatever_it_says(one_client: HTTP2Client) -> None:
    headers = {"sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    report = json.loads(one_client.ask_again("GET", "/echo", headers).body)
    assert report["extensions"] == ["http.response.trailers"]


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/close?code=4001&reason=enough", 4001, "enough"),
        ("/return-after-accept", 1000, ""),
        ("/raise-after-accept", 1011, ""),
    ],
)
def test_the_application_closes(client: HTTP2Client, path: str, code: int, reason: str) -> None:
    websocket = client.websocket(path)
    assert websocket.receive_close() == (code, reason)
    websocket.send(close_frame(code))
    answer = answer_of(client, websocket)
    client.until(lambda: answer.ended or answer.reset is not None)
    assert answer.reset in (None, ErrorCodes.NO_ERROR)
    assert client.ask_again().status == 200


def test_the_client_closes(client: HTTP2Client, server: Server) -> None:
    websocket = client.websocket()
    websocket.key = client.peer.key
    websocket.send_close(4002, "that is all")
    assert websocket.receive_close()[0] == 4002
    assert server.note(client.peer.key, "websocket.disconnect") == {"code": 4002, "reason": "that is all"}
    client.until(lambda: answer_of(client, websocket).ended)


@pytest.mark.parametrize("how", ["reset", "end", "lost"])
def test_a_client_that_leaves_without_a_close_is_noticed(client: HTTP2Client, server: Server, how: str) -> None:
    websocket = client.websocket()
    websocket.send_text("hello")
    assert websocket.receive_message() == "hello"
    if how == "reset":
        stream_of(websocket).reset()
    elif how == "end":
        stream_of(websocket).shutdown(1)
    else:
        client.peer.reset()
    assert server.note(client.peer.key, "websocket.disconnect")["code"] == 1006
    if how != "lost":
        assert client.ask_again().status == 200


def test_a_broken_rule_ends_its_stream_only(client: HTTP2Client) -> None:
    good, bad = client.websocket(), client.websocket()
    bad.send(b"\x83\x80abcd")
    assert bad.receive_close()[0] == 1002
    good.send_text("still here")
    assert good.receive_message() == "still here"
    good.finish()


def test_a_stream_that_is_closed_and_reset_at_once_does_no_harm(client: HTTP2Client, server: Server) -> None:
    """The close frame would be answered at once, if there were still somebody to answer."""
    position = len(server.log.lines)
    websocket = client.websocket()
    websocket.send_text("hello")
    assert websocket.receive_message() == "hello"
    stream_id = stream_of(websocket).stream_id
    client.h2.send_data(stream_id, close_frame(1000))
    client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
    client.flush()
    assert client.ask_again().status == 200
    server.settle()
    assert not any("Traceback" in line or "Error" in line for line in server.log.lines[position:])


def test_frames_may_come_with_the_handshake(client: HTTP2Client) -> None:
    stream_id = client.connect()
    client.send(stream_id, frame(TEXT, b"early"))
    client.until(lambda: len(client.answers[stream_id].body) >= 7)
    assert client.answers[stream_id].body == b"\x81\x05early"


def test_a_client_that_does_not_read_blocks_send(server: Server) -> None:
    with HTTP2Client(server.peer(), read=False) as client:
        client.upgrade()
        client.answer(1)
        client.websocket("/flood")
        blocked = server.note(client.peer.key, "blocked")
        assert blocked["sent"] <= 4 * 65536


def test_an_application_that_does_not_read_blocks_its_client(client: HTTP2Client, server: Server) -> None:
    websocket = client.websocket("/wait-for-release")
    stream = stream_of(websocket)
    messages = [frame(2, number.to_bytes(4, "big") + bytes(8000)) for number in range(100)]
    sent, data = 0, b"".join(messages)
    while (window := client.window(stream.stream_id)) > 0 or client.receive_soon():
        piece = data[sent : sent + min(window, 16384)]
        client.send(stream.stream_id, piece)
        sent += len(piece)
    assert sent < len(data)
    assert client.ask_again("POST", "/release").status == 200
    client.send(stream.stream_id, data[sent:])
    websocket.send_text("done")
    assert json.loads(websocket.receive_text()) == {"messages": 100, "in order": True}


def test_websockets_are_closed_when_the_server_stops() -> None:
    with uvicorn("over_http2:app") as server, HTTP2Client(server.peer()) as client:
        client.upgrade()
        websocket = client.websocket()
        websocket.send_text("hello")
        assert websocket.receive_message() == "hello"
        os.kill(server.process.pid, signal.SIGTERM)
        assert websocket.receive_frame() == (CLOSE, (1012).to_bytes(2, "big"), True)
        websocket.send_close(1012)
        goaway = client.until_end()
        assert goaway is not None
        assert goaway.error_code == ErrorCodes.NO_ERROR
        client.peer.close()
        assert server.wait() in (0, -signal.SIGTERM)
