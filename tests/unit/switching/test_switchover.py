"""What every server does alike with what is announced."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from asgi_upgrade.switching.switchover import Phase, Switchover
from asgi_upgrade.testing import UpgradeTransport

HEADERS = {"Connection": "Upgrade", "Upgrade": "example/1"}


@pytest.mark.parametrize("late", [False, True])
def test_an_announcement_behind_the_response_is_refused_at_once(late: bool) -> None:
    outcomes: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        connect = scope["extensions"]["http.upgrade"]["connect"]
        if late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        switched = connect(asyncio.Protocol(), [(b"upgrade", b"example/1")])
        outcomes.append(switched.done())
        if not late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        assert not switched.result()
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> int:
        async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
            return (await client.get("/", headers=HEADERS)).status_code

    assert asyncio.run(ask()) == 200
    assert outcomes == [late]


class Handing:
    """A server's side that keeps what it is told."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.gone = False
        self.stopping = False
        self.leaves_meanwhile = False  # the client, while the request is being completed
        self.ended = False

    def is_gone(self) -> bool:
        return self.gone

    def is_stopping(self) -> bool:
        return self.stopping

    async def receive(self) -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def complete_request(self) -> None:
        await asyncio.sleep(0)
        self.sent.append("complete")
        self.gone = self.leaves_meanwhile

    def give_away(self, protocol: Any, fields: Any) -> Any:
        self.sent += [protocol, fields]
        return self._write()

    async def _write(self) -> None:
        await asyncio.sleep(0)
        self.sent.append("written")

    def end(self) -> None:
        self.ended = True


class InPlace:
    """An application's answer in WebSocket messages, which ends at once."""

    def __init__(self, *_: Any) -> None:
        self.ended = False

    async def receive(self) -> Any:
        return {"type": "websocket.disconnect"} if self.ended else {"type": "websocket.connect"}

    async def send(self, message: Any) -> None:
        if self.ended:
            raise RuntimeError("after the end")

    async def finish(self, error: BaseException | None) -> None:
        self.ended = True


def offered(app: Any, limits: Any = None, **entry: Any) -> tuple[Handing, Switchover]:
    """Run `app` on a switchover to its end."""
    side = Handing()

    async def test() -> Switchover:
        switchover = Switchover(side, InPlace)
        scope: dict[str, Any] = {"type": "http", "headers": [], "side": side, "switchover": switchover}
        switchover.offer(scope, limits, **entry)
        await switchover.serve(app, scope)
        return switchover

    return side, asyncio.run(test())


FIELDS = [(b"upgrade", b"example/1")]


def announce(scope: Any, protocol: Any) -> Any:
    return scope["extensions"]["http.upgrade"]["connect"](protocol, FIELDS)


def start(status: int) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": []}


def test_the_connection_is_given_away_behind_the_whole_request_and_what_was_announced_last_gets_it() -> None:
    protocols = [asyncio.Protocol(), asyncio.Protocol()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        first, last = (announce(scope, protocol) for protocol in protocols)
        assert first.done()
        assert not last.done()
        await send(start(101))
        assert (first.result(), last.result()) == (False, True)
        await send({"type": "http.response.body", "body": b"\0"})  # discarded
        assert announce(scope, protocols[0]).result() is False  # too late

    side, switchover = offered(app)
    fields = [(b"connection", b"Upgrade"), *FIELDS]
    assert side.sent == ["complete", protocols[1], fields, "written"]
    assert side.ended
    assert switchover.phase is Phase.SWITCHED

    async def left_over() -> None:
        assert (await switchover.receive())["type"] == "http.disconnect"
        await switchover.send(start(200))

    asyncio.run(left_over())
    assert len(side.sent) == 4


def test_a_client_that_leaves_before_its_request_has_come_gets_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        switched = announce(scope, asyncio.Protocol())
        scope["side"].leaves_meanwhile = True
        await send(start(101))
        assert switched.result() is False
        assert announce(scope, asyncio.Protocol()).result() is False

    side, _ = offered(app)
    assert side.sent == ["complete"]


def test_a_client_that_has_left_is_announced_nothing() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["side"].gone = True
        assert announce(scope, asyncio.Protocol()).result() is False

    offered(app)


def test_a_101_that_nobody_has_announced_is_a_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(101))
        await send({"type": "http.response.body", "body": b"discarded"})

    side, switchover = offered(app)
    assert switchover.phase is Phase.REFUSED
    begun, body = side.sent
    assert (begun["status"], body["more_body"]) == (500, False)
    assert (b"content-length", b"%d" % len(body["body"])) in begun["headers"]


def test_an_announcement_that_is_withdrawn_is_a_500() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        announce(scope, asyncio.Protocol()).cancel()
        await send(start(101))

    side, switchover = offered(app)
    assert switchover.phase is Phase.REFUSED
    assert side.sent[1]["status"] == 500


def test_an_application_that_returns_has_not_switched() -> None:
    announced: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        announced.append(announce(scope, asyncio.Protocol()))

    side, switchover = offered(app)
    assert announced[0].result() is False
    assert switchover.phase is Phase.ENDED
    assert side.ended


def test_an_error_of_the_application_goes_to_the_server() -> None:
    announced: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        announced.append(announce(scope, asyncio.Protocol()))
        raise LookupError

    with pytest.raises(LookupError):
        offered(app)
    assert announced[0].result() is False


def test_who_waits_is_told_that_the_server_stops() -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        on_shutdown = scope["extensions"]["http.upgrade"]["on_shutdown"]
        scope["switchover"].shut_down()  # nobody wants to know
        on_shutdown(lambda: told.append("forgotten"))
        on_shutdown(lambda: told.append("waiting"))
        assert told == []
        scope["side"].stopping = True
        for _ in range(2):
            scope["switchover"].shut_down()
        assert told == ["waiting"]
        on_shutdown(lambda: told.append("at once"))
        assert told == ["waiting", "at once"]

    offered(app)


@pytest.mark.parametrize(
    ("limits", "entry", "expected"),
    [
        (None, {}, {"version": "1.2"}),
        ({}, {"lingers": True}, {"version": "1.2", "lingers": True}),
        ({"max_queue": 1}, {"version": "1.1"}, {"version": "1.1", "websocket": {"max_queue": 1}}),
    ],
)
def test_the_entry_says_what_the_server_can_do(limits: Any, entry: dict[str, Any], expected: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        found = dict(scope["extensions"]["http.upgrade"])
        assert callable(found.pop("connect"))
        assert callable(found.pop("on_shutdown"))
        assert found == expected

    offered(app, limits, **entry)


def test_who_sends_in_vain_for_ever_leaves_turns_to_others() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        announce(scope, asyncio.Protocol())
        await send(start(101))
        others: list[int] = []
        asyncio.get_running_loop().call_soon(others.append, 1)
        for _ in range(1000):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            if others:
                return
        raise AssertionError("nobody else got a turn")

    offered(app)


def test_a_websocket_message_behind_the_start_of_a_response_goes_to_the_server_which_refuses_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "websocket.send"})
        assert (await receive())["type"] == "http.request"

    side, switchover = offered(app)
    assert [message["type"] for message in side.sent] == ["http.response.start", "websocket.send"]
    assert switchover.phase is Phase.ENDED


def test_a_task_that_is_left_over_of_an_answer_in_place_is_told_of_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    _, switchover = offered(app)

    async def left_over() -> None:
        with pytest.raises(RuntimeError, match="after the end"):
            await switchover.send({"type": "websocket.send"})
        assert (await switchover.receive())["type"] == "websocket.disconnect"

    asyncio.run(left_over())
