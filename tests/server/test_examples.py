"""The examples that take connections over, with their own clients and with Docker's Python client."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.support.process import running, uvicorn
from tests.server.support.upgrades import TCP, finish, upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.process import Server

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = secrets.token_hex(8)


@contextmanager
def example(name: str, **environment: str) -> Iterator[Server]:
    with uvicorn("app:app", "--app-dir", str(EXAMPLES / name), environment=environment) as server:
        yield server


# A line protocol in two versions


@pytest.fixture(scope="module")
def line_protocol() -> Iterator[Server]:
    with example("line_protocol") as server:
        yield server


def speak(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    client = EXAMPLES / "line_protocol" / "client.py"
    command = [sys.executable, str(client), server.url("http"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_the_client_chooses_the_second_version(line_protocol: Server) -> None:
    said = speak(line_protocol, "--offer", "foo/2, foo/1", "hello", "world").stdout
    assert said == "speaking foo/2\nthis is foo/2\n1 HELLO\n2 WORLD\n2 lines, goodbye\n"


def test_an_older_client_gets_the_first_version(line_protocol: Server) -> None:
    assert speak(line_protocol, "--offer", "foo/1", "hello", "world").stdout == "speaking foo/1\nHELLO\nWORLD\n"


def test_a_client_of_tomorrow_is_told_what_there_is(line_protocol: Server) -> None:
    refused = speak(line_protocol, "--offer", "foo/3", "hello")
    assert (refused.returncode, refused.stderr.strip()) == (1, "the server does not speak foo/3: 200")
    with line_protocol.peer() as peer:
        assert peer.ask("GET", "/").body == b'{"protocols":["foo/1","foo/2"]}'


# A tunnel behind a login


class Digest(socketserver.StreamRequestHandler):
    """A service that reads to the end of its input, and answers then."""

    def handle(self) -> None:
        data = self.rfile.read()
        self.wfile.write(b"%d %b" % (len(data), hashlib.sha256(data).hexdigest().encode()))


@pytest.fixture(scope="module")
def tunnel() -> Iterator[Server]:
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Digest) as target,
        socket.create_server(("127.0.0.1", 0)) as unused,
    ):
        target.daemon_threads = True
        threading.Thread(target=target.serve_forever, daemon=True).start()
        targets = f"digest=127.0.0.1:{target.server_address[1]},nobody=127.0.0.1:{unused.getsockname()[1]}"
        unused.close()
        with example("tunnel", TUNNEL_TOKEN=TOKEN, TUNNEL_TARGETS=targets) as server:
            yield server
        target.shutdown()


@contextmanager
def forwarded(server: Server, target: str = "digest", token: str = TOKEN) -> Iterator[tuple[Server, socket.socket]]:
    """The example's client, and a connection to the port on which it listens."""
    command = [str(EXAMPLES / "tunnel" / "client.py"), server.url("http", f"/tunnel/{target}")]
    with running(command, ready="forwarding", environment={"TUNNEL_TOKEN": token}) as client:
        port = int(client.log.search(r"forwarding 127\.0\.0\.1:(\d+)")[1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            yield client, connection


def read_end(connection: socket.socket) -> bytes:
    data = b""
    while more := connection.recv(65536):
        data += more
    return data


def test_bytes_and_their_end_travel_through_the_tunnel(tunnel: Server) -> None:
    data = secrets.token_bytes(3_000_000)
    with forwarded(tunnel) as (_, connection):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert read_end(connection) == b"%d %b" % (len(data), hashlib.sha256(data).hexdigest().encode())


@pytest.mark.parametrize(
    ("target", "token", "reason"),
    [
        ("digest", "wrong", "401: wrong token"),
        ("elsewhere", TOKEN, "404: no such target"),
        ("nobody", TOKEN, "502: the target does not answer"),
    ],
    ids=["a wrong token", "another target", "a target that is away"],  # a random token is no name for a test
)
def test_what_cannot_be_had_is_refused_as_http(tunnel: Server, target: str, token: str, reason: str) -> None:
    with forwarded(tunnel, target, token) as (client, connection):
        assert read_end(connection) == b""
        client.log.search(re.escape(reason))


def test_the_tunnel_without_a_token(tunnel: Server) -> None:
    with tunnel.peer() as peer:
        assert peer.ask("GET", "/tunnel/digest", headers=TCP).status in (401, 403)  # that depends on FastAPI's version


def test_a_client_that_does_not_ask_for_the_upgrade_leaves_the_target_alone(tunnel: Server) -> None:
    with tunnel.peer() as peer:
        response = peer.ask("GET", "/tunnel/digest", headers={"Authorization": f"Bearer {TOKEN}"})
        assert response.status == 426


# docker exec


@pytest.fixture(scope="module")
def engine() -> Iterator[Server]:
    with example("exec", EXEC_TOKEN=TOKEN) as server:
        yield server


def execute(server: Server, *command: str, given: bytes = b"", token: str = TOKEN, there: str = "here") -> Any:
    """Run a command with input, as `docker exec -i` does; give its output, its errors and its exit code."""
    program = [sys.executable, str(Path(__file__).parent / "support" / "docker_exec.py"), server.host, there, *command]
    environment = {**os.environ, "EXEC_TOKEN": token}
    done = subprocess.run(program, input=given, capture_output=True, timeout=100, check=False, env=environment)
    return done.stdout, done.stderr, done.returncode


def test_a_command_reads_its_input_to_the_end_and_its_output_arrives(engine: Server) -> None:
    assert execute(engine, "tr", "a-z", "A-Z", given=b"hello\n") == (b"HELLO\n", b"", 0)


def test_megabytes_in_and_out(engine: Server) -> None:
    data = secrets.token_bytes(4_000_000)
    assert execute(engine, "cat", given=data) == (data, b"", 0)


def test_output_that_comes_long_after_the_end_of_the_input(engine: Server) -> None:
    script = "wc -c; sleep 0.5; echo late; echo bad >&2; exit 3"
    assert execute(engine, "sh", "-c", script, given=b"12345") == (b"5\nlate\n", b"bad\n", 3)


def test_a_command_that_does_not_read_its_input(engine: Server) -> None:
    assert execute(engine, "sh", "-c", "echo done", given=b"x" * 1000) == (b"done\n", b"", 0)


def test_a_command_that_has_closed_its_input_before_any_came(engine: Server) -> None:
    target = prepare(engine, "sh", "-c", "exec <&-; echo closed; sleep 0.3; echo done")
    with engine.peer() as peer:
        upgrade(peer, target + "/start", {"X-Exec-Token": TOKEN}, method="POST")
        assert peer.receive_exactly(15).endswith(b"closed\n")
        for _ in range(4):
            peer.send(b"what nobody reads")
            time.sleep(0.02)
        assert peer.receive_end().endswith(b"done\n")
    assert inspect(engine, target)["ExitCode"] == 0


def test_a_command_that_is_not_there(engine: Server) -> None:
    assert execute(engine, "no-such-command") == (b"", b"no-such-command: No such file or directory\n", 127)


def test_without_the_token_nothing_runs(engine: Server) -> None:
    output, errors, status = execute(engine, "echo", "ran", token="wrong")
    assert (output, status) == (b"", 1)
    assert b"401 Client Error" in errors
    assert b"the X-Exec-Token field is missing or wrong" in errors


def test_another_container_is_not_there(engine: Server) -> None:
    assert b"No such container: there" in execute(engine, "echo", "ran", there="there")[1]


def prepare(engine: Server, *command: str) -> str:
    """The target to start a command at."""
    body = json.dumps({"Cmd": command}).encode()
    with engine.peer() as peer:
        headers = {"X-Exec-Token": TOKEN, "Content-Length": len(body)}
        response = peer.ask("POST", "/v1.41/containers/here/exec", headers=headers, body=body)
    return f"/v1.41/exec/{json.loads(response.body)['Id']}"


def inspect(engine: Server, target: str) -> Any:
    with engine.peer() as peer:
        return json.loads(peer.ask("GET", target + "/json", headers={"X-Exec-Token": TOKEN}).body)


def test_input_in_the_same_segment_as_the_request_and_its_end(engine: Server) -> None:
    """What no client does that waits for the 101, but a hurried one may."""
    target = prepare(engine, "cat")
    body = b'{"Detach":false,"Tty":false}'
    with engine.peer() as peer:
        headers = {"X-Exec-Token": TOKEN, "Content-Type": "application/json", "Content-Length": len(body)}
        peer.send(peer.request("POST", target + "/start", headers={**TCP, **headers}, body=body) + b"early")
        finish(peer)
        response = peer.receive_response()
        assert response.status == 101
        assert response.header("content-type") == "application/vnd.docker.raw-stream"
        assert peer.receive_end() == struct.pack(">BxxxL", 1, 5) + b"early"
    assert inspect(engine, target)["ExitCode"] == 0


def test_a_client_that_vanishes_ends_the_command(engine: Server) -> None:
    target = prepare(engine, "yes")
    with engine.peer() as peer:
        upgrade(peer, target + "/start", {"X-Exec-Token": TOKEN}, method="POST")
        peer.receive_exactly(1000)
        assert inspect(engine, target)["Running"]
        peer.reset()
    deadline = time.monotonic() + 30
    while inspect(engine, target)["Running"]:
        assert time.monotonic() < deadline
    assert inspect(engine, target)["ExitCode"] != 0
