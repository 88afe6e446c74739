"""What proxies let through of other protocols: tables of docs/guides/streams.md and docs/guides/h2c.md."""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.proxies import apache, caddy, haproxy, lighttpd, nginx, traefik
from tests.server.support.peer import Peer
from tests.server.support.process import uvicorn
from tests.server.support.upgrades import TCP
from tests.server.test_fallthrough import JAVA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.support.proxies import Proxy
    from tests.server.support.process import Server

DOCS = Path(__file__).parents[2] / "docs"
PROXIES = {
    "nginx": nginx,
    "HAProxy": haproxy,
    "Caddy": caddy,
    "lighttpd": lighttpd,
    "Apache": apache,
    "Traefik": traefik,
}
PASSES, DOES_NOT = "✓", "✗"


@pytest.fixture(scope="module")
def streams() -> Iterator[Server]:
    with uvicorn("streams:fastapi") as server:
        yield server


@pytest.fixture(scope="module")
def http2() -> Iterator[Server]:
    with uvicorn("over_http2:app") as server:
        yield server


def connect(proxy: Proxy) -> Peer:
    return Peer(socket.create_connection(("127.0.0.1", proxy.port), timeout=30), proxy.host)


def passes_the_upgrade(peer: Peer, server: Server) -> bool:
    """`Upgrade: tcp`"""
    peer.send(peer.request("GET", "/streams/echo", headers=TCP))
    if peer.receive_response().status != 101:
        return False
    peer.send(b"hello")
    assert peer.receive_exactly(5) == b"hello"
    return True


def passes_an_upgrade_with_a_body(peer: Peer, server: Server) -> bool:
    """`Upgrade: tcp` on a request with a body, as Docker's client sends it"""
    headers = {**TCP, "Content-Type": "application/json", "Content-Length": "2"}
    peer.send(peer.request("POST", "/unread", headers=headers, body=b"{}"))
    response = peer.receive_response()
    if response.status != 101:
        assert response.status == 426  # it arrives, without `Upgrade`
        return False
    peer.send(b"hello")
    assert peer.receive_exactly(5) == b"hello"
    return True


def passes_early_bytes(peer: Peer, server: Server) -> bool:
    """bytes that the client sends before it has the 101"""
    peer.send(peer.request("GET", "/streams/echo", headers=TCP) + b"early")
    if peer.receive_response().status != 101:
        return False
    time.sleep(0.2)
    peer.send(b"later")
    received = peer.receive_exactly(5)
    if received != b"early":
        assert received == b"later"
        return False
    return peer.receive_exactly(5) == b"later"


def passes_the_clients_end(peer: Peer, server: Server) -> bool:
    """the server's answers after the client has ended its direction"""
    peer.send(peer.request("GET", "/streams/answer-after-the-end", headers=TCP))
    if peer.receive_response().status != 101:
        return False
    peer.send(b"input")
    assert peer.receive_exactly(5) == b"input"
    peer.socket.shutdown(socket.SHUT_WR)
    received = peer.receive_end()
    assert received in (b" 0 1 2 3 4", b"")
    return bool(received)


def passes_the_servers_end(peer: Peer, server: Server) -> bool:
    """the client's bytes after the server has ended its direction"""
    peer.send(peer.request("GET", "/streams/end-first", headers=TCP))
    if peer.receive_response().status != 101:
        return False
    assert peer.receive_end() == b"all I have to say"
    time.sleep(0.2)
    with suppress(OSError):  # the proxy has closed the whole connection
        peer.send(b"and this is mine")
        peer.socket.shutdown(socket.SHUT_WR)
    with suppress(AssertionError):  # the handler was told that the connection is lost
        return bool(server.note(peer.key, "received", timeout=2)["data"] == "and this is mine")
    return False


def passes_h2c(peer: Peer, server: Server) -> bool:
    """`Upgrade: h2c` with `HTTP2-Settings`"""
    status = peer.ask("GET", "/http", headers=JAVA).status
    assert status in (101, 200)
    return status == 101


ROWS: list[Callable[[Peer, Server], bool]] = [
    passes_the_upgrade,
    passes_an_upgrade_with_a_body,
    passes_early_bytes,
    passes_the_clients_end,
    passes_the_servers_end,
]


def documented(page: str, row: str, column: str) -> str:
    """A cell of the table in a page whose columns are the proxies."""
    lines = [line for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    [head] = [line for line in lines if " nginx |" in line]
    [found] = [line for line in lines if line.startswith(f"| {row} |")]
    names, cells = ([cell.strip() for cell in re.split(r"\|", line)] for line in (head, found))
    return cells[names.index(column)]


@pytest.mark.parametrize("attempt", ROWS, ids=lambda attempt: attempt.__name__)
@pytest.mark.parametrize("name", PROXIES)
def test_the_documentation_says_what_a_proxy_lets_through(
    name: str, attempt: Callable[[Peer, Server], bool], streams: Server, tmp_path: Path
) -> None:
    assert attempt.__doc__ is not None
    with PROXIES[name](streams, tmp_path) as proxy, connect(proxy) as peer:
        found = attempt(peer, streams)
    assert documented("guides/streams.md", attempt.__doc__, name) == (PASSES if found else DOES_NOT)


@pytest.mark.parametrize("name", PROXIES)
def test_the_documentation_says_who_lets_h2c_through(name: str, http2: Server, tmp_path: Path) -> None:
    assert passes_h2c.__doc__ is not None
    with PROXIES[name](http2, tmp_path) as proxy, connect(proxy) as peer:
        found = passes_h2c(peer, http2)
    assert documented("guides/h2c.md", passes_h2c.__doc__, name) == (PASSES if found else DOES_NOT)
