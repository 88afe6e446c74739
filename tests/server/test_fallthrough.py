"""A request whose offer nobody takes is served as ordinary HTTP/1.1, whichever parser is configured."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.support import usage
from tests.server.support.peer import chunked
from tests.server.support.websocket import TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.peer import Peer, Response
    from tests.server.support.process import Server

# What Java's HttpClient adds to each request on a plain connection.
JAVA = {
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
}
OFFERS: dict[str, dict[str, Any]] = {
    "h2c": JAVA,
    "unknown": {"Connection": "upgrade", "Upgrade": "example/1, foo/2"},
    "several lines": {"Connection": ["keep-alive", "Upgrade"], "Upgrade": ["foo", "bar/3"]},
    "TLS": {"Connection": "Upgrade", "Upgrade": "TLS/1.2"},
    "Upgrade without Connection": {"Upgrade": "h2c"},
    # HAProxy forwards this much of an offer that it dropped.
    "Connection without Upgrade": {"Connection": "Upgrade"},
    "malformed": {"Connection": "Upgrade", "Upgrade": '"h2c'},
    "empty": {"Connection": "Upgrade", "Upgrade": ""},
}
BODY = b"".join(b"line %d\r\n\r\n" % number for number in range(50))


@pytest.fixture(params=OFFERS)
def offer(request: pytest.FixtureRequest) -> dict[str, Any]:
    return OFFERS[request.param]


def arrived(response: Response) -> Any:
    """What `apps/pages.py` says of the request."""
    assert response.status == 200, response
    return json.loads(response.body)


def assert_intact(response: Response, body: bytes) -> None:
    facts = arrived(response)
    assert facts["length"] == len(body)
    assert facts["sha256"] == hashlib.sha256(body).hexdigest()


def assert_alive(peer: Peer) -> None:
    """The connection goes on as HTTP."""
    assert arrived(peer.ask("GET", "/after"))["path"] == "/after"


@pytest.mark.parametrize(
    ("dropped", "version", "missing"),
    [
        ({"Upgrade": None, "Connection": "close"}, "HTTP/1.1", "lacks the field Upgrade: websocket"),
        ({"Connection": "close"}, "HTTP/1.0", "comes in HTTP/1.0"),
    ],
)
@pytest.mark.parametrize("app", ["configured:default", "frameworks:fastapi_added"])
def test_what_a_proxy_has_dropped_of_a_handshake_is_logged_once(
    shared: Callable[..., Server], app: str, dropped: dict[str, str | None], version: str, missing: str
) -> None:
    server = shared(app)
    target = f"/dropped/{missing[:5]}"
    for _ in range(2):
        with server.handshaker() as websocket:
            websocket.send(websocket.handshake(target, {**dropped, "Authorization": "Bearer ada"}, version=version))
            assert b" 101 " not in websocket.receive_end().partition(b"\r\n")[0]
    with server.peer() as peer:
        peer.ask(target="/http")
    line = server.log.search(re.escape(f"GET {target} ") + ".*has fields of a WebSocket handshake").string
    assert missing in line
    assert "proxy_set_header Upgrade" in line
    assert len([each for each in server.log.lines if target in each and "has fields" in each]) == 1


def test_a_request_with_an_offer_is_served_and_the_connection_stays_alive(
    server: Server, offer: dict[str, Any]
) -> None:
    with server.peer() as peer:
        response = peer.ask("GET", "/offered?x=1", headers=offer)
        facts = arrived(response)
        assert (facts["method"], facts["path"], facts["http_version"]) == ("GET", "/offered", "1.1")
        assert response.header("upgrade") is None
        assert_alive(peer)


def test_the_app_sees_the_offer_in_the_headers(server: Server) -> None:
    with server.peer() as peer:
        headers = arrived(peer.ask(headers=JAVA))["headers"]
        assert ["upgrade", "h2c"] in headers
        assert ["connection", "Upgrade, HTTP2-Settings"] in headers


@pytest.mark.parametrize(
    ("headers", "version", "offered"),
    [
        (JAVA, "HTTP/1.1", ["http.upgrade"]),
        (JAVA, "HTTP/1.0", []),
        ({}, "HTTP/1.1", []),
        (OFFERS["Upgrade without Connection"], "HTTP/1.1", []),
        (OFFERS["Connection without Upgrade"], "HTTP/1.1", []),
    ],
)
def test_the_extension_is_there_only_where_the_request_can_be_upgraded(
    server: Server, headers: dict[str, Any], version: str, offered: list[str]
) -> None:
    with server.peer() as peer:
        assert arrived(peer.ask(headers=headers, version=version))["extensions"] == offered


def test_a_body_with_content_length_arrives_whole(server: Server, offer: dict[str, Any]) -> None:
    with server.peer() as peer:
        assert_intact(peer.ask("POST", headers={**offer, "Content-Length": len(BODY)}, body=BODY), BODY)
        assert_alive(peer)


def test_a_chunked_body_arrives_whole(server: Server, offer: dict[str, Any]) -> None:
    with server.peer() as peer:
        body = chunked(BODY[:7], BODY[7:300], BODY[300:])
        assert_intact(peer.ask("POST", headers={**offer, "Transfer-Encoding": "chunked"}, body=body), BODY)
        assert_alive(peer)


@pytest.mark.parametrize("size", [1, 64])
def test_a_request_split_over_segments_arrives_whole(server: Server, size: int) -> None:
    body = BODY[:100]
    with server.peer() as peer:
        sent = peer.request("POST", headers={**JAVA, "Content-Length": len(body)}, body=body)
        peer.send_in_pieces(sent, size)
        assert_intact(peer.receive_response(), body)
        assert_alive(peer)


@pytest.mark.parametrize("size", [1, 64])
def test_a_chunked_request_split_over_segments_arrives_whole(server: Server, size: int) -> None:
    body = BODY[:100]
    with server.peer() as peer:
        headers = {**JAVA, "Transfer-Encoding": "chunked"}
        peer.send_in_pieces(peer.request("POST", headers=headers, body=chunked(body[:9], body[9:])), size)
        assert_intact(peer.receive_response(), body)
        assert_alive(peer)


@pytest.mark.parametrize("cut", ["in the head", "after the head", "in the body", "before the last byte"])
def test_a_request_cut_anywhere_arrives_whole(server: Server, cut: str) -> None:
    with server.peer() as peer:
        sent = peer.request("POST", headers={**JAVA, "Content-Length": len(BODY)}, body=BODY)
        head = len(sent) - len(BODY)
        position = {
            "in the head": head - 3,
            "after the head": head,
            "in the body": head + 10,
            "before the last byte": len(sent) - 1,
        }
        peer.send(sent[: position[cut]])
        peer.wait_until_read()
        peer.send(sent[position[cut] :])
        assert_intact(peer.receive_response(), BODY)
        assert_alive(peer)


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
@pytest.mark.parametrize("segment", [1448, 65536, 10**7])
def test_a_body_of_one_mebibyte_arrives_whole(server: Server, framing: str, segment: int) -> None:
    body = bytes(range(256)) * 4096
    with server.peer() as peer:
        if framing == "chunked":
            pieces = [body[start : start + 8000] for start in range(0, len(body), 8000)]
            sent = peer.request("POST", headers={**JAVA, "Transfer-Encoding": "chunked"}, body=chunked(*pieces))
        else:
            sent = peer.request("POST", headers={**JAVA, "Content-Length": len(body)}, body=body)
        peer.send_in_pieces(sent, segment, pause=0)
        assert_intact(peer.receive_response(), body)
        assert_alive(peer)


@pytest.mark.parametrize("offer", [{}, JAVA], ids=["no offer", "h2c"])
@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_body_of_empty_lines_is_read_as_fast_as_any_other(
    server: Server, offer: dict[str, Any], framing: str
) -> None:
    """Empty lines end heads; a body full of them must not cost more than it has bytes."""
    body = b"\r\n\r\n" * (256 * 1024)
    with server.peer() as peer:
        before = usage.cpu(server.process.pid)
        if framing == "chunked":
            sent = peer.request("POST", headers={**offer, "Transfer-Encoding": "chunked"}, body=chunked(body))
        else:
            sent = peer.request("POST", headers={**offer, "Content-Length": len(body)}, body=body)
        peer.send(sent)
        assert_intact(peer.receive_response(), body)
        assert usage.cpu(server.process.pid) - before < 1  # 0.01 was measured, and 2 with a cut at each line


def test_chunks_of_one_byte_cost_with_an_offer_what_they_cost_without(server: Server) -> None:
    body = bytes(range(256)) * 128
    spent = {}
    for name, offer in {"warm": {}, "plain": {}, "offer": JAVA}.items():
        with server.peer() as peer:
            before = usage.cpu(server.process.pid)
            headers = {**offer, "Transfer-Encoding": "chunked"}
            for _ in range(4):
                peer.send(peer.request("POST", headers=headers, body=chunked(*(bytes([each]) for each in body))))
                assert_intact(peer.receive_response(), body)
            spent[name] = usage.cpu(server.process.pid) - before
    assert spent["offer"] < 8 * spent["plain"] + 0.2  # three times were measured, and twenty times with another parser


def test_expect_100_continue_is_answered_before_the_body_comes(server: Server, offer: dict[str, Any]) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**offer, "Expect": "100-continue", "Content-Length": len(BODY)}))
        assert peer.receive_response().status == 100
        peer.send(BODY)
        assert_intact(peer.receive_response(), BODY)
        assert_alive(peer)


def test_expect_100_continue_with_a_chunked_body(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**JAVA, "Expect": "100-continue", "Transfer-Encoding": "chunked"}))
        assert peer.receive_response().status == 100
        peer.send(chunked(BODY))
        assert_intact(peer.receive_response(), BODY)
        assert_alive(peer)


def test_a_body_that_the_app_does_not_read_is_not_taken_for_a_request(server: Server) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.peer() as peer:
        response = peer.ask("POST", "/ignore-body", headers={**JAVA, "Content-Length": len(body)}, body=body)
        assert response.body == b'"not read"'
        assert_alive(peer)


def test_a_body_that_comes_after_the_response_is_not_taken_for_a_request(server: Server) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.peer() as peer:
        assert peer.ask("POST", "/ignore-body", headers={**JAVA, "Content-Length": len(body)}).body == b'"not read"'
        peer.send(body)
        assert_alive(peer)


def test_a_response_in_chunks_is_intact(server: Server) -> None:
    with server.peer() as peer:
        assert peer.ask("GET", "/stream", headers=JAVA).body == b"one two three"
        assert_alive(peer)


def test_a_head_request_with_an_offer_has_no_body(server: Server) -> None:
    with server.peer() as peer:
        response = peer.ask("HEAD", headers=JAVA)
        assert (response.status, response.body) == (200, b"")
        assert_alive(peer)


def test_connection_close_beside_the_offer_is_honoured(server: Server) -> None:
    with server.peer() as peer:
        response = peer.ask(headers={"Connection": "close, Upgrade", "Upgrade": "h2c"})
        assert response.status == 200
        assert peer.receive_end() == b""


def test_an_app_that_fails_is_a_500(server: Server) -> None:
    with server.peer() as peer:
        assert peer.ask("GET", "/fail", headers=JAVA).status == 500


def pipelined(peer: Peer, *requests: tuple[str, dict[str, Any], bytes]) -> bytes:
    return b"".join(
        peer.request("POST", path, headers={**headers, "Content-Length": len(body)}, body=body)
        for path, headers, body in requests
    )


PIPELINES: dict[str, list[dict[str, Any]]] = {
    "the offer first": [JAVA, {}],
    "the offer second": [{}, JAVA],
    "the offer third": [{}, {}, JAVA],
    "the offer between": [{}, JAVA, {}],
    "offers only": [JAVA, JAVA, JAVA, JAVA],
    "offers of many kinds": [*OFFERS.values()],
}


@pytest.mark.parametrize(("path", "size"), [("/http", None), ("/http", 11), ("/slow", None)])
@pytest.mark.parametrize("offers", PIPELINES.values(), ids=PIPELINES.keys())
def test_pipelined_requests_are_all_answered_in_order(
    server: Server, path: str, offers: list[dict[str, Any]], size: int | None
) -> None:
    """/slow has the next request arrive before the last one is answered."""
    bodies = [b"request %d" % number for number in range(len(offers))]
    with server.peer() as peer:
        sent = pipelined(peer, *((path, offer, body) for offer, body in zip(offers, bodies, strict=True)))
        if size:
            peer.send_in_pieces(sent, size, pause=0.0002)
        else:
            peer.send(sent)
        for body in bodies:
            assert_intact(peer.receive_response(), body)
        assert_alive(peer)


@pytest.mark.parametrize("before", [[{}], [JAVA], [{}, JAVA], [JAVA, {}, {}]], ids=len)
@pytest.mark.parametrize("path", ["/http", "/slow"])
def test_a_handshake_pipelined_behind_other_requests_is_accepted_and_its_frames_are_kept(
    server: Server, before: list[dict[str, Any]], path: str
) -> None:
    with server.handshaker() as websocket:
        requests = pipelined(websocket, *((path, headers, b"body") for headers in before))
        websocket.send(requests + websocket.handshake() + frame(TEXT, b"patient"))
        for _ in before:
            assert_intact(websocket.receive_response(), b"body")
        websocket.receive_101()
        assert websocket.receive_message() == "patient"


def test_a_request_behind_a_handshake_belongs_to_the_websocket(server: Server) -> None:
    """Whoever sends HTTP after a handshake breaks RFC 6455, and no request must come of it."""
    server.settle()
    start = len(server.log.lines)
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake() + websocket.request("GET", "/smuggled"))
        websocket.receive_101()
        assert websocket.receive_close()[0] == 1002
    server.settle()
    assert not any("/smuggled" in line for line in server.log.lines[start:])


def test_an_offer_repeated_on_every_request_of_a_connection_is_served_each_time(server: Server) -> None:
    """Java does that, with bodies of both kinds."""
    with server.peer() as peer:
        for number in range(30):
            body = b"%d" % number * number
            if number % 2:
                response = peer.ask("POST", headers={**JAVA, "Content-Length": len(body)}, body=body)
            else:
                framed = chunked(body) if body else b"0\r\n\r\n"
                response = peer.ask("POST", headers={**JAVA, "Transfer-Encoding": "chunked"}, body=framed)
            assert_intact(response, body)


def test_offers_and_plain_requests_alternate_on_one_connection(server: Server) -> None:
    with server.peer() as peer:
        for _ in range(10):
            assert_intact(peer.ask("POST", headers={**JAVA, "Content-Length": 3}, body=b"abc"), b"abc")
            assert_intact(peer.ask("POST", headers={"Content-Length": 3}, body=b"def"), b"def")


def test_a_handshake_may_follow_many_requests_on_one_connection(server: Server) -> None:
    with server.handshaker() as websocket:
        for offer in [{}, JAVA, {}, JAVA]:
            assert websocket.ask(headers=offer).status == 200
        websocket.open()
        websocket.send_text("and now")
        assert websocket.receive_message() == "and now"


def test_requests_with_an_offer_leave_no_warning_in_the_log(server: Server, offer: dict[str, Any]) -> None:
    server.settle()
    start = len(server.log.lines)
    with server.peer() as peer:
        for _ in range(3):
            peer.ask(headers=offer)
    server.settle()
    assert [line for line in server.log.lines[start:] if not line.startswith(("INFO: ", "NOTE "))] == []


MALFORMED = {
    "no hexadecimal size": b"zz\r\nabc\r\n0\r\n\r\n",
    "negative size": b"-1\r\nabc\r\n0\r\n\r\n",
    "chunk longer than its size": b"2\r\nabc\r\n0\r\n\r\n",
    "endless size": b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("chunks", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("together", [True, False], ids=["in one segment", "after the head"])
def test_malformed_chunks_get_400_and_never_a_half_read_request(server: Server, chunks: bytes, together: bool) -> None:
    with server.peer() as peer:
        head = peer.request("POST", headers={**JAVA, "Transfer-Encoding": "chunked"})
        if together:
            peer.send(head + chunks)
        else:
            peer.send(head)
            peer.wait_until_read()
            peer.send(chunks)
        assert peer.receive_response().status == 400
        assert peer.receive_end() == b""
        assert "complete" not in server.notes(peer.key)


def test_malformed_chunks_after_good_ones_get_400_and_never_a_half_read_request(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**JAVA, "Transfer-Encoding": "chunked"}, body=b"4\r\ngood\r\n"))
        peer.wait_until_read()
        peer.send(b"xyz\r\n")
        assert peer.receive_response().status == 400
        assert peer.receive_end() == b""
        assert server.note(peer.key, "incomplete")
        assert "complete" not in server.notes(peer.key)


def test_content_length_beside_transfer_encoding_is_answered_as_without_an_offer(server: Server, bare: Server) -> None:
    """RFC 9112 section 6.3: the chunks count, or the request is refused. Parsers differ; an offer must not matter."""

    def answer(asked: Server, offer: dict[str, Any]) -> tuple[int, str]:
        body = b"0\r\n\r\nno request\r\n\r\n"
        with asked.peer() as peer:
            framing = {"Content-Length": len(body), "Transfer-Encoding": "chunked"}
            response = peer.ask("POST", headers={**offer, **framing}, body=body)
            return response.status, "" if response.status == 400 else json.loads(response.body)["sha256"]

    assert answer(server, JAVA) == answer(bare, {})


def test_a_client_that_leaves_in_mid_body_is_a_disconnect_to_the_app(server: Server) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**JAVA, "Content-Length": 100}, body=b"half"))
        peer.wait_until_read()
        peer.close()
        assert server.note(peer.key, "incomplete")["length"] in (0, 4)
        assert "complete" not in server.notes(peer.key)


def test_options_asterisk_with_an_offer_works(server: Server, offer: dict[str, Any]) -> None:
    with server.peer() as peer:
        facts = arrived(peer.ask("OPTIONS", "*", headers=offer))
        assert (facts["method"], facts["path"]) == ("OPTIONS", "*")
        assert_alive(peer)


def test_a_target_in_absolute_form_with_an_offer_is_what_it_is_without(server: Server) -> None:
    """RFC 9112 section 3.2.2. uvicorn alone takes it for a path, or ignores its authority, as the parser has it."""
    target = "http://example.com/absolute?a=b"
    with server.peer() as peer:
        for headers in (JAVA, {}):
            facts = arrived(peer.ask("GET", target, headers=headers))
            assert facts["path"] == "/absolute"
            assert ["host", "example.com"] in facts["headers"]


def test_http_1_0_ignores_an_offer_but_not_the_body(server: Server, offer: dict[str, Any]) -> None:
    with server.peer() as peer:
        peer.send(peer.request("POST", headers={**offer, "Content-Length": 5}, body=b"hello", version="HTTP/1.0"))
        response = peer.receive_response()
        assert_intact(response, b"hello")
        assert arrived(response)["http_version"] == "1.0"
        assert peer.receive_end() == b""


def test_a_websocket_handshake_over_http_1_0_is_a_plain_request(server: Server) -> None:
    with server.handshaker() as websocket:
        response = websocket.refused(version="HTTP/1.0")
        assert arrived(response)["http_version"] == "1.0"


@pytest.mark.parametrize("offer", [{}, JAVA], ids=["no offer", "h2c"])
def test_connect_is_left_to_the_server(server: Server, bare: Server, offer: dict[str, Any]) -> None:
    """Whatever uvicorn does with CONNECT, it does that with the middleware too."""
    assert answer_to_connect(server, offer) == answer_to_connect(bare, offer)


def test_connect_with_a_websocket_handshake_switches_nothing(server: Server) -> None:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake("example.com:443", method="CONNECT"))
        assert b" 101 " not in websocket.receive_until_silence()


def answer_to_connect(server: Server, headers: dict[str, Any]) -> object:
    with server.peer() as peer:
        peer.send(peer.request("CONNECT", "example.com:443", headers={**headers, "Host": "example.com:443"}))
        peer.socket.settimeout(0.3)
        try:
            return peer.receive_response().status
        except (AssertionError, TimeoutError) as error:
            return type(error)


def test_a_request_without_an_offer_is_answered_byte_for_byte_as_without_the_middleware(
    server: Server, bare: Server
) -> None:
    def answer(asked: Server) -> bytes:
        with asked.peer() as peer:
            headers = {"Host": "example.com", "X-Note-Key": "same", "Connection": "close", "Content-Length": 3}
            peer.send(peer.request("POST", headers=headers, body=b"abc"))
            received = peer.receive_end()
        return b"\r\n".join(line for line in received.split(b"\r\n") if not line.startswith(b"date: "))

    dressed = answer(server)
    for added in (b"x-outer: seen", b"set-cookie: outer=1", b"set-cookie: outer=2"):
        dressed = dressed.replace(added + b"\r\n", b"")
    assert dressed == answer(bare)
