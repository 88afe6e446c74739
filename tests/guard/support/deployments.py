"""The ways to run an application: with uvicorn and our protocols, with uvicorn alone, and without any server.

Each shakes hands, sends a message, closes, and tells what came of it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade import HandshakeMiddleware
from tests.guard.apps.applications import CASES, MORE_CASES
from tests.guard.apps.notes import NOTES
from tests.guard.support.client import TestClient, WebSocketDenialResponse
from tests.guard.support.outcome import Outcome
from tests.server.support.peer import KEY_HEADER
from tests.server.support.process import Server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message


ALL = {**CASES, **MORE_CASES}


class Deployment(ABC):
    """One way to run an application of `CASES`.

    Attributes:
        direct: Whether the server delivers WebSockets.
        arranged: Whether that was known at startup, so that nothing sees a handshake twice.
        unavailable: The status for handshakes that cannot be guarded.
    """

    direct = True
    arranged = True
    unavailable = 503

    @abstractmethod
    def shake(self, name: str, headers: Mapping[str, str] | None = None) -> Outcome:
        """Shake hands with the application called `name`."""

    @abstractmethod
    def log(self, name: str) -> str:
        """What has been logged so far."""


class Uvicorn(Deployment):
    """A process of `tests/guard/serve.py`.

    Attributes:
        attached: Whether the middleware extends the server itself.
    """

    def __init__(self, process: Server, *, direct: bool, lifespan: bool, attached: bool) -> None:
        self._process = process
        line = process.log.search("^PORTS ", timeout=60).string
        self._ports: dict[str, int] = json.loads(line.removeprefix("PORTS "))
        self.direct = direct
        self.arranged = lifespan or not direct
        self.attached = attached

    def shake(self, name: str, headers: Mapping[str, str] | None = None) -> Outcome:
        server, lines = self._server(name), self._process.log.lines
        start = len(lines)
        with server.handshaker() as websocket:
            websocket.send(websocket.handshake(ALL[name].path, headers))
            response = websocket.receive_response()
            outcome = Outcome(response.status, response.body.decode(), response.headers)
            if response.status == 101:
                websocket.send_text("hello")
                outcome.echoed = websocket.receive_text() == "hello"
                websocket.finish()
        self._settle(server, start)
        noted = (json.loads(line.removeprefix("NOTE ")) for line in lines[start:] if websocket.key in line)
        outcome.notes = [note["name"] for note in noted]
        return outcome

    def log(self, name: str) -> str:
        self._settle(self._server(name), len(self._process.log.lines))
        return "\n".join(self._process.log.lines)

    def _server(self, name: str) -> Server:
        server = Server(self._process.process, self._process.log)
        server.port = self._ports[name]
        return server

    def _settle(self, server: Server, start: int) -> None:
        """Wait until all that has been written so far is in the log: what one more request leaves there."""
        with server.peer() as peer:
            assert peer.ask(headers={"Connection": "close"}).status == 200
        self._process.log.search(f'{peer.key}.*"complete"', start=start)


class InProcess(Deployment):
    """Something that calls the application without a server."""

    def __init__(self, caplog: pytest.LogCaptureFixture, *, lifespan: bool) -> None:
        self.arranged = lifespan
        self._caplog = caplog
        self._apps: dict[str, ASGIApp] = {}

    def app(self, name: str) -> ASGIApp:
        """The same one each time in a test, a new one for each test."""
        if name not in self._apps:
            self._apps[name] = ALL[name].make()
        return self._apps[name]

    def shake(self, name: str, headers: Mapping[str, str] | None = None) -> Outcome:
        key = secrets.token_hex(8)
        outcome = self.connect(self.app(name), ALL[name].path, {KEY_HEADER: key, **(headers or {})})
        outcome.notes = [note for noted_key, note in NOTES if noted_key == key]
        return outcome

    def log(self, name: str) -> str:
        return self._caplog.text

    @abstractmethod
    def connect(self, app: ASGIApp, path: str, headers: dict[str, str]) -> Outcome:
        """Shake hands."""


class StarletteClient(InProcess):
    """Starlette's and FastAPI's TestClient."""

    def connect(self, app: ASGIApp, path: str, headers: dict[str, str]) -> Outcome:
        client = TestClient(app)
        if self.arranged:
            with client:
                return self._connect(client, path, headers)
        return self._connect(client, path, headers)

    def _connect(self, client: TestClient, path: str, headers: dict[str, str]) -> Outcome:
        try:
            with client.websocket_connect(f"ws://127.0.0.1{path}", headers=headers) as session:
                session.send_text("hello")
                echoed = session.receive_text() == "hello"
                accepted = [(name.decode(), value.decode()) for name, value in session.extra_headers or ()]
                return Outcome(101, headers=accepted, echoed=echoed)
        except WebSocketDenialResponse as denial:
            return Outcome(denial.status_code, denial.text, denial.headers.multi_items())


class Call(InProcess):
    """A `websocket` scope from nobody that is known, with `HandshakeMiddleware` outermost unless told otherwise.

    Without denial responses a refusal is a close before the accept.
    """

    direct = False

    def __init__(
        self, caplog: pytest.LogCaptureFixture, *, lifespan: bool, denial: bool, outermost: bool = True
    ) -> None:
        super().__init__(caplog, lifespan=lifespan)
        self.denial = denial
        self.outermost = outermost
        if not denial:
            self.unavailable = 403

    def connect(self, app: ASGIApp, path: str, headers: dict[str, str]) -> Outcome:
        called = HandshakeMiddleware(app) if self.outermost else app
        return asyncio.run(asyncio.wait_for(self._run(called, path, headers), 60))

    async def _run(self, app: ASGIApp, path: str, headers: dict[str, str]) -> Outcome:
        if not self.arranged:
            return await self._connect(app, path, headers)
        received: asyncio.Queue[Message] = asyncio.Queue()
        sent: asyncio.Queue[Message] = asyncio.Queue()
        lifespan = asyncio.ensure_future(
            app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, received.get, sent.put)
        )
        await received.put({"type": "lifespan.startup"})
        assert (await sent.get())["type"] == "lifespan.startup.complete"
        outcome = await self._connect(app, path, headers)
        await received.put({"type": "lifespan.shutdown"})
        await lifespan
        return outcome

    async def _connect(self, app: ASGIApp, path: str, headers: dict[str, str]) -> Outcome:
        received: asyncio.Queue[Message] = asyncio.Queue()
        sent: asyncio.Queue[Message] = asyncio.Queue()
        # Only what ASGI requires to be there, besides the extension.
        scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), *((n.lower().encode(), v.encode()) for n, v in headers.items())],
        }
        if self.denial:
            scope["extensions"] = {"websocket.http.response": {}}
        serving = asyncio.ensure_future(app(scope, received.get, sent.put))
        await received.put({"type": "websocket.connect"})
        first = await sent.get()
        outcome = Outcome(0, headers=[(n.decode(), v.decode()) for n, v in first.get("headers", ())])
        if first["type"] == "websocket.accept":
            outcome.status = 101
            await received.put({"type": "websocket.receive", "text": "hello"})
            outcome.echoed = await sent.get() == {"type": "websocket.send", "text": "hello"}
            await received.put({"type": "websocket.disconnect", "code": 1000})
        elif first["type"] == "websocket.http.response.start":
            outcome.status = first["status"]
            more = True
            while more:
                part = await sent.get()
                assert part["type"] == "websocket.http.response.body"
                outcome.body += part.get("body", b"").decode()
                more = part.get("more_body", False)
        else:
            assert first == {"type": "websocket.close", "code": 1008}
            outcome.status = 403
        await serving
        return outcome
