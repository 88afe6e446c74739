"""Servers that are no Python programs, as child processes."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests import children
from tests.e2e.support.tools import find
from tests.server.support.process import Log

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT = 20.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def daemon(program: str, *arguments: str, port: int) -> Iterator[Log]:
    """Run a server that listens on `port` until the block ends; gives its log."""
    process = children.start(
        [find(program), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    log = Log()
    reader = threading.Thread(target=log.follow, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        _await_listener(process, port, log)
        yield log
    finally:
        children.stop(process)
        reader.join(5)
        process.stdout.close()


def _await_listener(process: subprocess.Popen[str], port: int, log: Log) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert process.poll() is None, "it ended:\n" + "\n".join(log.lines)
            assert time.monotonic() < deadline, "it does not listen:\n" + "\n".join(log.lines)
            time.sleep(0.02)
        else:
            return
