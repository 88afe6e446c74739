"""Who may open a WebSocket from a browser: `apps/upgraded.py` allows two origins beside its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import PARSERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server


def is_let_in(server: Server, origin: str | list[str] | None, host: str | None = None) -> bool:
    headers = {"Origin": origin, "Host": host or server.host}
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake(headers=headers))
        response = websocket.receive_response()
        if response.status == 101:
            return True
        assert response.status == 403
        assert len(response.body.splitlines()) == 1
        assert websocket.ask().status == 200, "the connection stays usable"
        return False


def test_a_request_without_origin_passes(server: Server) -> None:
    assert is_let_in(server, None)


def test_the_same_origin_passes(server: Server) -> None:
    assert is_let_in(server, f"http://{server.host}")


def test_another_origin_is_403(server: Server) -> None:
    assert not is_let_in(server, "http://evil.example")


@pytest.mark.parametrize(
    ("origin", "host", "passes"),
    [
        ("http://example.org", "example.org", True),
        ("http://example.org", "example.org:80", True),
        ("http://example.org:80", "example.org", True),
        ("HTTP://EXAMPLE.org", "example.ORG", True),
        ("http://example.org", "example.org:8080", False),
        ("http://example.org:8080", "example.org", False),
        ("https://example.org", "example.org", False),
        ("https://example.org", "example.org:443", False),
        ("http://sub.example.org", "example.org", False),
        ("http://example.org.evil.example", "example.org", False),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("null", "null", False),
        ("", "example.org", False),
        ("example.org", "example.org", False),
        ("http://example.org/", "example.org", False),
        ("https://app.example.com", "example.org", True),
        ("https://app.example.com:443", "example.org", True),
        ("http://app.example.com", "example.org", False),
        ("https://app.example.com:8443", "example.org", False),
        ("https://a.example.net", "example.org", True),
        ("https://a.b.example.net", "example.org", True),
        ("https://example.net", "example.org", False),
        ("https://evilexample.net", "example.org", False),
        ("http://a.example.net", "example.org", False),
    ],
)
def test_origin_and_host_are_compared_after_normalising(
    one_server: Server, origin: str, host: str, passes: bool
) -> None:
    assert is_let_in(one_server, origin, host) is passes


def test_several_origins_are_403_even_if_each_would_pass(one_server: Server) -> None:
    own = f"http://{one_server.host}"
    assert not is_let_in(one_server, [own, own])


def test_the_log_line_of_a_403_names_the_origin_the_host_and_the_setting(one_server: Server) -> None:
    start = len(one_server.log.lines)
    assert not is_let_in(one_server, "https://frontend.example:5173", "internal:8000")
    line = one_server.log.search("allowed_origins", start=start).string
    assert "https://frontend.example:5173" in line
    assert "internal:8000" in line
    assert "allowed_origins=['https://frontend.example:5173']" in line


def test_the_client_cannot_write_lines_of_its_own_into_the_log(one_server: Server) -> None:
    start = len(one_server.log.lines)
    assert not is_let_in(one_server, "http://evil.example/\x85\xa0forged line")
    line = one_server.log.search("allowed_origins", start=start).string
    assert "\x85" not in line
    assert line.isascii()


def test_an_origin_refused_with_a_wrong_version_is_told_the_version_first(one_server: Server) -> None:
    """Nothing is opened either way, and 426 is what RFC 6455 section 4.4 asks for."""
    with one_server.handshaker() as websocket:
        headers = {"Origin": "http://evil.example", "Sec-WebSocket-Version": "7"}
        assert websocket.refused(headers=headers).status == 426


def test_plain_http_requests_are_not_subject_to_the_origin_policy(server: Server) -> None:
    with server.peer() as peer:
        assert peer.ask(headers={"Origin": "http://evil.example"}).status == 200
        offer = {"Connection": "Upgrade", "Upgrade": "h2c"}
        assert peer.ask(headers={"Origin": "http://evil.example", **offer}).status == 200


# RFC 9112 section 3.2.2: the authority in the target counts, and not Host.


def handshake_for(server: Server, target: str, origin: str, host: str) -> int:
    with server.handshaker() as websocket:
        websocket.send(websocket.handshake(target, headers={"Origin": origin, "Host": host}))
        return websocket.receive_response().status


def test_the_authority_of_the_target_is_the_own_origin(server: Server) -> None:
    target = "http://here.example:8000/echo"
    assert handshake_for(server, target, "http://here.example:8000", "there.example") == 101
    assert handshake_for(server, target, "http://there.example", "there.example") == 403
    assert handshake_for(server, target, "http://here.example", "here.example") == 403
    assert handshake_for(server, "http://user@here.example/echo", "http://here.example", "here.example") == 400


def test_the_application_sees_the_target_as_if_it_had_come_in_origin_form(server: Server) -> None:
    for headers in ({}, {"Connection": "Upgrade", "Upgrade": "foo"}):
        with server.peer() as peer:
            response = peer.ask("GET", "http://here.example/a%20b?c=d", {"Host": "there.example", **headers})
            facts = json.loads(response.body)
            assert facts["path"] == "/a b"
            assert [value for name, value in facts["headers"] if name == "host"] == ["here.example"]
            # A path may look like it.
            facts = json.loads(peer.ask("GET", "/proxy/http://here.example/", {"Host": "there.example"}).body)
            assert facts["path"] == "/proxy/http://here.example/"
            assert [value for name, value in facts["headers"] if name == "host"] == ["there.example"]


@pytest.mark.parametrize("parser", PARSERS)
def test_below_a_root_path(shared: Callable[..., Server], parser: str) -> None:
    server = shared("upgraded:app", "--root-path", "/api", http=parser, loop="asyncio")
    body = b"hello"
    with server.peer() as peer:
        for headers in ({}, {"Connection": "Upgrade", "Upgrade": "foo"}):
            fields = {"Host": "there.example", "Content-Length": 5, **headers}
            facts = json.loads(peer.ask("POST", "http://here.example/a", fields, body=body).body)
            assert (facts["path"], facts["length"]) == ("/api/a", 5)
            assert [value for name, value in facts["headers"] if name == "host"] == ["here.example"]
