"""`Bridge`: a WebSocket of the server as an HTTP handshake, with a server that a test makes up."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

import pytest
import trio
from starlette.websockets import WebSocketDisconnect

from asgi_upgrade.guard.handshake import Handshake
from asgi_upgrade.websocket.bridge import BRIDGE, CONVERTED, HANDSHAKE, Bridge, get_bridge
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.calls import CONNECT, REQUEST, Call, http_scope, page, run, websocket_scope
from tests.unit.waiting import turns

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

TEXT: Message = {"type": "websocket.receive", "text": "hello"}
GONE: Message = {"type": "websocket.disconnect", "code": 1006}


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def request_of(**changes: Any) -> Scope:
    """The scope of the handshake that a WebSocket becomes."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(**changes), call.receive, call.send).run(app)

    run(test)
    (scope,) = seen
    return scope


# The scope


def test_a_websocket_becomes_the_request_that_it_was() -> None:
    scope = request_of(path="/room", query_string=b"a=b", state={"key": "value"}, subprotocols=["chat"])
    assert (scope["type"], scope["method"], scope["path"], scope["query_string"]) == ("http", "GET", "/room", b"a=b")
    assert scope["state"] == {"key": "value"}
    assert scope["http_version"] == "1.1"
    assert "subprotocols" not in scope
    assert scope[HANDSHAKE] is None


@pytest.mark.parametrize(
    ("given", "expected"), [("ws", "http"), ("wss", "https"), ("http", "http"), ("https", "https"), (None, "http")]
)
def test_the_scheme_is_one_of_http(given: str | None, expected: str) -> None:
    assert request_of(scheme=given)["scheme"] == expected


def test_extensions_for_websockets_are_not_for_requests() -> None:
    scope = request_of(extensions={"websocket.http.response": {}, "tls": {"tls_version": 772}})
    assert set(scope["extensions"]) == {"tls", BRIDGE}
    assert scope["extensions"]["tls"] == {"tls_version": 772}
    assert isinstance(get_bridge(scope), Bridge)


def test_what_test_clients_leave_out_is_added() -> None:
    scope = websocket_scope()
    for name in ("asgi", "http_version", "extensions", "subprotocols", "scheme"):
        del scope[name]
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def test() -> None:
        call = Call(CONNECT)
        bridge = Bridge(scope, call.receive, call.send)
        assert bridge.subprotocols == ()
        await bridge.run(app)

    run(test)
    assert (seen[0]["asgi"], seen[0]["http_version"], seen[0]["scheme"]) == ({"version": "3.0"}, "1.1", "http")


def test_fields_of_a_handshake_that_are_missing_are_added_and_others_stay() -> None:
    headers = [(b"host", b"example.com"), (b"upgrade", b"WebSocket")]
    added = [(b"connection", b"Upgrade"), (b"sec-websocket-version", b"13")]
    assert request_of(headers=headers)["headers"] == [*headers, *added]
    assert headers == [(b"host", b"example.com"), (b"upgrade", b"WebSocket")]


def test_http2_has_no_such_fields() -> None:
    headers = [(b"host", b"example.com")]
    assert request_of(headers=headers, http_version="2")["headers"] == headers


@pytest.mark.parametrize("scope", [http_scope(), http_scope(extensions={}), http_scope(extensions=None)])
def test_other_requests_have_no_bridge(scope: Scope) -> None:
    assert get_bridge(scope) is None


def test_what_was_a_handshake_before_is_the_same_one_carried_by_the_bridge() -> None:
    before = Handshake({}, Accept(b"key"), None, WebSocketSettings(open_timeout=3), ("chat",))  # type: ignore[arg-type]
    scope = request_of(**{CONVERTED: before}, subprotocols=["chat", "more"])
    handshake = scope[HANDSHAKE]
    assert handshake.carrier is get_bridge(scope)
    assert handshake.accept == Accept(b"", ("chat", "more"))
    assert (handshake.settings, handshake.subprotocols) == (before.settings, ("chat",))
    assert CONVERTED not in scope


def test_a_deep_copy_of_the_scope_has_the_same_bridge() -> None:
    call = Call()
    bridge = Bridge(websocket_scope(), call.receive, call.send)
    assert copy.deepcopy({"extensions": {BRIDGE: bridge}})["extensions"][BRIDGE] is bridge


@pytest.mark.parametrize("guarded", [True, False])
def test_a_bridge_is_guarded_unless_it_is_said_not_to_be(*, guarded: bool) -> None:
    call = Call()
    assert Bridge(websocket_scope(), call.receive, call.send).guarded is True
    assert Bridge(websocket_scope(), call.receive, call.send, guarded=guarded).guarded is guarded


def test_a_websocket_that_does_not_begin_is_not_served() -> None:
    async def test() -> None:
        call = Call(GONE)
        await Bridge(websocket_scope(), call.receive, call.send).run(page)
        assert call.sent == []

    run(test)


def test_another_event_loop_is_refused_with_a_sentence() -> None:
    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(), call.receive, call.send).run(page)

    with pytest.raises(RuntimeError, match="needs asyncio: it does not work with trio"):
        trio.run(test)


# Accepted


def test_the_101_becomes_an_accept_and_the_messages_are_those_of_the_server() -> None:
    call = Call(CONNECT, TEXT)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        assert await receive() == REQUEST
        switched = bridge.connect("chat")
        assert not switched.done()
        await send(
            start(
                101,
                (b"X-Kept", b"yes"),
                (b"set-cookie", b"a=1"),
                (b"set-cookie", b"b=2"),
                (b"Sec-WebSocket-Accept", b"another"),
                (b"upgrade", b"websocket"),
                (b"connection", b"upgrade"),
                (b"content-length", b"3"),
            )
        )
        assert await switched is True
        await send(body(b"\0", more=True))
        assert await bridge.receive() == TEXT
        await bridge.send({"type": "websocket.send", "text": "world"})
        with pytest.raises(RuntimeError, match=r"websocket\.http\.response\.start', after the WebSocket was accepted"):
            await bridge.send({"type": "websocket.http.response.start", "status": 401})
        await send(start(500))
        await send(body())

    async def test() -> None:
        await Bridge(websocket_scope(subprotocols=["chat"]), call.receive, call.send).run(app)
        assert call.sent == [
            {
                "type": "websocket.accept",
                "subprotocol": "chat",
                "headers": [(b"x-kept", b"yes"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")],
            },
            {"type": "websocket.send", "text": "world"},
        ]

    run(test)


def test_what_arrives_while_middleware_waits_for_the_disconnect_is_kept_for_the_application() -> None:
    """A server may deliver what comes early, and middleware asks for a disconnect from the start."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        await receive()
        watching = asyncio.ensure_future(receive())
        for _ in range(3):
            await asyncio.sleep(0)  # until it waits for the server
        switched = bridge.connect(None)
        await send(start(101))
        assert await switched
        call.feed(TEXT)
        call.feed({**TEXT, "text": "second"})
        await asyncio.sleep(0)  # it has the first
        late = asyncio.ensure_future(receive())
        assert [(await bridge.receive())["text"], (await bridge.receive())["text"]] == ["hello", "second"]
        await turns()
        assert not watching.done(), "there is no disconnect as long as the application runs"
        assert not late.done()
        ended.extend((watching, late))

    call = Call(CONNECT)
    ended: list[asyncio.Future[Message]] = []

    async def test() -> None:
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert [await each for each in ended] == [{"type": "http.disconnect"}] * 2

    run(test)


def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        await receive()
        watching = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        switched = bridge.connect(None)
        await send(start(101))
        assert await switched
        reading = asyncio.ensure_future(bridge.receive())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.sleep(0)
        call.feed(TEXT)
        assert await bridge.receive() == TEXT
        watching.cancel()

    call = Call(CONNECT)

    async def test() -> None:
        await Bridge(websocket_scope(), call.receive, call.send).run(app)

    run(test)


class Opened:
    """A WebSocket that has been accepted, and is counted."""

    def __init__(self, *received: Message, fails: type[BaseException] | None = None) -> None:
        self.call = Call(*received)
        self.bridge = Bridge(websocket_scope(), self.call.receive, self._send)
        self.counted = self.bridge.count()
        self._fails = fails

    async def _send(self, message: Message) -> None:
        if self._fails is not None:
            raise self._fails
        await self.call.send(message)


def test_messages_and_their_bytes_are_counted_each_way() -> None:
    async def test() -> None:
        received = [{**TEXT, "text": "gr\xfcn"}, {"type": "websocket.receive", "bytes": b"abc", "text": None}]
        opened = Opened(*received)
        counted = opened.counted
        assert [await opened.bridge.receive() for _ in received] == received
        assert (counted.messages_received, counted.bytes_received) == (2, 5 + 3)
        sent: list[Message] = [
            {"type": "websocket.send", "text": "\xfc"},
            {"type": "websocket.send", "bytes": b"x", "text": None},
            {"type": "websocket.send", "text": None, "bytes": b""},
        ]
        for message in sent:
            await opened.bridge.send(message)
        assert opened.call.sent == sent
        assert (counted.messages_sent, counted.bytes_sent) == (3, 2 + 1)
        assert (counted.messages_received, counted.bytes_received) == (2, 5 + 3)
        assert counted.closed_with is None

    run(test)


def test_what_middleware_has_read_while_it_waited_is_counted_when_the_application_takes_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        await receive()
        watching = asyncio.ensure_future(receive())
        await turns()
        switched = bridge.connect(None)
        await send(start(101))
        assert await switched
        counted = bridge.count()
        call.feed(TEXT)
        await turns()
        assert counted.messages_received == 0
        assert await bridge.receive() == TEXT
        assert (counted.messages_received, counted.bytes_received) == (1, 5)
        watching.cancel()

    call = Call(CONNECT)

    async def test() -> None:
        await Bridge(websocket_scope(), call.receive, call.send).run(app)

    run(test)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ({"type": "websocket.disconnect", "code": 1001}, 1001),
        ({"type": "websocket.disconnect"}, 1005),
        ({"type": "websocket.disconnect", "code": None}, 1005),
        ({"type": "websocket.close", "code": 3000}, 3000),
        ({"type": "websocket.close"}, 1000),
    ],
)
def test_the_first_close_code_is_the_one_that_counts(ending: Message, code: int) -> None:
    async def test() -> None:
        opened = Opened(ending, {**GONE, "code": 4999})
        if ending["type"] == "websocket.close":
            await opened.bridge.send(ending)
        else:
            assert await opened.bridge.receive() == ending
        assert opened.counted.closed_with == code
        await opened.bridge.receive()
        await opened.bridge.send({"type": "websocket.close", "code": 4998})
        assert opened.counted.closed_with == code
        assert opened.counted.messages_received == opened.counted.messages_sent == 0

    run(test)


@pytest.mark.parametrize(("error", "code"), [(ConnectionResetError, 1006), (RuntimeError, None)])
def test_a_server_says_by_an_error_that_the_client_has_gone(error: type[Exception], code: int | None) -> None:
    async def test() -> None:
        opened = Opened({**GONE, "code": 4999}, fails=error)
        with pytest.raises(error):
            await opened.bridge.send({"type": "websocket.send", "text": "x"})
        assert opened.counted.closed_with == code
        assert opened.counted.messages_sent == 0
        await opened.bridge.receive()
        with pytest.raises(error):
            await opened.bridge.send({"type": "websocket.send", "text": "x"})
        assert opened.counted.closed_with == (code or 4999)

    run(test)


def test_what_the_application_on_the_other_side_lets_out_is_raised_at_the_end() -> None:
    error = WebSocketDisconnect(1001)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        bridge.error = error

    async def test() -> None:
        call = Call(CONNECT)
        with pytest.raises(WebSocketDisconnect) as raised:
            await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert raised.value is error

    run(test)


@pytest.mark.parametrize("status", [101, 403])
def test_what_has_seen_the_servers_scope_finds_the_route_there(status: int) -> None:
    found = {"route": "a route", "endpoint": page, "path_params": {"a": "b"}, "router": "a router"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(found, other="not for it")
        await send(start(status))

    async def test() -> None:
        call = Call(CONNECT)
        scope = websocket_scope()
        before = dict(scope)
        await Bridge(scope, call.receive, call.send).run(app)
        assert scope == {**before, **found}

    run(test)


# Refused


def test_a_client_that_leaves_before_the_accept_is_a_disconnect_each_time_one_asks() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == REQUEST
        for _ in range(2):
            assert await receive() == {"type": "http.disconnect"}

    async def test() -> None:
        call = Call(CONNECT, GONE)
        await Bridge(websocket_scope(), call.receive, call.send).run(app)

    run(test)


async def deny(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start(401, (b"www-authenticate", b"Basic")))
    await send(body(b"who ", more=True))
    await send(body(b"are you?"))
    await send(body(bytes(100_000)))
    await send(start(200))


def test_another_response_is_a_denial_response_in_one_go() -> None:
    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(), call.receive, call.send).run(deny)
        assert call.sent == [
            {"type": "websocket.http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Basic")]},
            {"type": "websocket.http.response.body", "body": b"who are you?", "more_body": False},
        ]

    run(test)


@pytest.mark.parametrize("extensions", [{}, None, {"tls": {}}])
def test_a_server_without_denial_responses_closes_instead(extensions: Any) -> None:
    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(extensions=extensions), call.receive, call.send).run(deny)
        assert call.sent == [{"type": "websocket.close", "code": 1008}]

    run(test)


@pytest.mark.parametrize(("size", "held"), [(64 * 1024, True), (64 * 1024 + 1, False)])
def test_only_so_much_of_a_denial_is_held_back(size: int, *, held: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(403))
        await send(body(bytes(size), more=True))
        assert len(call.sent) == (0 if held else 2)
        await send(body(b"end"))

    call = Call(CONNECT)

    async def test() -> None:
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert call.types[0] == "websocket.http.response.start"
        assert [message["more_body"] for message in call.sent[1:]] == [True, False]
        assert call.body == bytes(size) + b"end"

    run(test)


def test_a_denial_whose_end_is_not_sent_ends_with_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(404))

    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert call.types == ["websocket.http.response.start", "websocket.http.response.body"]
        assert call.sent[1] == {"type": "websocket.http.response.body", "body": b"", "more_body": False}

    run(test)


def test_a_response_may_leave_out_what_has_a_default() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404})
        assert call.sent == []
        await send({"type": "http.response.body"})
        assert call.sent[0]["headers"] == []
        assert call.sent[1] == {"type": "websocket.http.response.body", "body": b"", "more_body": False}

    call = Call(CONNECT)

    async def test() -> None:
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert len(call.sent) == 2

    run(test)


@pytest.mark.parametrize(("status", "as_it_was"), [(403, True), (401, False)])
def test_the_applications_own_close_reaches_the_server_unless_middleware_answers_otherwise(
    status: int, *, as_it_was: bool
) -> None:
    close = {"type": "websocket.close", "code": 4001, "reason": "no"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        bridge.refuse(close)
        await send(start(status))
        await send(body(b"text"))

    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert (call.sent == [close]) is as_it_was
        assert call.status == (None if as_it_was else status)

    run(test)


def test_the_application_is_told_that_there_will_be_no_switch() -> None:
    switched: list[asyncio.Future[bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        switched.append(bridge.connect(None))
        await send(start(403))
        assert switched[0].done()
        switched.append(bridge.connect(None))
        assert switched[1].done(), "it is too late"

    async def test() -> None:
        call = Call(CONNECT)
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert [future.result() for future in switched] == [False, False]

    run(test)


def test_an_application_that_raises_withdraws() -> None:
    switched: list[asyncio.Future[bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        switched.append(bridge.connect(None))
        raise ValueError("a mistake")

    async def test() -> None:
        call = Call(CONNECT)
        with pytest.raises(ValueError, match="a mistake"):
            await Bridge(websocket_scope(), call.receive, call.send).run(app)
        assert switched[0].result() is False
        assert call.sent == []

    run(test)


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("can_deny", [False, True])
def test_a_101_that_nobody_waits_for_is_a_500(*, announced: bool, can_deny: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        bridge = get_bridge(scope)
        assert bridge is not None
        if announced:
            bridge.connect(None).cancel()
        await send(start(101))
        await send(body(b"\0", more=True))

    async def test() -> None:
        call = Call(CONNECT)
        extensions: dict[str, Any] = {"websocket.http.response": {}} if can_deny else {}
        await Bridge(websocket_scope(extensions=extensions), call.receive, call.send).run(app)
        if can_deny:
            assert (call.status, call.body) == (500, b"The connection could not be switched to another protocol.\n")
            assert call.sent[0]["headers"] == [(b"content-type", b"text/plain; charset=utf-8")]
            assert len(call.sent) == 2
        else:
            assert call.sent == [{"type": "websocket.close", "code": 1008}]

    run(test)


def test_a_denial_of_what_something_around_has_accepted_is_a_close() -> None:
    async def test() -> None:
        call = Call(CONNECT)

        async def send(message: Message) -> None:
            if message["type"] == "websocket.http.response.start":
                raise RuntimeError("Expected 'websocket.send'")
            await call.send(message)

        await Bridge(websocket_scope(), call.receive, send).run(deny)
        assert call.sent == [{"type": "websocket.close", "code": 1008}]

    run(test)


def test_nothing_of_the_bridge_is_left_when_the_application_returns() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        waiting.cancel()

    async def test() -> None:
        before = asyncio.all_tasks()
        call = Call(CONNECT)
        await Bridge(websocket_scope(), call.receive, call.send).run(app)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run(test)
