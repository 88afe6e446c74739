"""Behind reverse proxies: whose Origin and Host are compared, and what they make of an offer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.e2e.support.bodies import assert_whole, body, header
from tests.e2e.support.browser import complaints
from tests.e2e.support.chat import ChatPage
from tests.e2e.support.proxies import haproxy, nginx, nginx_with_login, traefik
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from ssl import SSLContext

    from selenium.webdriver import Chrome

    from tests.e2e.support.java import Java
    from tests.e2e.support.proxies import Proxy
    from tests.server.support.certificates import Certificate
    from tests.server.support.process import Server


BEHIND_LOGIN = """
async def app(scope, receive, send):
    if scope["type"] == "http":  # nginx asks
        status = 204 if b"cookie" in dict(scope["headers"]) else 401
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body"})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "hello"})
        await send({"type": "websocket.close"})
"""


def open_websocket(
    proxy: Proxy,
    path: str,
    *,
    origin: str | None = None,
    ssl: SSLContext | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
) -> ClientConnection:
    """Open a WebSocket as a page of `origin` would, by default one that came through the proxy itself."""
    url = proxy.websocket_url(path)
    return connect(url, origin=Origin(origin or proxy.origin), ssl=ssl, subprotocols=subprotocols)


def refusal(proxy: Proxy, path: str, *, origin: str | None = None, ssl: SSLContext | None = None) -> tuple[int, str]:
    """Status and text of the refusal that the same gets."""
    with pytest.raises(InvalidStatus) as refused:
        open_websocket(proxy, path, origin=origin, ssl=ssl)
    response = refused.value.response
    return response.status_code, bytes(response.body or b"").decode()


def test_the_same_origin_passes_and_messages_go_both_ways(proxy: Proxy) -> None:
    with open_websocket(proxy, "/echo", subprotocols=[Subprotocol("configured.v1")]) as websocket:
        assert websocket.subprotocol == "configured.v1"
        for message in ("grüße " * 20_000, bytes(range(256)) * 1000, "after"):
            websocket.send(message)
            assert websocket.recv(timeout=30) == message
        assert websocket.ping().wait(5)
    assert websocket.close_code == 1000


def test_close_codes_come_through(proxy: Proxy) -> None:
    with (
        open_websocket(proxy, "/close/4001?reason=enough") as websocket,
        pytest.raises(ConnectionClosedError) as closed,
    ):
        websocket.recv(timeout=30)
    assert closed.value.rcvd == Close(4001, "enough")


def test_refusals_come_through(proxy: Proxy) -> None:
    assert refusal(proxy, "/members") == (401, "members only\n")
    status, text = refusal(proxy, "/echo", origin="http://elsewhere.example")
    assert status == 403
    assert len(text.splitlines()) == 1


def test_bodies_arrive_whole_though_java_makes_an_offer(proxy: Proxy, java: Java) -> None:
    sizes = (5000, 300_000)
    tasks = [argument for size in sizes for kind in ("known", "unknown") for argument in (str(size), kind)]
    answers = list(java.answers("Post", proxy.url("/request"), *tasks))
    for size, answer in zip([size for size in sizes for _ in range(2)], answers, strict=True):
        assert answer.status == 200
        assert_whole(answer.body, body(size))


def test_haproxy_takes_the_offer_from_a_request_with_a_body_but_leaves_half_of_it(
    server: Server, java: Java, tmp_path: Path
) -> None:
    start = len(server.log.lines)
    with haproxy(server, tmp_path) as proxy:
        answers = list(java.answers("Post", proxy.url("/request"), "5000", "known", "5000", "unknown"))
    assert len(answers) == 2
    for answer in answers:
        assert header(answer.body, "upgrade") is None
        assert "Upgrade" in str(header(answer.body, "connection"))
        assert_whole(answer.body, body(5000))
    assert [line for line in server.log.lines[start:] if "200 OK" not in line] == []


def test_nginx_that_rewrites_the_host_makes_every_page_a_stranger(one_server: Server, tmp_path: Path) -> None:
    start = len(one_server.log.lines)
    with nginx(one_server, tmp_path, without=["Host"]) as proxy:
        assert refusal(proxy, "/echo")[0] == 403
    warning = one_server.log.search("WebSocket handshake refused.*", start=start)[0]
    assert f"Origin '{proxy.origin}'" in warning
    assert f"Host '{one_server.host}'" in warning
    assert f"allowed_origins=['{proxy.origin}']" in warning
    assert "let it forward the client's Host" in warning


def test_nginx_that_ends_tls_and_says_so_is_transparent(
    one_server: Server, tmp_path: Path, certificate: Certificate
) -> None:
    with (
        nginx(one_server, tmp_path, certificate=certificate) as proxy,
        open_websocket(proxy, "/handshake", ssl=certificate.client) as websocket,
    ):
        described = json.loads(websocket.recv(timeout=30))
    assert (described["scheme"], described["host"]) == ("wss", proxy.host)


def test_traefik_that_ends_tls_is_transparent(one_server: Server, tmp_path: Path, certificate: Certificate) -> None:
    with traefik(one_server, tmp_path, certificate=certificate) as proxy:
        with open_websocket(proxy, "/handshake", ssl=certificate.client) as websocket:
            described = json.loads(websocket.recv(timeout=30))
        # Other versions say "wss" of a handshake: tests/server/test_tls.py.
        assert dict(described["headers"])["x-forwarded-proto"] == "https"
        assert (described["scheme"], described["host"]) == ("wss", proxy.host)
        assert refusal(proxy, "/echo", origin="https://elsewhere.example", ssl=certificate.client)[0] == 403


def test_nginx_that_ends_tls_in_silence_makes_every_page_a_stranger(
    one_server: Server, tmp_path: Path, certificate: Certificate
) -> None:
    start = len(one_server.log.lines)
    with nginx(one_server, tmp_path, certificate=certificate, without=["X-Forwarded-Proto"]) as proxy:
        assert refusal(proxy, "/echo", ssl=certificate.client)[0] == 403
    warning = one_server.log.search("WebSocket handshake refused.*", start=start)[0]
    assert f"Origin '{proxy.origin}'" in warning
    assert f"http://{proxy.host}" in warning
    assert "let it send X-Forwarded-Proto" in warning


def test_nginx_can_ask_for_a_login_before_a_websocket_opens(tmp_path: Path) -> None:
    """Without the package: `auth_request`, for `docs/explanation/comparison.md`. It asks for no origin."""
    (tmp_path / "behind.py").write_text(BEHIND_LOGIN)
    with (
        uvicorn("behind:app", "--app-dir", str(tmp_path), "--lifespan", "off", "--ws", "websockets-sansio") as server,
        nginx_with_login(server, tmp_path) as proxy,
    ):
        assert refusal(proxy, "/chat")[0] == 401
        url, foreign = proxy.websocket_url("/chat"), Origin("https://elsewhere.example")
        with connect(url, origin=foreign, additional_headers={"Cookie": "login=ada"}) as websocket:
            assert websocket.recv(timeout=30) == "hello"


def test_the_demo_chats_in_a_browser_through_nginx_with_tls(
    chat: Server, ada: Chrome, tmp_path: Path, certificate: Certificate
) -> None:
    with nginx(chat, tmp_path, certificate=certificate) as proxy:
        page = ChatPage(ada, proxy.origin)
        page.log_in("Ada")
        page.say("hello")
        page.await_message("Ada", "hello")
        assert ada.execute_script("return socket.url") == proxy.websocket_url("/rooms/lobby")
        assert complaints(ada) == []
        ada.get("about:blank")
