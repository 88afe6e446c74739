"""Real servers as child processes: start one, read what it logs, stop it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import children

from .peer import Peer
from .websocket import WebSocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping, Sequence

APPS = Path(__file__).parent.parent / "apps"
START_TIMEOUT = 60.0  # seconds; generous, several servers may be starting on one core
PATIENCE = 60.0  # seconds for anything that has to come: a busy machine is no reason to fail
RUNNING = "Uvicorn running on"  # a single process logs this when it listens; others log it earlier
NOTE_MARK = "NOTE "


class Log:
    """The lines a process has written so far, with a way to wait for one that is still to come."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ended = False
        self._grown = threading.Condition()

    def follow(self, stream: Iterator[str]) -> None:
        """Collect `stream` until it ends."""
        for line in stream:
            with self._grown:
                self.lines.append(line.rstrip("\n"))
                self._grown.notify_all()
        with self._grown:
            self.ended = True
            self._grown.notify_all()

    def find(self, wanted: Callable[[str], Any], *, start: int = 0, timeout: float = PATIENCE) -> Any:
        """The first true `wanted(line)` from line `start` on; waits for it up to `timeout` seconds."""
        deadline = time.monotonic() + timeout
        position = start
        with self._grown:
            while True:
                while position < len(self.lines):
                    if found := wanted(self.lines[position]):
                        return found
                    position += 1
                remaining = deadline - time.monotonic()
                if self.ended or remaining <= 0:
                    raise AssertionError("never logged; the log says:\n" + "\n".join(self.lines[start:]))
                self._grown.wait(remaining)

    def wait_for_end(self, timeout: float = PATIENCE) -> None:
        """Wait up to `timeout` seconds until all that the process has written is here, after it has ended."""
        with self._grown:
            assert self._grown.wait_for(lambda: self.ended, timeout), "something still writes to the log"

    def search(self, pattern: str, *, start: int = 0, timeout: float = PATIENCE) -> re.Match[str]:
        """The first match of the regular expression `pattern`; waits for it up to `timeout` seconds."""
        match: re.Match[str] = self.find(re.compile(pattern).search, start=start, timeout=timeout)
        return match


class Server:
    """A running server, and the ways to talk to it."""

    def __init__(self, process: subprocess.Popen[str], log: Log) -> None:
        self.process = process
        self.log = log
        self.port = 0
        self.uds: str | None = None
        self.tls: ssl.SSLContext | None = None

    @property
    def host(self) -> str:
        """What a client would write into its Host field."""
        return f"127.0.0.1:{self.port}" if self.port else "localhost"

    def url(self, scheme: str, path: str = "/") -> str:
        return f"{scheme}{'s' if self.tls else ''}://{self.host}{path}"

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        """A new connection, TLS included, with a timeout on everything."""
        if self.uds is not None:
            sock = socket.socket(socket.AF_UNIX)
            address: Any = self.uds
        else:
            sock = socket.socket()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            address = ("127.0.0.1", self.port)
        sock.settimeout(PATIENCE)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return self.tls.wrap_socket(sock, server_hostname="127.0.0.1") if self.tls else sock

    def peer(self) -> Peer:
        """A client that speaks HTTP by hand."""
        return Peer(self.connect(), self.host)

    def websocket(self, target: str = "/echo", headers: Mapping[str, Any] | None = None, **options: Any) -> WebSocket:
        """A client that speaks WebSocket by hand, its handshake done."""
        websocket = self.handshaker(**options)
        try:
            websocket.open(target, headers)
        except BaseException:
            websocket.close()
            raise
        return websocket

    def handshaker(self, **options: Any) -> WebSocket:
        """A client that speaks WebSocket by hand, connected but before its handshake."""
        return WebSocket(self.connect(**options), self.host)

    def note(self, key: str, name: str, *, timeout: float = PATIENCE) -> dict[str, Any]:
        """What the application noted as `name` about the request that carried `key` (see `apps/notes.py`)."""

        def wanted(line: str) -> dict[str, Any] | None:
            if not line.startswith(NOTE_MARK):
                return None
            note: dict[str, Any] = json.loads(line[len(NOTE_MARK) :])
            matches = note.pop("key") == key and note.pop("name") == name
            return {"noted": True, **note} if matches else None

        found: dict[str, Any] = self.log.find(wanted, timeout=timeout)
        found.pop("noted")
        return found

    def notes(self, key: str) -> list[str]:
        """The names of everything noted so far about the request that carried `key`, in order."""
        self.settle()
        notes = [json.loads(line[len(NOTE_MARK) :]) for line in self.log.lines if line.startswith(NOTE_MARK)]
        return [note["name"] for note in notes if note["key"] == key]

    def settle(self) -> None:
        """Wait until all that the server has written so far is in the log: what one more request leaves there."""
        with self.peer() as peer:
            assert peer.ask(headers={"Connection": "close"}).status == 200
        self.note(peer.key, "complete")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait up to `timeout` seconds for the process to end by itself, and for all that it logged."""
        status = self.process.wait(timeout)
        self.log.wait_for_end()
        return status


@contextmanager
def running(
    command: Sequence[str],
    *,
    ready: str,
    times: int = 1,
    environment: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    uds: str | None = None,
    start_timeout: float = START_TIMEOUT,
) -> Iterator[Server]:
    """Run `command` until the block ends.

    `ready` is a regular expression that the log shows `times` times once the server is up, after `start_timeout`
    seconds at the latest. The port is found in the log, since every server here binds port 0.
    """
    process = children.start(
        [sys.executable, *command],
        env=child_environment(environment or {}),
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
    server = Server(process, log)
    server.tls = tls
    server.uds = uds
    try:
        if uds is None:
            server.port = int(log.search(r"https?://127\.0\.0\.1:(\d+)", timeout=start_timeout)[1])
        seen = 0
        for _ in range(times):
            seen = log.find(_numbered(log, ready, seen), start=seen, timeout=start_timeout)
        if ready != RUNNING:
            _await_listener(server)
        yield server
    finally:
        children.stop(process)
        reader.join(5)
        process.stdout.close()


def uvicorn(app: str, *options: str, http: str = "auto", loop: str = "auto", **kwargs: Any) -> Any:
    """Run `uvicorn app options...` until the block ends; a context manager that gives the `Server`.

    `app` is looked up in `tests/server/apps`, unless an `--app-dir` among the options says otherwise.
    """
    command = ["-m", "uvicorn", app, "--http", http, "--loop", loop, "--no-use-colors"]
    if "--app-dir" not in options:
        command += ["--app-dir", str(APPS)]
    if "--uds" in options:
        kwargs["uds"] = options[options.index("--uds") + 1]
    else:
        command += ["--port", "0"]
    return running([*command, *options], **{"ready": RUNNING, **kwargs})


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """What a child inherits, and `extra`: it imports the very `asgi_upgrade` that the tests would import."""
    spec = find_spec("asgi_upgrade")
    assert spec is not None
    assert spec.origin is not None
    paths = [extra.get("PYTHONPATH"), str(Path(spec.origin).parent.parent), os.environ.get("PYTHONPATH")]
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        **extra,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def _numbered(log: Log, pattern: str, start: int) -> Callable[[str], int]:
    """A predicate for `Log.find` that gives the number of the line after the one matched."""
    position = start
    expression = re.compile(pattern)

    def check(line: str) -> int:
        nonlocal position
        position += 1
        return position if expression.search(line) else 0

    return check


def _await_listener(server: Server) -> None:
    """With several processes the address is logged before anybody listens on it."""
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            server.connect().close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
