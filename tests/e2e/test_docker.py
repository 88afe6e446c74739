"""Docker's command-line client, unmodified, with `examples/exec` as its engine."""

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

    Execute = Callable[..., subprocess.CompletedProcess[bytes]]

EXAMPLE = Path(__file__).parents[2] / "examples" / "exec"
TOKEN = secrets.token_hex(8)


@pytest.fixture(scope="module", params=PARSERS)
def execute(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Execute]:
    """Runs `docker exec` with these arguments and this input."""
    configuration = tmp_path_factory.mktemp("docker")
    (configuration / "config.json").write_text(json.dumps({"HttpHeaders": {"X-Exec-Token": TOKEN}}))
    options = ("--app-dir", str(EXAMPLE))
    with uvicorn("app:app", *options, http=request.param, environment={"EXEC_TOKEN": TOKEN}) as server:

        def run(*arguments: str, given: bytes = b"", known: bool = True) -> subprocess.CompletedProcess[bytes]:
            docker = [find("docker"), "-H", f"tcp://{server.host}"]
            if known:
                docker += ["--config", str(configuration)]
            command = [*docker, "exec", *arguments]
            return subprocess.run(command, input=given, capture_output=True, timeout=30, check=False)

        yield run


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
