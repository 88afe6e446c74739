"""How each ASGI server is started, as a process of its own."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import children

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
APPS = Path(__file__).parent / "apps"
START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 2.0  # seconds; some wait longer for clients that have gone

# Arguments of `python -m`.
COMMANDS = {
    "uvicorn": "uvicorn {app} --port {port}",
    "uvicorn, not extended": "uvicorn {app} --port {port} --lifespan off",
    "hypercorn": "hypercorn {app} --bind 127.0.0.1:{port}",
    "hypercorn, not extended": "hypercorn {app} --bind 127.0.0.1:{port}",
    "granian": "granian {app} --interface asgi --port {port}",
    "daphne": "daphne {app} --bind 127.0.0.1 --port {port}",
    "gunicorn": "gunicorn {app} --worker-class asgi --bind 127.0.0.1:{port}",
    "h2corn": "h2corn {app} --bind 127.0.0.1:{port}",
}


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    name: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]

    def url(self, target: str) -> str:
        """The WebSocket URL of a path with its query."""
        return f"ws://127.0.0.1:{self.port}{target}"

    def wait_for(self, text: str, timeout: float = 30) -> str:
        """Wait up to ``timeout`` seconds until a line with ``text`` has been logged; return the lines of the log."""
        deadline = time.monotonic() + timeout
        while True:
            log = self.log.read_text(errors="replace")
            lines = log[: log.rfind("\n") + 1]  # the last one may be on its way
            if text in lines:
                return lines
            assert time.monotonic() < deadline, f"{text!r} was not logged:\n{log}"
            time.sleep(0.02)


def _free_port() -> int:
    """A port for a server that cannot say which one it has got.

    No port of those that the system gives to clients: such a one may be taken again before the server starts.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextmanager
def run(
    name: str, app: str, *, command: str | None = None, folder: Path = APPS, environment: dict[str, str] | None = None
) -> Iterator[Running]:
    """Run ``app``, a module of ``folder``, under a server for the length of the block."""
    port = _free_port()
    arguments = (command or COMMANDS[name]).format(app=app, port=port).split()
    with tempfile.TemporaryDirectory() as logs:
        log = Path(logs) / "log"
        with log.open("wb") as output:
            process = children.start(
                [sys.executable, "-m", *arguments],
                cwd=folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    "ATTACH": "no" if "not extended" in name else "yes",
                    **(environment or {}),
                },
                stdout=output,
                stderr=output,
            )
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    started = process.poll() is None and time.monotonic() < deadline
                    assert started, f"{name} did not start:\n{log.read_text(errors='replace')}"
                    time.sleep(0.05)
            yield Running(name, port, log, process)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT)
            children.stop(process)
