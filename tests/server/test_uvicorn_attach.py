"""The two ways into uvicorn: the middleware attaches itself, or `http=` names our protocol. And neither of them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.server.conftest import COMBINATIONS, PARSERS
from tests.server.support.process import APPS, RUNNING, child_environment, running, uvicorn
from tests.server.support.upgrades import TCP

if TYPE_CHECKING:
    from tests.server.support.process import Server

CLASSES = {"h11": "H11UpgradeProtocol", "httptools": "HttpToolsUpgradeProtocol", "zttp": "ZttpUpgradeProtocol"}
EXPLICIT = [
    f"asgi_upgrade.servers.uvicorn:{name}" for name in ("AutoUpgradeProtocol", *(CLASSES[name] for name in PARSERS))
]


def is_converted(server: Server) -> bool:
    """Whether a handshake reached the application as a request; either way its WebSocket has to work."""
    with server.websocket("/describe-scope") as websocket:
        scope = json.loads(websocket.receive_text())
        websocket.finish()
    with server.websocket("/echo") as websocket:
        websocket.send_text("works")
        assert websocket.receive_message() == "works"
        websocket.finish()
    server.settle()
    # uvicorn's access log writes `"GET /echo HTTP/1.1" 101` for a request, `"WebSocket /echo"` for its own.
    logged = "\n".join(server.log.lines)
    assert ('"GET /echo HTTP/1.1" 101' in logged) is ('"WebSocket /echo' not in logged)
    assert scope["type"] == "websocket"
    return '"GET /echo HTTP/1.1" 101' in logged


def warnings(server: Server) -> list[str]:
    return [line for line in server.log.lines if not line.startswith(("INFO: ", "NOTE "))]


@pytest.mark.parametrize(("parser", "loop"), COMBINATIONS)
def test_nothing_but_the_middleware_is_needed(parser: str, loop: str) -> None:
    with uvicorn("configured:default", http=parser, loop=loop) as server:
        assert is_converted(server)
        assert warnings(server) == []


def test_uvicorn_with_no_options_at_all_is_enough() -> None:
    with uvicorn("configured:default") as server:
        assert is_converted(server)
        assert warnings(server) == []


@pytest.mark.parametrize("http", EXPLICIT)
def test_an_explicit_http_works_with_lifespan_off(http: str) -> None:
    with uvicorn("configured:default", "--lifespan", "off", http=http) as server:
        assert is_converted(server)
        assert warnings(server) == []


def test_an_explicit_http_works_with_lifespan_on() -> None:
    with uvicorn("configured:default", "--lifespan", "on", http=EXPLICIT[0]) as server:
        assert is_converted(server)
        assert warnings(server) == []


def test_an_explicit_http_works_with_attach_turned_off() -> None:
    with uvicorn("configured:unattached", http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol") as server:
        assert is_converted(server)
        assert warnings(server) == []


def test_uvicorn_run_takes_the_explicit_protocol_as_well() -> None:
    """`uvicorn.run(app, http=...)`, as the documentation shows it."""
    with running([str(APPS / "run_explicitly.py")], ready=RUNNING) as server:
        assert is_converted(server)
        assert warnings(server) == []


@pytest.mark.parametrize("parser", PARSERS)
def test_attach_off_and_no_explicit_http_is_one_warning_and_uvicorns_own_websockets(parser: str) -> None:
    with uvicorn("configured:unattached", http=parser) as server:
        assert not is_converted(server)
        (warning,) = warnings(server)
        assert "extend_server=False" in warning
        assert "asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol" in warning


@pytest.mark.parametrize("parser", PARSERS)
def test_lifespan_off_and_no_explicit_http_is_one_warning_and_uvicorns_own_websockets(parser: str) -> None:
    with uvicorn("configured:default", "--lifespan", "off", http=parser) as server:
        assert not is_converted(server)
        (warning,) = warnings(server)
        assert "asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol" in warning


def test_a_middleware_in_a_mounted_application_only_is_told_so() -> None:
    with uvicorn("mounted_only:app") as server:
        with server.handshaker() as websocket:
            assert websocket.refused("/mounted/echo").status == 503
            error = server.log.search("The server delivers WebSockets, not handshakes").string
            assert "as none in a mounted application is: add one to the outermost application" in error
            websocket.close()
        with server.handshaker() as websocket:
            assert websocket.refused("/raw/echo").status == 503
        warning = server.log.search("does not offer http.upgrade").string
        assert "has not been called with uvicorn's lifespan, which mounted applications are not" in warning
        assert "add it to the outermost application" in warning
        assert "extend_server=False" not in warning


@pytest.mark.parametrize(
    ("app", "options", "cause"),
    [
        ("mounted_only:without", (), "No UpgradeMiddleware has been called with its lifespan: add one"),
        ("mounted_only:app", (), "No UpgradeMiddleware has been called with its lifespan: add one"),
        ("streams:fastapi", ("--lifespan", "off"), "and leave the lifespan on"),
        ("streams:unattached", (), "What stands against it was logged when the server started"),
    ],
)
def test_an_upgrade_response_that_cannot_upgrade_names_the_cause(
    app: str, options: tuple[str, ...], cause: str
) -> None:
    with uvicorn(app, *options) as server:
        with server.peer() as peer:
            assert peer.ask("GET", "/unread", headers=TCP).status == 501
        line = server.log.search("offers tcp, but this server does not offer http.upgrade").string
        assert cause in line


def test_a_protocol_class_that_is_not_uvicorns_own_is_left_alone_with_one_warning() -> None:
    with uvicorn("configured:default", http="foreign_protocol:ForeignProtocol") as server:
        assert not is_converted(server)
        (warning,) = warnings(server)
        assert "ForeignProtocol" in warning


def test_an_app_without_a_lifespan_is_attached_all_the_same() -> None:
    """`--lifespan auto` lets an application raise at the lifespan scope; the middleware has seen it by then."""
    with uvicorn("configured:no_lifespan") as server:
        assert is_converted(server)
        assert warnings(server) == []


def test_two_middlewares_in_one_app_convert_once() -> None:
    with uvicorn("configured:twice") as server:
        assert is_converted(server)
        assert warnings(server) == []


def test_of_several_servers_on_one_loop_only_that_of_the_application_is_extended() -> None:
    command = [sys.executable, str(APPS / "many_servers.py")]
    ran = subprocess.run(command, env=child_environment({}), check=True, capture_output=True, timeout=100)
    assert json.loads(ran.stdout) == [13]
