"""A process of `tests/layers/serve.py`, and its visitors."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.layers.support.visit import Outcome, Visit
from tests.server.support.process import Server, running
from tests.server.support.websocket import CLOSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.support.websocket import WebSocket

# Where uvicorn delivers WebSockets: we say so once, and it says the second at each response that refuses one.
USUAL = ("does not offer http.upgrade", "ASGI callable returned without completing handshake.")


def unusual(lines: list[str]) -> list[str]:
    """What is in a log besides what is always there."""
    return [line for line in lines if not any(usual in line for usual in USUAL)]


class Process:
    """Servers of many applications, each with a port of its own."""

    def __init__(self, server: Server) -> None:
        line: str = server.log.search("^PORTS ", timeout=60).string
        self._ports: dict[str, int] = json.loads(line.removeprefix("PORTS "))
        self._server = server

    def names(self) -> list[str]:
        return list(self._ports)

    def server(self, name: str) -> Server:
        """The server of the application called `name`."""
        server = Server(self._server.process, self._server.log)
        server.port = self._ports[name]
        return server

    def visit(self, name: str, visit: Visit) -> Outcome:
        """Shake hands, talk, close; gives what came of it."""
        with self.visiting(name, visit) as (_, outcome):
            return outcome

    @contextmanager
    def visiting(self, name: str, visit: Visit) -> Iterator[tuple[WebSocket, Outcome]]:
        """The same, but the WebSocket is open, if it was opened, until the block ends."""
        with self.server(name).handshaker() as websocket:
            websocket.socket.settimeout(30)
            websocket.send(websocket.handshake(visit.path, visit.headers))
            response = websocket.receive_response()
            outcome = Outcome(response.status, response.headers)
            if response.status == 101:
                if visit.first is not None:
                    websocket.send_text(visit.first)
                frame = websocket.receive_frame()
                if frame.opcode == CLOSE:
                    outcome.status = int.from_bytes(frame.payload[:2], "big")
                else:
                    outcome.report = json.loads(frame.payload)
                    websocket.send_text("hello")
                    assert websocket.receive_text() == "hello"
            # All layers have been called by now; those that end later have noted what they do before.
            outcome.seen = self.tell(key=websocket.key)["seen"]
            yield websocket, outcome
            if outcome.status == 101:
                websocket.finish()

    def tell(self, **query: str) -> dict[str, Any]:
        """What `tell` of `serve.py` knows."""
        with self.server("teller").peer() as peer:
            told: dict[str, Any] = json.loads(peer.ask("GET", f"/?{urlencode(query)}").body)
        return told

    def logged(self, name: str) -> list[str]:
        """Warnings and errors of the application called `name`."""
        logged: list[str] = self.tell(app=name)["logged"]
        return logged

    def wait_until_seen(self, key: str, entry: str) -> None:
        """Wait for what a layer notes in its own time."""
        deadline = time.monotonic() + 30
        while entry not in self.tell(key=key)["seen"]:
            assert time.monotonic() < deadline, f"nobody has seen {entry}"
            time.sleep(0.01)


@contextmanager
def serving(module: str, *positions: str, **environment: str) -> Iterator[Process]:
    """Run the applications of `tests/layers/apps/MODULE.py` until the block ends."""
    command = ["-m", "tests.layers.serve", module, *positions]
    with running(command, ready="^PORTS ", environment=environment) as server:
        yield Process(server)
