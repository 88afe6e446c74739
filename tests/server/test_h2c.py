"""HTTP/2 by upgrade (RFC 7540 section 3.2): the request that offers it, and the requests that follow."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.conftest import COMBINATIONS
from tests.server.support.http2 import Answer, ErrorCodes, HTTP2Client, SettingCodes, frame, offer
from tests.server.support.peer import chunked
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.process import Server

BODY = random.Random(6).randbytes(1_000_000)


@pytest.fixture(params=COMBINATIONS, ids="-".join)
def server(request: pytest.FixtureRequest, shared: Callable[..., Server]) -> Server:
    """`apps/over_http2.py` under every HTTP parser and event loop."""
    parser, loop = request.param
    return shared("over_http2:app", http=parser, loop=loop)


@pytest.fixture
def one_server(shared: Callable[..., Server]) -> Server:
    """The same once, for what has nothing to do with parser and loop."""
    return shared("over_http2:app", http="httptools", loop="asyncio")


@pytest.fixture
def client(server: Server) -> Iterator[HTTP2Client]:
    with HTTP2Client(server.peer()) as client:
        yield client


@pytest.fixture
def one_client(one_server: Server) -> Iterator[HTTP2Client]:
    """A client of `one_server` whose connection has been upgraded."""
    with HTTP2Client(one_server.peer()) as client:
        client.upgrade()
        assert client.answer(1).status == 200
        yield client


def whole(report: dict[str, Any], body: bytes) -> bool:
    """Whether the application got this body."""
    return (report["length"], report["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


# The upgrade


def test_a_request_becomes_the_first_stream(client: HTTP2Client, server: Server) -> None:
    response = client.upgrade(target="/describe?a=b", headers={"X-Mine": "yes", "Keep-Alive": "timeout=5"})
    assert response.header("upgrade") == "h2c"
    assert response.header("connection") == "Upgrade"
    answer = client.answer(1)
    assert (answer.status, answer.ended) == (200, True)
    scope = json.loads(answer.body)
    assert scope["http_version"] == "2"
    assert (scope["scheme"], scope["method"], scope["path"], scope["query_string"]) == (
        "http",
        "GET",
        "/describe",
        "a=b",
    )
    assert scope["extensions"] == ["http.response.trailers"]
    names = [name for name, _ in scope["headers"]]
    assert "x-mine" in names
    assert not {"connection", "upgrade", "http2-settings", "keep-alive"} & set(names)
    assert scope["state"]["from lifespan"] == "yes"


def test_each_request_passes_the_middleware_once(client: HTTP2Client) -> None:
    client.upgrade()
    first = int(client.answer(1).header("x-seen") or 0)
    for number in range(1, 4):
        assert client.ask_again().header("x-seen") == str(first + number)


def test_responses_have_what_uvicorn_adds_and_are_in_its_access_log(client: HTTP2Client, server: Server) -> None:
    position = len(server.log.lines)
    client.upgrade(target="/http?x=%20y")
    for answer in (client.answer(1), client.ask_again("POST", "/second")):
        assert answer.header("server") == "uvicorn"
        assert answer.header("date")
    port = client.peer.socket.getsockname()[1]
    for line in ('GET /http%3Fx=%20y HTTP/1.1" 101', 'GET /http\\?x=%20y HTTP/2" 200', 'POST /second HTTP/2" 200'):
        pattern = f'127.0.0.1:{port} - "' + line.replace("%3F", "\\?")
        server.log.search(pattern, start=position)


@pytest.mark.parametrize("size", [1, 70_000, len(BODY)])
@pytest.mark.parametrize("kind", ["known", "unknown"])
def test_a_body_comes_whole_before_the_switch(client: HTTP2Client, size: int, kind: str) -> None:
    body = BODY[:size]
    if kind == "known":
        client.upgrade("POST", headers={"Content-Length": size}, body=body)
    else:
        chunks = [body[start : start + 9999] for start in range(0, size, 9999)]
        client.upgrade("POST", headers={"Transfer-Encoding": "chunked"}, body=chunked(*chunks))
    report = json.loads(client.answer(1).body)
    assert whole(report, body)
    assert (report["method"], report["http_version"]) == ("POST", "2")
    assert ("transfer-encoding", "chunked") not in map(tuple, report["headers"])
    assert client.ask_again().status == 200


def test_a_body_is_read_while_it_arrives(client: HTTP2Client, server: Server) -> None:
    """An application that reads gets the first part before the last was sent."""
    peer = client.peer
    peer.send(client.ask("POST", "/http", {"Content-Length": 300_000}))
    peer.send(BODY[:150_000])
    peer.send(BODY[150_000:300_000])
    client.begin()
    assert whole(json.loads(client.answer(1).body), BODY[:300_000])


def test_100_comes_before_the_body_and_101_behind_it(client: HTTP2Client) -> None:
    peer = client.peer
    peer.send(client.ask("POST", headers={"Content-Length": 1000, "Expect": "100-continue"}))
    assert peer.receive_response().status == 100
    peer.send(BODY[:1000])
    client.begin()
    assert whole(json.loads(client.answer(1).body), BODY[:1000])


@pytest.mark.parametrize("size", [100, 50_000, 300_000])
def test_a_body_that_nobody_reads_is_read_all_the_same(client: HTTP2Client, size: int) -> None:
    client.upgrade("POST", "/ignore-body", {"Content-Length": size}, body=BODY[:size])
    assert client.answer(1).body == b'"not read"'
    assert client.ask_again().status == 200


def test_a_small_body_may_be_read_while_the_response_begins(client: HTTP2Client) -> None:
    client.upgrade("POST", "/echo-body", {"Content-Length": 50_000}, body=BODY[:50_000])
    assert client.answer(1).body == BODY[:50_000]


def test_a_large_body_that_is_sent_back_while_it_comes_stays_with_http1(client: HTTP2Client) -> None:
    """The response cannot wait for the end of a body that waits for the response."""
    peer = client.peer
    peer.send(client.ask("POST", "/echo-body", {"Content-Length": len(BODY)}, body=BODY[:600_000]))
    peer.send(BODY[600_000:])
    response = peer.receive_response()
    assert (response.status, response.body) == (200, BODY)
    assert peer.ask().status == 200


def test_a_refusal_need_not_wait_for_a_body_that_waits_for_100(client: HTTP2Client) -> None:
    peer = client.peer
    peer.send(client.ask("POST", "/forbidden", {"Content-Length": 1000, "Expect": "100-continue"}))
    assert peer.receive_response().status == 401


def test_an_answer_does_not_wait_for_ever_for_a_body(one_server: Server) -> None:
    with HTTP2Client(one_server.peer()) as client:
        client.peer.send(client.ask("POST", "/ignore-body", {"Content-Length": 1000}, body=b"some"))
        response = client.peer.receive_response()
    assert (response.status, response.body) == (200, b'"not read"')


@pytest.mark.parametrize("sent", [b"some", bytes(1000)])
def test_an_application_may_answer_while_it_reads(one_server: Server, sent: bytes) -> None:
    with HTTP2Client(one_server.peer()) as client:
        client.peer.send(client.ask("POST", "/read-and-answer", {"Content-Length": 1000}, body=sent))
        response = client.peer.receive_response()
    if len(sent) < 1000:
        assert (response.status, response.body) == (200, b'"answered"')
    else:
        assert response.status == 101


def test_an_application_may_fail_before_it_has_read_the_body(client: HTTP2Client) -> None:
    client.peer.send(client.ask("POST", "/fail", {"Content-Length": 1000}, body=b"some"))
    assert client.peer.receive_response().status == 500


def test_what_arrives_with_the_request_is_kept(client: HTTP2Client) -> None:
    request = client.ask("POST", headers={"Content-Length": 10}, body=b"0123456789")
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", client.peer.host), (":path", "/early")]
    client.h2.send_headers(3, fields, end_stream=True)
    client.answers[3] = Answer()
    client.peer.send(request + client.h2.data_to_send())
    client.begin()
    assert json.loads(client.answer(3).body)["path"] == "/early"
    assert json.loads(client.answer(1).body)["length"] == 10


def test_no_data_is_sent_before_the_clients_preface(client: HTTP2Client) -> None:
    client.peer.send(client.ask(target="/pour?50000"))
    assert client.peer.receive_response().status == 101
    early = client.peer.take_unread() + client.peer.receive_until_silence(0.3)
    kinds = []
    while early:
        kinds.append(early[3])
        early = early[9 + int.from_bytes(early[:3], "big") :]
    assert kinds[0] == 4  # SETTINGS
    assert 0 not in kinds  # DATA


def test_settings_of_the_offer_are_in_force_at_once(server: Server) -> None:
    with HTTP2Client(server.peer(), {SettingCodes.INITIAL_WINDOW_SIZE: 1000}, read=False) as client:
        client.upgrade(target="/pour?5000")
        client.until(lambda: len(client.answers[1].body) >= 1000)
        assert client.ask_again().status == 200
        assert len(client.answers[1].body) == 1000


@pytest.mark.parametrize(
    "changed",
    [
        {"HTTP2-Settings": None},
        {"HTTP2-Settings": ["AAMAAABk", "AAMAAABk"]},
        {"HTTP2-Settings": "AAMAAABk, AAMAAABk"},
        {"HTTP2-Settings": "not base64!"},
        {"HTTP2-Settings": "AAMAAAB"},
        {"HTTP2-Settings": base64.urlsafe_b64encode(b"\0\4\xff\xff\xff\xff").decode()},
        {"Connection": "Upgrade"},
        {"Connection": "HTTP2-Settings"},
        {"Upgrade": "h2"},
        {"Upgrade": "h2c/2"},
    ],
)
def test_a_request_that_does_not_offer_it_properly_is_served_as_http1(
    one_server: Server, changed: dict[str, Any]
) -> None:
    with one_server.peer() as peer:
        for _ in range(2):
            response = peer.ask(headers={**offer(bytes.fromhex("000300000064")), **changed})
            assert (response.status, json.loads(response.body)["http_version"]) == (200, "1.1")


@pytest.mark.parametrize(
    "value", ["", "AAMAAABkAAQCAAAAAAIAAAAA", "AAMAAAAAAAIAAAAA", "AAMAAABk", "AAQAAP__==", "ABAAAAAB"]
)
def test_settings_that_clients_send_are_understood(one_server: Server, value: str) -> None:
    with one_server.peer() as peer:
        peer.send(peer.request(headers={**offer(), "HTTP2-Settings": value}))
        assert peer.receive_response().status == 101


def test_http10_has_no_upgrade(one_server: Server) -> None:
    with one_server.peer() as peer:
        peer.send(peer.request(headers=offer(), version="HTTP/1.0"))
        assert peer.receive_response().status == 200


def test_a_websocket_that_is_offered_first_goes_before(one_server: Server) -> None:
    handshake = {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    with one_server.peer() as peer:
        response = peer.ask(target="/echo", headers={**offer(), **handshake, "Upgrade": "websocket, h2c"})
        assert (response.status, response.header("upgrade")) == (101, "websocket")
    with one_server.peer() as peer:
        response = peer.ask(target="/echo", headers={**offer(), **handshake, "Upgrade": "h2c, websocket"})
        assert (response.status, response.header("upgrade")) == (101, "h2c")


def test_only_the_networks_that_are_named_get_it() -> None:
    for networks, status in (("10.0.0.0/8 ::1 unix", 200), ("10.0.0.0/8 127.0.0.0/8", 101)):
        with uvicorn("over_http2:app", environment={"H2C_NETWORKS": networks}) as server, server.peer() as peer:
            assert peer.ask(headers={**offer(), "X-Forwarded-For": "10.1.2.3"}).status == status


# Requests on streams


def test_a_request_on_a_stream(client: HTTP2Client, server: Server) -> None:
    client.upgrade(target="/describe")
    first = json.loads(client.answer(1).body)
    headers = {"x-mine": ["one", "two"], "cookie": ["a=1", "b=2"], "te": "trailers"}
    scope = json.loads(client.ask_again("PUT", "/describe?a=%20b", headers).body)
    for key in ("type", "asgi", "client", "server", "root_path", "scheme", "http_version", "extensions"):
        assert scope[key] == first[key]
    assert (scope["method"], scope["path"], scope["query_string"]) == ("PUT", "/describe", "a=%20b")
    assert scope["headers"][0] == ["host", server.host]
    assert ["cookie", "a=1; b=2"] in scope["headers"]
    assert [value for name, value in scope["headers"] if name == "x-mine"] == ["one", "two"]
    assert "changed by a request" not in scope["state"]
    assert scope["state"]["from lifespan"] == "yes"


def test_paths_are_decoded(one_client: HTTP2Client) -> None:
    report = json.loads(one_client.ask_again("GET", "/gr%C3%BC%C3%9Fe%2F?x").body)
    assert report["path"] == "/grüße/"
    assert json.loads(one_client.ask_again("OPTIONS", "*").body)["path"] == "*"


def test_host_stands_in_for_authority(one_client: HTTP2Client) -> None:
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/http"), ("host", "example.com")]
    stream_id = one_client.h2.get_next_available_stream_id()
    one_client.send_headers(stream_id, fields)
    assert ["host", "example.com"] in json.loads(one_client.answer(stream_id).body)["headers"]


@pytest.mark.parametrize("size", [0, 1, 70_000, len(BODY)])
def test_bodies_on_streams_come_whole(client: HTTP2Client, size: int) -> None:
    client.upgrade()
    stream_id = client.request("POST", end=False)
    client.send(stream_id, BODY[:size], end=True)
    assert whole(json.loads(client.answer(stream_id).body), BODY[:size])


def test_bodies_go_both_ways_at_once(client: HTTP2Client) -> None:
    client.upgrade()
    stream_id = client.request("POST", "/echo-body", end=False)
    answer = client.answers[stream_id]
    for start in range(0, len(BODY), 100_000):
        client.send(stream_id, BODY[start : start + 100_000])
        while len(answer.body) < start + 50_000:
            assert client.receive()
    client.h2.end_stream(stream_id)
    client.flush()
    assert client.answer(stream_id).body == BODY


def test_many_requests_at_once(client: HTTP2Client) -> None:
    client.upgrade()
    streams = [client.request("GET", f"/slow?0.{number % 4}") for number in range(90)]
    assert {client.answer(stream_id).status for stream_id in streams} == {200}


def test_trailers_of_a_request_do_no_harm(client: HTTP2Client) -> None:
    client.upgrade()
    stream_id = client.request("POST", end=False)
    client.send(stream_id, b"body")
    client.send_headers(stream_id, [("x-trailer", "yes")])
    assert json.loads(client.answer(stream_id).body)["length"] == 4


def test_a_response_may_have_trailers(one_client: HTTP2Client) -> None:
    answer = one_client.ask_again("GET", "/with-trailers")
    assert answer.body == b"body ends"
    assert answer.trailers == [("x-one", "1"), ("x-two", "2")]
    answer = one_client.ask_again("GET", "/with-trailers?none")
    assert answer.body == b"body ends"
    assert answer.trailers == []


def test_100_continue_on_a_stream(one_client: HTTP2Client) -> None:
    stream_id = one_client.request("POST", headers={"expect": "100-continue"}, end=False)
    answer = one_client.answers[stream_id]
    one_client.until(lambda: answer.interim == [100])
    one_client.send(stream_id, b"body", end=True)
    assert one_client.answer(stream_id).status == 200
    unread = one_client.request("POST", "/ignore-body", headers={"expect": "100-continue"}, end=False)
    assert (one_client.answer(unread).status, one_client.answers[unread].interim) == (200, [])


def test_head_and_204_have_no_body(one_client: HTTP2Client) -> None:
    answer = one_client.ask_again("HEAD", "/http")
    assert (answer.status, bytes(answer.body), answer.ended) == (200, b"", True)
    assert int(answer.header("content-length") or 0) > 0
    assert one_client.ask_again("GET", "/no-content").status == 204


def test_fields_that_http2_does_not_have_are_left_out(one_client: HTTP2Client) -> None:
    answer = one_client.ask_again("GET", "/dressed")
    names = {name for name, _ in answer.headers}
    assert not names & {"connection", "keep-alive", "transfer-encoding"}
    assert answer.header("x-upper") == "yes"
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]


def test_messages_that_do_not_fit_raise(one_client: HTTP2Client, one_server: Server) -> None:
    assert json.loads(one_client.ask_again("GET", "/nonsense").body) == ["RuntimeError", "RuntimeError", "ValueError"]
    assert "after response already completed" in one_server.note(one_client.peer.key, "raised")["message"]


# Errors of the application


def test_an_error_of_the_application_is_logged_and_answered(client: HTTP2Client, server: Server) -> None:
    position = len(server.log.lines)
    client.upgrade(target="/fail")
    assert client.answer(1).status == 500
    server.log.search("Exception in ASGI application", start=position)
    server.log.search("RuntimeError: a page that fails", start=position)
    assert client.ask_again("GET", "/fail").status == 500
    assert client.ask_again().status == 200


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/fail-later", "RuntimeError: raised in mid response"),
        ("/too-short", "Response content shorter than Content-Length"),
    ],
)
def test_a_response_that_breaks_off_is_reset(
    one_client: HTTP2Client, one_server: Server, path: str, logged: str
) -> None:
    position = len(one_server.log.lines)
    assert one_client.ask_again("GET", path).reset == ErrorCodes.INTERNAL_ERROR
    one_server.log.search(logged, start=position)
    assert one_client.ask_again().status == 200


def test_an_application_that_says_nothing_is_answered_for(one_client: HTTP2Client, one_server: Server) -> None:
    assert one_client.ask_again("GET", "/say-nothing").status == 500
    one_server.log.search("ASGI callable returned without starting response.")


# Flow control


def test_a_client_that_does_not_read_blocks_send(server: Server) -> None:
    with HTTP2Client(server.peer(), read=False) as client:
        client.upgrade()
        client.answer(1)
        stream_id = client.request("GET", "/pour?1000000")
        assert server.note(client.peer.key, "blocked")["sent"] <= 2 * 65536
        assert client.answers[stream_id].body == b"" or not client.answers[stream_id].ended
        client.h2.increment_flow_control_window(2**30)
        client.h2.increment_flow_control_window(2**30, stream_id)
        client.flush()
        assert len(client.answer(stream_id).body) == 1_000_000


def test_a_socket_that_is_not_read_blocks_send(server: Server) -> None:
    with HTTP2Client(server.peer(), {SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}) as client:
        client.upgrade()
        client.answer(1)
        client.h2.increment_flow_control_window(2**30)
        stream_id = client.request("GET", "/pour?20000000")
        assert server.note(client.peer.key, "blocked")["sent"] < 15_000_000
        assert len(client.answer(stream_id).body) == 20_000_000


def test_an_application_that_does_not_read_blocks_its_client_and_no_other(client: HTTP2Client, server: Server) -> None:
    client.upgrade()
    stream_id = client.request("POST", "/read-later", end=False)
    client.h2.send_data(stream_id, bytes(16384))
    client.h2.send_data(stream_id, bytes(16384))
    client.h2.send_data(stream_id, bytes(16384))
    client.h2.send_data(stream_id, bytes(16383))
    client.flush()
    server.note(client.peer.key, "started")
    other = client.request("POST", end=False)
    client.send(other, BODY, end=True)
    assert whole(json.loads(client.answer(other).body), BODY)
    assert client.h2.streams[stream_id].outbound_flow_control_window <= 1
    assert client.ask_again("POST", "/release").status == 200
    client.send(stream_id, bytes(100_000), end=True)
    assert json.loads(client.answer(stream_id).body)["length"] == 165_535


def test_large_responses_take_turns(one_client: HTTP2Client) -> None:
    streams = [one_client.request("GET", "/pour?400000") for _ in range(3)]
    answers = [one_client.answers[stream_id] for stream_id in streams]
    one_client.until(lambda: any(answer.ended for answer in answers))
    assert all(len(answer.body) > 100_000 for answer in answers)
    assert all(len(one_client.answer(stream_id).body) == 400_000 for stream_id in streams)


# The end of streams


def test_a_reset_is_a_disconnect(client: HTTP2Client, server: Server) -> None:
    client.upgrade()
    stream_id = client.request("GET", "/wait-for-disconnect")
    client.until(lambda: client.answers[stream_id].body == b"begun")
    client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
    client.flush()
    server.note(client.peer.key, "http.disconnect")
    server.note(client.peer.key, "sent")
    assert client.ask_again().status == 200


def test_a_lost_connection_is_a_disconnect_for_all_its_streams(client: HTTP2Client, server: Server) -> None:
    client.upgrade(target="/wait-for-disconnect")
    stream_id = client.request("POST", "/echo-body", end=False)
    client.send(stream_id, b"something")
    client.until(lambda: client.answers[stream_id].body == b"something")
    client.peer.reset()
    server.note(client.peer.key, "http.disconnect")
    server.note(client.peer.key, "disconnect")


def test_what_is_missing_of_a_request_is_not_wanted_behind_its_response(client: HTTP2Client) -> None:
    client.upgrade()
    stream_id = client.request("POST", "/ignore-body", end=False)
    answer = client.answers[stream_id]
    client.until(lambda: answer.reset is not None)
    assert (answer.status, answer.ended, answer.reset) == (200, True, ErrorCodes.NO_ERROR)
    assert client.ask_again().status == 200


def test_a_client_may_announce_that_it_opens_no_more_streams(client: HTTP2Client) -> None:
    client.upgrade(target="/slow?0.2")
    client.send_raw(frame(7, 0, 0, bytes(8)))
    assert client.answer(1).status == 200
    assert client.until_end() is not None


def test_connect_reaches_no_application(one_client: HTTP2Client) -> None:
    stream_id = one_client.h2.get_next_available_stream_id()
    one_client.send_headers(stream_id, [(":method", "CONNECT"), (":authority", "example.com:80")], end=False)
    answer = one_client.answers[stream_id]
    while one_client.receive() and not answer.ended:
        pass
    # Old versions of h2 do not know a CONNECT without a path, and end the connection.
    assert answer.status == 501 or one_client.goaway is not None


def test_what_looks_like_http1_behind_the_101_is_not_served(server: Server) -> None:
    with HTTP2Client(server.peer()) as client:
        client.peer.send(client.ask() + client.peer.request(target="/smuggled"))
        assert client.peer.receive_response().status == 101
        assert client.peer.receive_end()
    server.settle()
    assert not any("smuggled" in line for line in server.log.lines)


def test_the_first_stream_may_be_reset_with_the_request_that_opens_it(client: HTTP2Client, server: Server) -> None:
    position = len(server.log.lines)
    request = client.ask(target="/wait-for-disconnect")
    client.peer.send(request + client.h2.data_to_send() + frame(3, 0, 1, b"\0\0\0\x08"))
    assert client.peer.receive_response().status == 101
    server.note(client.peer.key, "sent")
    assert not any("Traceback" in line for line in server.log.lines[position:])


def test_a_client_may_leave_with_the_request_that_it_opens_the_connection_with(
    client: HTTP2Client, server: Server
) -> None:
    client.peer.send(client.ask() + client.h2.data_to_send() + frame(7, 0, 0, bytes(8)))
    client.begin()
    assert client.answer(1).status == 200


def test_a_client_that_sends_before_it_reads_is_not_kept_waiting(client: HTTP2Client) -> None:
    """What it sends is taken though it takes nothing of what is sent to it."""
    client.upgrade()
    client.answer(1)
    client.h2.increment_flow_control_window(2**30)
    down = client.request("GET", "/pour?3000000")
    client.h2.increment_flow_control_window(2**30, down)
    up = client.request("POST", end=False)
    for _ in range(3):
        client.h2.send_data(up, bytes(16384))
        client.flush()
    client.h2.end_stream(up)
    client.flush()
    assert json.loads(client.answer(up).body)["length"] == 3 * 16384
    assert len(client.answer(down).body) == 3_000_000
