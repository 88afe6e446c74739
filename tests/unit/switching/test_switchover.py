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
        self.result: Any = None  # of the application

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
    """An application's answer in WebSocket messages: `websocket.close` is a 403. It ends with the application."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self._receive = receive
        self._send = send
        self.ended = False

    async def receive(self) -> Any:
        return {"type": "websocket.disconnect"} if self.ended else await self._receive()

    async def send(self, message: Any) -> None:
        if self.ended:
            raise RuntimeError("after the end")
        if message["type"] == "websocket.close":
            await self._send(start(403))

    async def finish(self, error: BaseException | None) -> None:
        self.ended = True
        if isinstance(error, LookupError):
            raise error


def offered(app: Any, limits: Any = None, headers: Any = (), **entry: Any) -> tuple[Handing, Switchover]:
    """Run `app` on a switchover to its end."""
    side = Handing()

    async def test() -> Switchover:
        switchover = Switchover(side, InPlace)
        scope: dict[str, Any] = {"type": "http", "headers": [*headers], "side": side, "switchover": switchover}
        switchover.offer(scope, limits, **entry)
        side.result = await switchover.serve(app, scope)
        return switchover

    return side, asyncio.run(test())


async def leaves_turns(call: Any) -> bool:
    """Tell whether others get a turn of the event loop when `call` is awaited for ever, which waits for no time."""

    def call_at(*_: Any, **__: Any) -> None:
        raise AssertionError("it waits for a time")

    loop = asyncio.get_running_loop()
    others: list[int] = []
    loop.call_soon(others.append, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_at", call_at)
        for _ in range(1000):
            await call()
            if others:
                return True
    return False


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
        await switchover.send(start(200))
        assert (await switchover.receive())["type"] == "http.disconnect"
        assert await leaves_turns(switchover.receive)

    asyncio.run(left_over())
    assert len(side.sent) == 4


@pytest.mark.parametrize(
    ("given", "added"),
    [({}, []), ({"headers": []}, []), ({"headers": [*FIELDS, (b"X-Added", b"1")]}, [(b"x-added", b"1")])],
)
def test_what_middleware_has_added_goes_out_with_the_101(given: dict[str, Any], added: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        announce(scope, "the protocol")
        await send({"type": "http.response.start", "status": 101, **given})

    side, _ = offered(app)
    assert side.sent == ["complete", "the protocol", [(b"connection", b"Upgrade"), *FIELDS, *added], "written"]


def test_what_is_sent_before_a_response_goes_to_the_server_and_decides_nothing() -> None:
    early = {"type": "http.response.debug", "info": {}}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(early)
        switched = announce(scope, asyncio.Protocol())
        await send(start(101))
        assert switched.result() is True

    side, switchover = offered(app)
    assert side.sent[0] is early
    assert switchover.phase is Phase.SWITCHED


def test_a_101_behind_the_start_of_a_response_goes_to_the_server_which_refuses_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        announce(scope, asyncio.Protocol())
        await send(start(200))
        await send(start(101))

    side, switchover = offered(app)
    assert side.sent == [start(200), start(101)]
    assert switchover.phase is Phase.ENDED


def test_what_the_application_returns_goes_to_the_server() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> str:
        return "returned"

    assert offered(app)[0].result == "returned"


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
    text = b"The connection could not be switched to another protocol.\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    assert side.sent == [
        {"type": "http.response.start", "status": 500, "headers": headers},
        {"type": "http.response.body", "body": text, "more_body": False},
    ]


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
        scope["side"].stopping = False
        on_shutdown(lambda: told.append("returned"))

    _, switchover = offered(app)
    switchover.shut_down()
    assert told == ["waiting", "at once"]


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


def test_the_scheme_that_a_proxy_has_named_is_one_of_http() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["headers"] == [(b"host", b"x"), (b"x-forwarded-proto", b"https")]

    offered(app, headers=[(b"host", b"x"), (b"x-forwarded-proto", b"wss")])


def test_who_sends_in_vain_for_ever_leaves_turns_to_others() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        announce(scope, asyncio.Protocol())
        await send(start(101))
        assert await leaves_turns(lambda: send({"type": "http.response.body", "body": b"x", "more_body": True}))

    offered(app)


def test_a_websocket_message_behind_the_start_of_a_response_goes_to_the_server_which_refuses_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "websocket.send"})
        assert (await receive())["type"] == "http.request"

    side, switchover = offered(app)
    assert [message["type"] for message in side.sent] == ["http.response.start", "websocket.send"]
    assert switchover.phase is Phase.ENDED


def test_an_answer_in_websocket_messages_is_made_a_response() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> str:
        await send({"type": "websocket.close", "code": 1000})
        assert (await receive())["type"] == "http.request"
        return "returned"

    side, switchover = offered(app)
    assert side.sent == [start(403)]
    assert side.result == "returned"
    assert switchover.phase is Phase.ENDED


@pytest.mark.parametrize(("error", "reaches_the_server"), [(LookupError("x"), True), (OSError("x"), False)])
def test_an_error_behind_such_an_answer_is_judged_by_who_has_understood_it(
    error: Exception, *, reaches_the_server: bool
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> str:
        await send({"type": "websocket.accept"})
        raise error

    if reaches_the_server:
        with pytest.raises(LookupError):
            offered(app)
    else:
        side, switchover = offered(app)
        assert side.result is None
        assert side.ended

        async def left_over() -> None:
            assert (await switchover.receive())["type"] == "websocket.disconnect"

        asyncio.run(left_over())


def test_a_task_that_is_left_over_of_an_answer_in_place_is_told_of_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    _, switchover = offered(app)

    async def left_over() -> None:
        with pytest.raises(RuntimeError, match="after the end"):
            await switchover.send({"type": "websocket.send"})
        assert (await switchover.receive())["type"] == "websocket.disconnect"

    asyncio.run(left_over())
