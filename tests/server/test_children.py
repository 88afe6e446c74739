"""What stays of the servers when pytest is killed: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.server.support.process import START_TIMEOUT, child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[2]

with_xdist = pytest.mark.skipif(find_spec("xdist") is None, reason="pytest-xdist is not installed")

# A test that runs a server with two workers, as the tests here do, and never ends.
TEST = """
import os, time
from pathlib import Path
from tests.server.support.process import uvicorn

def test_something():
    ready = {"ready": "Application startup complete", "times": 2}
    with uvicorn("plain:app", "--workers", "2", **ready) as server:
        note = Path(__file__).with_name("started")
        note.with_suffix(".new").write_text(f"{os.getpid()} {server.process.pid}")
        note.with_suffix(".new").rename(note)
        time.sleep(600)
"""


def until(condition: Callable[[], object], what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def is_gone(group: int) -> bool:
    """Whether no process of the group is left, not even one that nobody has waited for."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("options", "killed"),
    [
        pytest.param("", "pytest", id="pytest"),
        pytest.param("-n 1", "pytest", id="pytest, with a worker", marks=with_xdist),
        pytest.param("-n 1", "worker", id="its worker", marks=with_xdist),
    ],
)
def test_no_server_outlives_a_killed_pytest(tmp_path: Path, options: str, killed: str) -> None:
    (tmp_path / "test_endless.py").write_text(TEST)
    runner = run_pytest(tmp_path, ["--timeout=600", *options.split()])
    try:
        note = tmp_path / "started"
        until(note.exists, "the test has not started its server", 3 * START_TIMEOUT)
        tester, server = map(int, note.read_text().split())
        assert not is_gone(server)
        os.kill(runner.pid if killed == "pytest" else tester, signal.SIGKILL)
        # A worker of pytest-xdist that has lost pytest takes up to ten seconds to end.
        until(lambda: is_gone(server), "the server still runs", 30)
    finally:
        runner.kill()
        runner.wait(30)


def run_pytest(folder: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    environment = child_environment({"PYTHONPATH": str(ROOT)})
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]  # those of the pytest that runs this test
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), *options, str(folder)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
