"""What observers are told of a handshake and of its connection, and what of it is kept from whom."""

from __future__ import annotations

import asyncio
import copy
import gc
import weakref
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade import ConnectionClosed, HandshakeEnded, Observer
from asgi_upgrade.websocket.observer import OpenTotals, Outcome, check_observer
from asgi_upgrade.websocket.watch import Watch
from tests.unit.calls import CONNECT, REQUEST, Call, http_scope, run, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Message, Receive, Scope, Send

Event = HandshakeEnded | ConnectionClosed


class Told(Observer):
    """Keeps what it is told, and what was open then."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.open: list[dict[str | None, OpenTotals]] = []

    def handshake_ended(self, event: HandshakeEnded) -> None:
        assert isinstance(event, HandshakeEnded)
        self._keep(event)

    def connection_closed(self, event: ConnectionClosed) -> None:
        assert isinstance(event, ConnectionClosed)
        self._keep(event)

    def _keep(self, event: Event) -> None:
        self.events.append(event)
        self.open.append(self.open_totals())


def no_template(scope: Scope) -> str | None:
    return None


def watch(*observers: Observer, scope: Scope | None = None, find: Callable[[Scope], str | None] = no_template) -> Watch:
    watch = Watch(http_scope("/x") if scope is None else scope, find)
    for observer in observers:
        watch.add(observer)
    return watch


def summary(event: Event) -> tuple[Any, ...]:
    assert 0 <= event.seconds < 60
    if isinstance(event, HandshakeEnded):
        return event.outcome.value, event.status
    return event.code, event.messages_received, event.bytes_received, event.messages_sent, event.bytes_sent


# Requests


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError


async def is_cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


def answering(status: int | None, *, failing: bool = False) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> str:
        assert scope["type"] == "http"
        assert await receive() == REQUEST
        if status is not None:
            await send({"type": "http.response.start", "status": status})
            await send({"type": "http.response.body"})
        if failing:
            raise LookupError
        return "returned"

    return app


@pytest.mark.parametrize(
    ("app", "expected"),
    [
        (answering(401), ("refused", 401)),
        (answering(200), ("refused", 200)),
        (answering(499), ("refused", 499)),
        (answering(500), ("failed", 500)),
        (answering(503), ("failed", 503)),
        (answering(None), ("client_left", None)),
        (answering(101), ("client_left", 101)),
        (answering(401, failing=True), ("failed", 401)),
        (fails, ("failed", None)),
        (is_cancelled, ("stopped", None)),
    ],
)
def test_a_handshake_without_a_connection_is_told_of_by_its_answer(app: Any, expected: Any) -> None:
    observer = Told()
    scope = http_scope("/x")

    async def test() -> None:
        call = Call(REQUEST)
        result: Any = None
        try:
            result = await watch(observer, scope=scope).run(app, scope, call.receive, call.send)
        except (LookupError, asyncio.CancelledError) as error:
            result = error
        assert (result == "returned") is not isinstance(result, BaseException)
        assert call.status == expected[1]

    run(test)
    (event,) = observer.events
    assert summary(event) == expected
    assert event.scope is scope
    assert observer.open_totals() == {}


def test_who_knows_more_than_the_status_says_so() -> None:
    observer = Told()

    async def test() -> None:
        watched, call = watch(observer), Call(REQUEST)
        watched.outcome = Outcome.TIMED_OUT
        await watched.run(answering(503), http_scope(), call.receive, call.send)

    run(test)
    assert [summary(event) for event in observer.events] == [("timed_out", 503)]


def test_what_was_no_handshake_is_told_to_nobody() -> None:
    observer = Told()

    async def test() -> None:
        watched, call = watch(observer), Call(REQUEST)
        watched.dismiss()
        await watched.run(answering(200), http_scope(), call.receive, call.send)
        assert call.status == 200

    run(test)
    assert observer.events == []


# WebSockets of a server

ACCEPT: Message = {"type": "websocket.accept"}
DENIAL: Message = {"type": "websocket.http.response.start", "status": 410}


def sent(text: str) -> Message:
    return {"type": "websocket.send", "text": text}


@pytest.mark.parametrize(
    ("received", "messages", "expected"),
    [
        ([], [{"type": "websocket.close"}], [("refused", 403)]),
        ([], [DENIAL, {"type": "websocket.http.response.body"}], [("refused", 410)]),
        ([], [], [("client_left", None)]),
        ([], [LookupError()], [("failed", None)]),
        ([], [ACCEPT], [("accepted", 101), (1000, 0, 0, 0, 0)]),
        ([], [ACCEPT, {"type": "websocket.close", "code": 4000}], [("accepted", 101), (4000, 0, 0, 0, 0)]),
        ([], [ACCEPT, LookupError()], [("accepted", 101), (1011, 0, 0, 0, 0)]),
        (
            [{"type": "websocket.receive", "text": "gr\u00fcn"}, {"type": "websocket.disconnect", "code": 1006}],
            [ACCEPT, sent("a"), sent("bc")],
            [("accepted", 101), (1006, 1, 5, 2, 3)],
        ),
    ],
)
def test_a_websocket_of_the_server(received: list[Message], messages: list[Any], expected: list[Any]) -> None:
    observer = Told()
    scope = websocket_scope("/x")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert await receive() == CONNECT
        for message in messages:
            if isinstance(message, Exception):
                raise message
            await send(message)
        for message in received:
            assert await receive() == message

    async def test() -> None:
        call = Call(CONNECT, *received)
        try:
            await watch(observer, scope=scope).run_websocket(app, scope, call.receive, call.send)
        except LookupError:
            assert isinstance(messages[-1], LookupError)
        else:
            assert not any(isinstance(message, LookupError) for message in messages)
        assert call.sent == [message for message in messages if not isinstance(message, Exception)]

    run(test)
    assert [summary(event) for event in observer.events] == expected
    # It is told of when it is open, and no more when it is told of its end.
    assert observer.open[0] == ({None: OpenTotals(1)} if len(expected) == 2 else {})
    assert observer.open[1:] == [{}] * (len(expected) - 1)
    assert all(event.scope is scope for event in observer.events)


# Connections


def test_what_is_open_is_added_up_by_route() -> None:
    observer = Told()
    watches: list[Watch] = []
    for route in ("/a", "/b", "/a"):
        watched = watch(observer, find=lambda scope, route=route: route)  # type: ignore[misc]
        number = len(watches) + 1
        carrier = SimpleNamespace(
            messages_received=number,
            bytes_received=10 * number,
            messages_sent=100 * number,
            bytes_sent=1000 * number,
            closed_with=None,
        )
        assert watched.opened(carrier)
        watches.append(watched)
    assert observer.open_totals() == {"/a": OpenTotals(2, 4, 40, 400, 4000), "/b": OpenTotals(1, 2, 20, 200, 2000)}
    watches[0].closed(1001)
    watches[0].closed(1001)  # whoever comes second
    assert observer.open_totals()["/a"] == OpenTotals(1, 3, 30, 300, 3000)
    assert [event.route for event in observer.events] == ["/a", "/b", "/a", "/a"]
    assert summary(observer.events[-1]) == (1001, 1, 10, 100, 1000)


def test_an_observer_lets_go_of_a_connection_that_has_ended() -> None:
    observer = Observer()
    state = Call()
    watched = watch(observer, scope=http_scope(state=state))
    watched.opened(SimpleNamespace(messages_received=0, bytes_received=0, messages_sent=0, bytes_sent=0))
    watched.closed(1000)
    gone = weakref.ref(state)
    del state, watched
    gc.collect()
    assert gone() is None


def test_only_the_first_says_that_it_is_open() -> None:
    observer = Told()
    watched = watch(observer)
    counters: Any = SimpleNamespace(messages_received=0)
    assert watched.opened(counters) is True
    assert watched.opened(SimpleNamespace()) is False
    assert watched.traffic is counters
    assert len(observer.events) == 1


def test_each_observer_is_told_once_however_often_it_was_added() -> None:
    observer, other = Told(), Told()

    async def test() -> None:
        call = Call(REQUEST)
        await watch(observer, other, observer).run(answering(401), http_scope(), call.receive, call.send)

    run(test)
    assert len(observer.events) == len(other.events) == 1


def test_a_copy_of_the_scope_is_of_the_same_handshake() -> None:
    watched = watch()
    assert copy.deepcopy({"watch": watched})["watch"] is watched


# Routes


def mount(path: str) -> Any:
    return SimpleNamespace(path_format=path + "/{path}")


def route(path: str) -> Any:
    return SimpleNamespace(path_format=path, endpoint=print)


HOST = SimpleNamespace(host="example.com")


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ([], "found"),
        ([HOST], "found"),
        ([route("/rooms/{room}")], "/rooms/{room}"),
        ([mount("/api"), HOST, route("/rooms/{room}")], "/api/rooms/{room}"),
        ([mount("/a"), mount("/{b}")], "/a/{b}/{path}"),
        ([mount(""), route("/x")], "/x"),
    ],
)
def test_the_route_is_what_the_handshake_has_come_to(passed: list[Any], expected: str) -> None:
    asked: list[Scope] = []
    scope = http_scope("/x")

    def find(scope: Scope) -> str:
        asked.append(scope)
        return "found"

    watched = watch(scope=scope, find=find)
    for each in passed:
        watched.passed(each)
    assert watched.route == watched.route == expected
    assert asked == ([scope] if expected == "found" else [])


# Observers


class Raising(Told):
    """Fails whenever it is told something."""

    def _keep(self, event: Event) -> None:
        super()._keep(event)
        raise LookupError


def test_an_observer_that_raises_hurts_nobody_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    raising, observer = Raising(), Told()

    async def test() -> None:
        for _ in range(2):
            call = Call(CONNECT)

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                await send(ACCEPT)

            await watch(raising, observer).run_websocket(app, websocket_scope(), call.receive, call.send)

    run(test)
    assert len(raising.events) == len(observer.events) == 4
    (record,) = caplog.records
    assert "The observer Raising raised" in record.getMessage()
    assert record.exc_info is not None


class Waiting(Observer):
    """Has a coroutine function, which nobody would wait for."""

    async def connection_closed(self, event: ConnectionClosed) -> None:  # type: ignore[override]
        """Wait for nothing."""


class AlsoWaiting(Observer):
    """The same with the other method."""

    async def handshake_ended(self, event: HandshakeEnded) -> None:  # type: ignore[override]
        """Wait for nothing."""


@pytest.mark.parametrize("observer", [print, Observer, "observer"])
def test_what_is_no_observer_is_refused(observer: Any) -> None:
    with pytest.raises(ValueError, match=r"^observer must be an asgi_upgrade\.Observer, not "):
        check_observer(observer)


@pytest.mark.parametrize(
    ("observer", "method"),
    [(Waiting(), "Waiting.connection_closed"), (AlsoWaiting(), "AlsoWaiting.handshake_ended")],
)
def test_methods_that_would_have_to_be_waited_for_are_refused(observer: Observer, method: str) -> None:
    with pytest.raises(ValueError, match=rf"^observer must not have coroutine functions, and {method} is one"):
        check_observer(observer)


def test_an_observer_or_none_is_taken_as_it_is() -> None:
    observer = Told()
    assert check_observer(observer) is observer
    assert check_observer(None) is None


def test_an_observer_that_overrides_nothing_is_told_in_vain(caplog: pytest.LogCaptureFixture) -> None:
    observer = Observer()
    watched = watch(observer)
    watched.opened(SimpleNamespace(messages_received=0, bytes_received=0, messages_sent=0, bytes_sent=0))
    assert observer.open_totals() == {None: OpenTotals(1)}
    watched.closed(1000)
    assert observer.open_totals() == {}
    assert caplog.records == []
