"""Docker's command-line client and dockerode, unmodified, with `examples/exec` as their engine."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.support.tools import find
from tests.server.conftest import PARSERS
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.support.node import Node
    from tests.server.support.process import Server

    Execute = Callable[..., subprocess.CompletedProcess[bytes]]

EXAMPLE = Path(__file__).parents[2] / "examples" / "exec"
TOKEN = secrets.token_hex(8)
HEADERS = {"X-Exec-Token": TOKEN}


@pytest.fixture(scope="module", params=PARSERS)
def engine(request: pytest.FixtureRequest) -> Iterator[Server]:
    options = ("--app-dir", str(EXAMPLE))
    with uvicorn("app:app", *options, http=request.param, environment={"EXEC_TOKEN": TOKEN}) as server:
        yield server


@pytest.fixture(scope="module")
def execute(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Execute:
    """Runs `docker exec` with these arguments and this input."""
    configuration = tmp_path_factory.mktemp("docker")
    (configuration / "config.json").write_text(json.dumps({"HttpHeaders": HEADERS}))

    def run(*arguments: str, given: bytes = b"", known: bool = True) -> subprocess.CompletedProcess[bytes]:
        docker = [find("docker"), "-H", f"tcp://{engine.host}"]
        if known:
            docker += ["--config", str(configuration)]
        command = [*docker, "exec", *arguments]
        return subprocess.run(command, input=given, capture_output=True, timeout=30, check=False)

    return run


# The command-line client


def test_a_command_reads_its_input_to_the_end(execute: Execute) -> None:
    done = execute("-i", "here", "tr", "a-z", "A-Z", given=b"hello\n")
    assert (done.stdout, done.stderr, done.returncode) == (b"HELLO\n", b"", 0)


def test_output_errors_and_exit_code_come_back(execute: Execute) -> None:
    done = execute("here", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


def test_megabytes_in_and_out(execute: Execute) -> None:
    data = secrets.token_bytes(20_000_000)
    done = execute("-i", "here", "cat", given=data)
    assert done.returncode == 0
    assert done.stdout == data


def test_output_that_comes_long_after_the_end_of_the_input(execute: Execute) -> None:
    done = execute("-i", "here", "sh", "-c", "wc -c; sleep 0.5; echo late", given=b"12345")
    assert done.stdout == b"5\nlate\n"


def test_without_the_token_nothing_runs(execute: Execute) -> None:
    done = execute("here", "echo", "ran", known=False)
    assert (done.stdout, done.returncode) == (b"", 1)
    assert b"X-Exec-Token" in done.stderr


def test_another_container_is_not_there(execute: Execute) -> None:
    assert b"No such container: there" in execute("there", "echo", "ran").stderr


# dockerode


def test_dockerode_ends_its_input_and_reads_on(node: Node, engine: Server) -> None:
    script = "tr a-z A-Z; sleep 0.3; echo late; echo bad >&2; exit 3"
    result = node.docker_exec(engine.host, "here", ["sh", "-c", script], headers=HEADERS, given="hello\n")
    assert result == {"output": "HELLO\nlate\n", "errors": "bad\n", "exitCode": 3}


def test_dockerode_reads_what_comes_together_with_the_101(node: Node, engine: Server) -> None:
    result = node.docker_exec(engine.host, "here", ["no-such-command"], headers=HEADERS, given="")
    assert result == {"output": "", "errors": "no-such-command: No such file or directory\n", "exitCode": 127}


def test_dockerode_sends_and_receives_megabytes(node: Node, engine: Server) -> None:
    command = ["sh", "-c", "wc -c; head -c 4000000 /dev/zero | tr '\\0' x"]
    result = node.docker_exec(engine.host, "here", command, headers=HEADERS, given="x" * 100_000)
    assert (result["output"], result["exitCode"]) == ("100000\n" + "x" * 4_000_000, 0)
