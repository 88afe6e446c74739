"""The servers that are compared, and how each is started on one core with one worker."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.environments import compiled
from benchmarks.processes import on_core

ROOT = Path(__file__).parent.parent
MAX_SIZE = str(64 * 1024 * 1024)
MANY = "8192"  # connections waiting to be accepted, or open at once, where a server limits them


class ServerError(Exception):
    """A server did not start: the message holds the end of its output."""


@dataclass(frozen=True)
class Settings:
    """What a server is started with."""

    app: str
    port: int
    loop: str
    certificate: Path | None
    key: Path | None

    def tls(self, certificate_option: str, key_option: str) -> list[str]:
        """The options that switch TLS on, if it is wanted."""
        return (
            [] if self.certificate is None else [certificate_option, str(self.certificate), key_option, str(self.key)]
        )


def _uvicorn(settings: Settings) -> list[str]:
    return [
        *("uvicorn", f"benchmarks.{settings.app}", "--port", str(settings.port), "--loop", settings.loop),
        *("--http", "httptools", "--ws", "websockets-sansio", "--ws-max-size", MAX_SIZE, "--backlog", MANY),
        *("--no-access-log", "--log-level", "warning", *settings.tls("--ssl-certfile", "--ssl-keyfile")),
    ]


def _h2corn(settings: Settings) -> list[str]:
    return [
        *("h2corn", f"benchmarks.{settings.app}", "--bind", f"127.0.0.1:{settings.port}", "--loop", settings.loop),
        *("--workers", "1", "--runtime-threads", "1", "--no-access-log", "--backlog", MANY),
        *("--websocket-max-message-size", MAX_SIZE, *settings.tls("--certfile", "--keyfile")),
    ]


def _granian(settings: Settings) -> list[str]:
    return [
        *("granian", f"benchmarks.{settings.app}", "--interface", "asgi", "--port", str(settings.port)),
        *("--loop", settings.loop, "--workers", "1", "--runtime-threads", "1", "--backlog", MANY),
        *("--backpressure", MANY, "--log-level", "warning", *settings.tls("--ssl-certificate", "--ssl-keyfile")),
    ]


def _gunicorn(settings: Settings) -> list[str]:
    return [
        *("gunicorn", f"benchmarks.{settings.app}", "-k", "asgi", "-b", f"127.0.0.1:{settings.port}", "-w", "1"),
        *("--asgi-loop", settings.loop, "--worker-connections", MANY, "--backlog", MANY, "--log-level", "warning"),
        *("--websocket-max-message-size", MAX_SIZE, *settings.tls("--certfile", "--keyfile")),
    ]


def _hypercorn(settings: Settings) -> list[str]:
    return [
        *("hypercorn", f"benchmarks.{settings.app}", "-b", f"127.0.0.1:{settings.port}", "-k", settings.loop),
        *("-w", "1", "--backlog", MANY, "--log-level", "warning", *settings.tls("--certfile", "--keyfile")),
    ]


def _bare(settings: Settings) -> list[str]:
    return ["benchmarks.bare", str(settings.port)]


def _bare_asgi(settings: Settings) -> list[str]:
    return ["benchmarks.bare_asgi", str(settings.port)]


def _picows(settings: Settings) -> list[str]:
    return ["benchmarks.picows_echo", str(settings.port)]


def _sources() -> Path:
    return ROOT


@dataclass(frozen=True)
class Server:
    """A server that may take part: ``package`` must be installed, ``command`` follows ``python -m``."""

    name: str
    package: str
    command: Callable[[Settings], list[str]]
    apps: str = "apps"
    by_default: bool = True  # takes part if no servers are named
    directory: Callable[[], Path] = _sources  # where the package and the applications are imported from


SERVERS = {
    server.name: server
    for server in (
        Server("asgi-upgrade", "uvicorn", _uvicorn, "guarded_apps"),
        Server("asgi-upgrade-compiled", "uvicorn", _uvicorn, "guarded_apps", by_default=False, directory=compiled),
        Server("uvicorn", "uvicorn", _uvicorn),
        Server("h2corn", "h2corn", _h2corn),
        Server("granian", "granian", _granian),
        Server("gunicorn", "gunicorn", _gunicorn),
        Server("hypercorn", "hypercorn", _hypercorn),
        Server("bare", "uvloop", _bare, by_default=False),
        Server("bare-asgi", "uvloop", _bare_asgi, by_default=False),
        Server("picows", "picows", _picows, by_default=False),
    )
}


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on.

    None of those that the system gives to clients: such a one may be taken before the server starts.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def _wait_until_open(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    log.seek(0)
    raise ServerError(log.read().decode(errors="replace")[-2000:])


@contextmanager
def running(
    server: Server, settings: Settings, python: str, core: int, output: IO[bytes] | None = None
) -> Iterator[int]:
    """Run the server in a session of its own for the length of the block; gives its process id.

    What it writes goes to ``output`` if that is given. Raises ServerError if it does not listen within 20 seconds.
    """
    # Being told to end must not leave the server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    command = [python, "-m", *server.command(settings)]
    directory = server.directory()
    environment = {**os.environ, "PYTHONPATH": str(directory)}
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile()) if output is None else output
        with on_core(core):
            process = subprocess.Popen(
                command, cwd=directory, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait_until_open(process, settings.port, log)
            yield process.pid
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
