"""What `docs/explanation/comparison.md` says of Channels, of Tornado, and of the servers alone."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .running import COMMANDS, ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .running import Running

FOREIGN = "https://evil.example"


def status_of_handshake(server: Running, path: str, **options: Any) -> int:
    """101, or the status of the refusal."""
    try:
        with connect(server.url(path), proxy=None, **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def status_of_request(server: Running, path: str) -> int:
    return httpx.get(f"http://127.0.0.1:{server.port}{path}", trust_env=False).status_code


def test_how_many_servers_are_tried() -> None:
    assert len({name.partition(",")[0] for name in COMMANDS}) == 6
    assert "tried on six ASGI servers" in (ROOT / "docs/explanation/comparison.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("app", ["app", "unvalidated"])
def test_with_channels_websockets_bypass_djangos_middleware(app: str) -> None:
    with run("daphne", f"channels_alone:{app}") as server:
        assert status_of_request(server, "/validated") == 401
        assert status_of_handshake(server, "/validated", origin=f"http://127.0.0.1:{server.port}") == 101
        assert status_of_handshake(server, "/validated", origin=FOREIGN) == (403 if app == "app" else 101)
        # The validator refuses clients that are no browsers, too.
        assert status_of_handshake(server, "/validated") == (403 if app == "app" else 101)


@pytest.fixture
def tornado() -> Iterator[Running]:
    with run("tornado", "tornado_alone", command="{app} {port}") as server:
        yield server


LOGGED_IN = {"Cookie": "login=ada"}


def test_to_tornado_a_handshake_is_a_request(tornado: Running) -> None:
    assert status_of_request(tornado, "/page") == 401
    assert status_of_handshake(tornado, "/echo") == 401
    assert status_of_handshake(tornado, "/echo", additional_headers=LOGGED_IN) == 101
    assert status_of_handshake(tornado, "/echo", additional_headers=LOGGED_IN, origin=FOREIGN) == 403


def test_tornado_gives_connections_away(tornado: Running) -> None:
    with socket.create_connection(("127.0.0.1", tornado.port), timeout=10) as client, client.makefile("rb") as lines:
        client.sendall(
            b"GET /raw HTTP/1.1\r\nHost: a\r\nCookie: login=ada\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n"
        )
        assert lines.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while lines.readline() != b"\r\n":
            pass
        client.sendall(b"hello\n")
        assert lines.readline() == b"hello\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cert.pem` and `key.pem`."""
    folder = tmp_path_factory.mktemp("certificate")
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    return folder


# How each is told to speak TLS, and what it then chooses of HTTP/2 and HTTP/1.1.
OVER_TLS = {
    "uvicorn": ("--ssl-certfile {cert} --ssl-keyfile {key} --lifespan off", None),
    "hypercorn": ("--certfile {cert} --keyfile {key}", "h2"),
    "granian": ("--ssl-certificate {cert} --ssl-keyfile {key}", "h2"),
    "gunicorn": ("--certfile {cert} --keyfile {key} --http-protocols h2,h1", "h2"),
    "h2corn": ("--certfile {cert} --keyfile {key}", "h2"),
}


@pytest.fixture(scope="module", params=OVER_TLS)
def over_tls(request: pytest.FixtureRequest, certificate: Path) -> Iterator[Running]:
    """A server that speaks TLS, and runs an application that does not use the package."""
    options, _ = OVER_TLS[request.param]
    files = {"cert": certificate / "cert.pem", "key": certificate / "key.pem"}
    command = f"{COMMANDS[request.param]} {options.format(**files)}"
    with run(request.param, "extensions:app", command=command) as server:
        yield server


def test_which_servers_speak_http_2_over_tls(over_tls: Running) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", over_tls.port), timeout=10) as client,
        context.wrap_socket(client) as connection,
    ):
        chosen = connection.selected_alpn_protocol()
    assert chosen == OVER_TLS[over_tls.name][1]


def test_no_server_alone_offers_an_extension_to_switch_protocols(over_tls: Running) -> None:
    """As the package itself offers `http.upgrade`."""
    response = httpx.get(f"https://127.0.0.1:{over_tls.port}/", trust_env=False, verify=False)
    assert [extension for extension in response.json() if "upgrade" in extension or "switch" in extension] == []
