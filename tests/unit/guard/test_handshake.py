"""`Handshake`: what policies make of it on its way, and what it becomes."""

from __future__ import annotations

import asyncio
import copy
from functools import wraps
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard import overlooked
from asgi_upgrade.guard.handshake import HANDSHAKE, Handshake, approved, is_policy
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.calls import CONNECT, REQUEST, Call, Extension, Seen, http_scope, page, run, websocket_scope

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from asgi_upgrade.guard.handshake import Policy

POLICY: Policy = UpgradeMiddleware(page)
OTHER: Policy = UpgradeMiddleware(page)


def handshake(
    carrier: Any = None, *, policy: Policy | None = POLICY, subprotocols: tuple[str, ...] = (), **settings: Any
) -> Handshake:
    carrier = {} if carrier is None else carrier
    return Handshake(carrier, Accept(b"key"), policy, WebSocketSettings(**settings), subprotocols)


# Policies


def test_of_two_policies_the_stricter_setting_holds() -> None:
    passed = handshake(open_timeout=5, max_message_size=100)
    passed.tighten(OTHER, WebSocketSettings(open_timeout=7, max_message_size=50), ())
    assert (passed.settings.open_timeout, passed.settings.max_message_size) == (5, 50)
    assert passed.policy is POLICY


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (("a", "b", "c"), ("c", "a", "d"), ("a", "c")),
        (("a",), ("b",), ()),
        (("a", "b"), (), ("a", "b")),
        ((), ("a", "b"), ("a", "b")),
        ((), (), ()),
    ],
)
def test_of_two_lists_of_subprotocols_both_hold_where_there_are_two(
    first: tuple[str, ...], second: tuple[str, ...], both: tuple[str, ...]
) -> None:
    passed = handshake(subprotocols=first)
    passed.tighten(OTHER, WebSocketSettings(), list(second))
    assert passed.subprotocols == both


def test_the_first_policy_of_all_decides_alone() -> None:
    passed = handshake(policy=None, subprotocols=("old",), max_message_size=10)
    settings = WebSocketSettings(max_message_size=1000)
    passed.tighten(OTHER, settings, ["new"])
    assert (passed.policy, passed.settings, passed.subprotocols) == (OTHER, settings, ("new",))


@wraps(UpgradeMiddleware(page))
def wrapping(scope: Scope, receive: Receive, send: Send) -> None:
    """Has the attributes of a policy, and is none."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [(POLICY, True), (UpgradeMiddleware, True), (page, False), (Seen, False), (Seen(), False), (wrapping, False)],
)
def test_what_a_policy_is(value: Any, *, expected: bool) -> None:
    assert is_policy(value) is expected


# The mark


def test_only_a_request_that_a_policy_has_let_pass_is_approved() -> None:
    passed = handshake()
    assert approved(http_scope(**{HANDSHAKE: passed})) is passed
    assert approved(http_scope(**{HANDSHAKE: None})) is None
    assert approved(http_scope()) is None
    assert approved(websocket_scope(**{HANDSHAKE: passed})) is None


def test_a_deep_copy_is_the_same() -> None:
    passed = handshake()
    assert copy.deepcopy({HANDSHAKE: passed})[HANDSHAKE] is passed


# What it becomes


def test_what_answers_hears_that_the_client_has_gone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == CONNECT
        assert (await receive())["type"] == "websocket.disconnect"

    async def test() -> None:
        call = Call(REQUEST, {"type": "http.disconnect"})
        extension = Extension()
        await handshake(extension).convert(
            app, http_scope(extensions={"http.upgrade": extension}), call.receive, call.send
        )

    run(test)


def test_what_answers_gets_a_websocket_and_its_result_is_returned() -> None:
    async def test() -> None:
        extension = Extension()
        app = Seen()
        passed = handshake(extension)
        call = Call()
        scope = http_scope("/room", extensions={"http.upgrade": extension}, **{HANDSHAKE: passed})
        running = asyncio.ensure_future(passed.convert(app, scope, call.receive, call.send))
        await extension.announced.wait()
        extension.switched.set_result(False)
        assert await running is None
        assert call.status == 101
        (websocket,) = app.scopes
        assert (websocket["type"], websocket["path"]) == ("websocket", "/room")
        with pytest.raises(ValueError, match="of the application"):
            await passed.convert(failing, scope, call.receive, call.send)

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("of the application")

    run(test)


def make_guard(name: str) -> Any:
    """A guard for WebSockets that gives a request on, as one does that nobody has found. Each is a class of its own."""

    class Guard:
        def __init__(self, inside: Any) -> None:
            self.inside = inside

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket" and not scope.get("user"):
                await send({"type": "websocket.close", "code": 1008})
                return
            await self.inside(scope, receive, send)

    Guard.__name__ = name
    return Guard


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize("in_task", [False, True])
def test_what_has_come_through_a_guard_as_a_request_is_refused_and_said_once(
    caplog: pytest.LogCaptureFixture, *, in_task: bool
) -> None:
    """Also if the guard waits for what is inside in another task."""
    overlooked._reported.clear()
    name = f"Guard{in_task}"

    async def test() -> None:
        passed = handshake()
        scope = http_scope(**{HANDSHAKE: passed})

        async def arrive(scope: Scope, receive: Receive, send: Send) -> None:
            passed.arrived()
            await passed.convert(other, scope, receive, send)

        async def apart(scope: Scope, receive: Receive, send: Send) -> None:
            passed.arrived()
            await asyncio.create_task(arrive(scope, receive, send))

        for _ in range(2):
            call = Call()
            await call.run(make_guard(name)(apart if in_task else arrive), scope)
            assert call.status == 503
        record = caplog.records[-1]
        assert record.getMessage().startswith(f"{name} is written for WebSockets, and has been given a handshake as a")
        assert len(caplog.records) == 1

    run(test)


def test_a_handshake_keeps_what_it_has_come_through_when_another_carries_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        passed = handshake(subprotocols=("chat",))
        carrier = Extension()
        accept = Accept(b"another")

        async def apart(scope: Scope, receive: Receive, send: Send) -> None:
            passed.arrived()
            await asyncio.create_task(inside(scope, receive, send))

        async def inside(scope: Scope, receive: Receive, send: Send) -> None:
            carried = passed.carried_by(carrier, accept)  # type: ignore[arg-type]
            assert (carried.carrier, carried.accept) == (carrier, accept)
            assert (carried.policy, carried.settings) == (passed.policy, passed.settings)
            assert carried.subprotocols == ("chat",)
            carried.arrived()
            await carried.convert(other, scope, receive, send)

        call = Call(CONNECT)
        await call.run(make_guard("Carried")(apart), http_scope())
        assert call.status == 503

    run(test)
