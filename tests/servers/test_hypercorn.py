"""The extension ``http.upgrade`` on hypercorn: what holds under uvicorn holds here."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypercorn.config import Config
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect as websocket_connect

from asgi_upgrade.servers.websocket_limits import HYPERCORN, websocket_limits
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.server.support.certificates import issue
from tests.server.support.peer import Peer, chunked
from tests.server.support.upgrades import TCP, finish, upgrade
from tests.server.support.websocket import PING, WebSocket

from .running import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.support.certificates import Certificate

    from .running import Running

COMMAND = "hypercorn {app} --bind 127.0.0.1:{port} --worker-class "
APP = "switching:app"


def test_our_defaults_are_not_below_those_of_hypercorn() -> None:
    hypercorn = Config()
    assert WebSocketSettings().max_message_size >= hypercorn.websocket_max_message_size
    assert websocket_limits(hypercorn, HYPERCORN) == {}


def connect(server: Running) -> Peer:
    return Peer(socket.create_connection(("127.0.0.1", server.port), timeout=30), f"127.0.0.1:{server.port}")


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    with run("hypercorn", APP, command=COMMAND + request.param) as running:
        yield running
        log = running.log.read_text()
        assert "Traceback" not in log, log


@pytest.fixture
def peer(server: Running) -> Iterator[Peer]:
    with connect(server) as peer:
        yield peer


def test_both_directions_keep_their_order(peer: Peer) -> None:
    response = upgrade(peer, "/echo")
    assert response.header("x-switch") == "echo"
    assert response.header("upgrade") == "tcp"
    data = secrets.token_bytes(2 * 1024 * 1024)
    sender = threading.Thread(target=peer.send, args=[data], daemon=True)
    sender.start()
    assert peer.receive_exactly(len(data)) == data
    sender.join(5)


def test_the_101_prints_the_names_of_its_fields_as_the_rfcs_do(peer: Peer) -> None:
    peer.send(peer.request("GET", "/echo", headers=TCP))
    names = [line.partition(b":")[0] for line in peer.receive_head().split(b"\r\n")[1:]]
    assert {b"Connection", b"Upgrade", b"x-switch"} <= set(names)


@pytest.mark.parametrize("size", [5, 200_000])
def test_bytes_behind_the_request_come_first(peer: Peer, size: int) -> None:
    data = secrets.token_bytes(size)
    sender = threading.Thread(
        target=peer.send, args=[peer.request("GET", "/echo", headers=TCP) + data + b"second"], daemon=True
    )
    sender.start()
    assert peer.receive_response().status == 101
    assert peer.receive_exactly(size + 6) == data + b"second"
    sender.join(5)


def test_a_request_in_small_segments(peer: Peer) -> None:
    peer.send_in_pieces(peer.request("GET", "/echo", headers=TCP) + b"first", 3, 0)
    assert peer.receive_response().status == 101
    assert peer.receive_exactly(5) == b"first"


@pytest.mark.parametrize(
    ("headers", "body"),
    [({"Content-Length": "4"}, b"body"), ({"Transfer-Encoding": "chunked"}, chunked(b"bo", b"dy"))],
    ids=["length", "chunked"],
)
def test_the_body_is_not_part_of_the_new_protocol(peer: Peer, headers: dict[str, str], body: bytes) -> None:
    upgrade(peer, "/echo", headers, method="POST", body=body, early=b"first")
    assert peer.receive_exactly(5) == b"first"


def test_after_the_clients_end_the_answer_still_goes_out(peer: Peer) -> None:
    upgrade(peer, "/answer")
    peer.send(b"input")
    finish(peer)
    assert peer.receive_end() == b"5 bytes"


@pytest.mark.parametrize("delay", [0, 0.3])
def test_the_clients_end_may_come_with_the_request(peer: Peer, delay: float) -> None:
    peer.send(peer.request("GET", f"/answer?delay={delay}", headers=TCP) + b"input")
    finish(peer)
    assert peer.receive_response().status == 101
    assert peer.receive_end() == b"5 bytes"


def test_the_end_of_the_handler_is_the_end_of_the_connection(peer: Peer) -> None:
    upgrade(peer, "/leave")
    assert peer.receive_end() == b"good-bye"


def test_a_client_that_vanishes_ends_the_handler(server: Running) -> None:
    with connect(server) as peer:
        upgrade(peer, "/stay")
        peer.reset()
    server.wait_for("the handler has ended")


def test_an_offer_that_nobody_takes_leaves_the_connection_as_it_was(peer: Peer) -> None:
    offer = peer.request("POST", "/plain", headers={**TCP, "Content-Length": "4"}, body=b"body")
    peer.send(offer + offer + peer.request("GET", "/answer", headers=TCP) + b"input")
    for _ in range(2):
        response = peer.receive_response()
        assert (response.status, json.loads(response.body)) == (200, {"body": "body"})
    assert peer.receive_response().status == 101
    finish(peer)
    assert peer.receive_end() == b"5 bytes"


def test_an_offer_in_http_1_0_is_ignored(peer: Peer) -> None:
    assert peer.ask("GET", "/echo", headers=TCP, version="HTTP/1.0").status == 426


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_exception_is_logged_once_before_the_client_has_answered_the_close_frame(loop: str) -> None:
    """The answer would be waited for longer than we wait for the log."""
    with run("hypercorn", "raising:app", command=COMMAND + loop) as server:
        address = ("127.0.0.1", server.port)
        with WebSocket(socket.create_connection(address, timeout=30), f"127.0.0.1:{server.port}") as websocket:
            websocket.open("/")
            websocket.send_text("hello")
            server.wait_for("RuntimeError: raised after a message\n")
            assert websocket.receive_close()[0] == 1011
            # The close is a whole one all the same.
            websocket.send_close(1011)
            assert websocket.receive_end() == b""
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
        log = server.log.read_text()
        assert log.count("Error in ASGI Framework") == log.count("Traceback") == 1, log


def test_the_access_log_has_a_line_for_the_switch() -> None:
    with run("hypercorn", APP, command=COMMAND + "asyncio --access-logfile -") as server:
        with connect(server) as peer:
            upgrade(peer, "/echo")
        server.wait_for('"GET /echo 1.1" 101')


def test_a_shutdown_closes_websockets_with_1012() -> None:
    with run("hypercorn", APP, command=COMMAND + "asyncio") as server:
        with websocket_connect(server.url("/chat"), proxy=None, close_timeout=1) as websocket:
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as caught:
                websocket.recv(timeout=30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
        assert server.process.wait(30) == 0
        assert "Traceback" not in server.log.read_text()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return issue(tmp_path_factory.mktemp("certificate"))


def test_over_tls(certificate: Certificate) -> None:
    options = f"asyncio --certfile {certificate.certfile} --keyfile {certificate.keyfile}"
    with run("hypercorn", APP, command=COMMAND + options) as server:
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=30)
        context = certificate.client
        with Peer(context.wrap_socket(plain, server_hostname="127.0.0.1"), "127.0.0.1") as peer:
            upgrade(peer, "/echo", early=b"first")
            assert peer.receive_exactly(5) == b"first"
            peer.send(b"second")
            assert peer.receive_exactly(6) == b"second"


@pytest.mark.parametrize("name", ["hypercorn", "hypercorn, not extended"])
def test_applications_under_its_dispatcher_are_guarded(name: str) -> None:
    with run(name, "dispatched:app") as server:
        for app in ("one", "two"):
            with pytest.raises(InvalidStatus, match="401"):
                websocket_connect(server.url(f"/{app}/rooms/blue"), proxy=None)
            with websocket_connect(server.url(f"/{app}/rooms/blue?token=good"), proxy=None) as websocket:
                assert websocket.recv(timeout=30) == f"{app} 1 {name == 'hypercorn'}"


def test_its_own_limits_hold_for_websockets(tmp_path: Path) -> None:
    config = tmp_path / "hypercorn.toml"
    config.write_text("websocket_max_message_size = 1000\nwebsocket_ping_interval = 0.1\n")
    with run("hypercorn", APP, command=COMMAND + f"asyncio --config {config}") as server:
        address = ("127.0.0.1", server.port)
        with WebSocket(socket.create_connection(address, timeout=30), f"127.0.0.1:{server.port}") as websocket:
            websocket.open("/chat")
            assert websocket.receive_frame().opcode == PING
        with websocket_connect(server.url("/chat"), proxy=None) as other:
            other.send("x" * 1001)
            with pytest.raises(ConnectionClosed) as caught:
                other.recv(timeout=30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
