"""What an observer is told of handshakes and connections."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn.config import WS_PROTOCOLS

from asgi_upgrade import ConnectionClosed, HandshakeEnded, Observer, UpgradeMiddleware
from tests.server.support.process import PATIENCE, uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.support.process import Server

EVIL = {"Origin": "http://evil.example"}
# Under our engine, and under the WebSockets of uvicorn.
OURS = ["httptools", "h11"]
SERVERS = [*OURS, *[name for name in ("websockets", "wsproto") if name in WS_PROTOCOLS]]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if request.param in OURS:
        running = uvicorn("observed:app", http=request.param)
    else:
        running = uvicorn("observed:app", "--ws", request.param, environment={"UNATTACHED": "1"})
    with running as started:
        yield started


@pytest.fixture
def is_ours(request: pytest.FixtureRequest) -> bool:
    """Whether we carry the messages."""
    return bool(request.node.callspec.params["server"] in OURS)


def ask(server: Server, path: str) -> Any:
    with server.peer() as peer:
        return json.loads(peer.ask("GET", path).body)


def told(server: Server, count: int, act: Callable[[], object]) -> list[dict[str, Any]]:
    """Act, and give what the observer is told about that: so many things, and no more."""
    before = len(ask(server, "/events"))
    act()
    deadline = time.monotonic() + PATIENCE
    events: list[dict[str, Any]] = []
    while len(events := ask(server, "/events")[before:]) < count:
        assert time.monotonic() < deadline, events
        time.sleep(0.01)
    for _ in range(3):  # whatever would be told behind them is told by then
        assert ask(server, "/events")[before:] == events
    assert len(events) == count
    assert ask(server, "/open") == {}
    return events


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/rooms/blue", "/rooms/{room}"),
        ("/api/rooms/blue", "/api/rooms/{room}"),
        ("/tenants/acme/sub/rooms/blue", "/tenants/{tenant}/sub/rooms/{room}"),
        ("/bypassed/blue", "/bypassed/{name}"),
    ],
)
def test_a_connection_is_told_of_twice(server: Server, is_ours: bool, path: str, route: str) -> None:
    def act() -> None:
        with server.websocket(path) as websocket:
            for text in ("hello", "grün", "x" * 1000):
                websocket.send_text(text)
                assert websocket.receive_text() == text
            assert ask(server, "/open")[route]["connections"] == 1
            websocket.finish(4001)

    accepted, closed = told(server, 2, act)
    assert 0 <= accepted.pop("seconds") < PATIENCE
    assert accepted == {"event": "handshake", "path": path, "outcome": "accepted", "status": 101, "route": route}
    assert 0 <= closed.pop("seconds") < PATIENCE
    # What frames have in front of their payload, and the close frames, are counted where we carry the connection.
    payload = 5 + 5 + 1000
    received, sent = (payload + 6 + 6 + 8 + 8, payload + 2 + 2 + 4 + 4) if is_ours else (payload, payload)
    assert closed == {
        "event": "closed",
        "path": path,
        "route": route,
        "code": 4001,
        "messages_received": 3,
        "bytes_received": received,
        "messages_sent": 3,
        "bytes_sent": sent,
    }


@pytest.mark.parametrize(
    ("target", "headers", "expected"),
    [
        ("/refuse", {}, ("refused", 403, "/refuse")),
        ("/deny", {}, ("refused", 503, "/deny")),
        ("/fail", {}, ("failed", 500, "/fail")),
        ("/forget", {}, ("failed", 500, "/forget")),
        ("/wait", {}, ("timed_out", 503, "/wait")),
        ("/rooms/blue", EVIL, ("refused_origin", 403, "/rooms/{room}")),
        ("/api/rooms/blue", EVIL, ("refused_origin", 403, "/api/rooms/{room}")),
        ("/tenants/acme/sub/rooms/x", EVIL, ("refused_origin", 403, "/tenants/{tenant}/sub/rooms/{room}")),
        ("/bypassed/blue", EVIL, ("refused_origin", 403, "/bypassed/{name}")),
        ("/rooms/blue?anonymous", {}, ("refused", 401, "/rooms/{room}")),
        ("/tenants/acme/sub/rooms/x?anonymous", {}, ("refused", 401, "/tenants/{tenant}/sub/rooms/{room}")),
        ("/rooms/blue?limited", {}, ("refused", 403, "/rooms/{room}")),
        ("/unknown/42", {}, ("refused", 404, None)),
        ("/tenants/acme/sub/unknown", {}, ("refused", 404, "/tenants/{tenant}/sub/{path}")),
        ("/acme/raw/x", {}, ("refused", 404, "/{tenant}/raw/{path}")),
    ],
)
def test_a_refused_handshake_is_told_of_once(
    server: Server, target: str, headers: dict[str, str], expected: tuple[str, int, str | None]
) -> None:
    def act() -> None:
        with server.handshaker() as websocket:
            assert websocket.refused(target, headers).status == expected[1]

    (event,) = told(server, 1, act)
    assert (event["outcome"], event["status"], event["route"]) == expected


def test_an_invalid_handshake_is_a_bad_request(server: Server, is_ours: bool) -> None:
    if not is_ours:
        pytest.skip("uvicorn's WebSockets tell no application")

    def act() -> None:
        with server.handshaker() as websocket:
            assert websocket.refused("/rooms/blue", {"Sec-WebSocket-Version": "12"}).status == 426

    (event,) = told(server, 1, act)
    assert (event["outcome"], event["status"], event["route"]) == ("bad_request", 426, "/rooms/{room}")


def test_a_client_that_leaves_before_the_answer(server: Server) -> None:
    def act() -> None:
        websocket = server.handshaker()
        websocket.send(websocket.handshake("/wait"))
        websocket.wait_until_read()
        ask(server, "/open")  # answered behind the start of the application
        websocket.reset()

    (event,) = told(server, 1, act)
    assert (event["outcome"], event["route"]) == ("client_left", "/wait")


def test_a_client_that_vanishes_is_1006(server: Server, is_ours: bool) -> None:
    def act() -> None:
        websocket = server.websocket("/rooms/blue")
        websocket.send_text("hello")
        websocket.reset()

    # wsproto's word for it is another one.
    assert told(server, 2, act)[1]["code"] in (1006, 1005 if not is_ours else None)


def test_an_application_that_fails_is_1011(server: Server, is_ours: bool) -> None:
    def act() -> None:
        with server.websocket("/fail-later") as websocket:
            if is_ours:  # uvicorn's WebSockets end without a close frame
                assert websocket.receive_close()[0] == 1011
                websocket.send_close(1011)
            assert websocket.receive_end() == b""

    assert [(event["event"], event.get("code")) for event in told(server, 2, act)] == [
        ("handshake", None),
        ("closed", 1011),
    ]


def test_requests_are_not_told_of(server: Server) -> None:
    before = len(ask(server, "/events"))
    with server.peer() as peer:
        assert peer.ask("GET", "/rooms/blue").status == 404
    assert len(ask(server, "/events")) == before


@pytest.mark.parametrize("attached", [True, False])
def test_an_observer_that_raises_hurts_nobody_and_is_logged_once(attached: bool) -> None:
    environment = {"OBSERVER_RAISES": "1", **({} if attached else {"UNATTACHED": "1"})}
    with uvicorn("observed:app", environment=environment) as server:
        for _ in range(2):
            with server.websocket("/rooms/blue") as websocket:
                websocket.send_text("hello")
                assert websocket.receive_text() == "hello"
                websocket.finish()
            with server.handshaker() as websocket:
                assert websocket.refused("/refuse").status == 403
        with server.peer() as peer:
            assert peer.ask("GET", "/events").status == 200
        server.log.search(r"GET /events")
        assert len([line for line in server.log.lines if "The observer Raising raised" in line]) == 1
        assert len([line for line in server.log.lines if "Traceback" in line]) == 1


class Waiting(Observer):
    """A coroutine function would never be awaited."""

    async def handshake_ended(self, event: HandshakeEnded) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize("observer", [print, Observer, "observer", Waiting()])
def test_what_is_no_observer_is_refused(observer: Any) -> None:
    async def app(*_: Any) -> None: ...

    with pytest.raises(ValueError, match=r"^observer must"):
        UpgradeMiddleware(app, observer=observer)


def test_a_subclass_may_have_any_attributes_and_need_not_call_our_init() -> None:
    class Mine(Observer):
        def __init__(self, name: str) -> None:
            self._open = self._reported = name

        def connection_closed(self, event: ConnectionClosed) -> None: ...

    assert Mine("x").open_totals() == {}
