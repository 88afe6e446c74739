"""The last look: guards for WebSockets whose call is running, and that were given a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.guard import overlooked
from asgi_upgrade.guard.overlooked import find_overlooked, report_overlooked
from tests.unit.calls import Call, http_scope, run, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send


class Looking:
    """Looks when it is called."""

    def __init__(self) -> None:
        self.found: list[str | None] = []
        self.tasks: list[asyncio.Task[Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.found.append(find_overlooked(self.tasks))


class Layer:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Guard(Layer):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and "user" not in scope:
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


class Converting(Guard):
    """Gives what is inside a request, and was given a WebSocket."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        await self.app({**scope, "type": "http"}, receive, send)


def function(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and "user" not in scope:
            await send({"type": "websocket.close", "code": 1008})
        else:
            await app(scope, receive, send)

    return guard


def plain(app: ASGIApp) -> ASGIApp:
    """No coroutine: when what it returns is awaited, its call has ended."""

    def guard(scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "websocket":
            return send({"type": "websocket.close", "code": 1008})
        return app(scope, receive, send)

    return guard


@pytest.mark.parametrize(
    ("wrap", "found"),
    [
        (lambda app: app, None),
        (Layer, None),
        (Guard, "Guard"),
        (function, "guard"),
        (plain, None),
        (Converting, None),
        (lambda app: Layer(Guard(Layer(app))), "Guard"),
        (lambda app: function(Guard(app)), "Guard"),
    ],
)
def test_what_is_found_is_the_guard_that_was_given_a_request(wrap: Callable[[Any], Any], found: str | None) -> None:
    async def test() -> None:
        for _ in range(2):  # what has been found harmless is remembered
            looking = Looking()
            scope = websocket_scope() if wrap is Converting else http_scope()
            await Call().run(wrap(looking), scope)
            assert looking.found == [found]

    run(test)


class ByMethod(Layer):
    """Refuses in another method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and "user" not in scope:
            await self.refuse(send)
        else:
            await self.app(scope, receive, send)

    async def refuse(self, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1008})


SOURCE = """
def wrap(app):
    async def guard(scope, receive, send):
        if scope["type"] == "websocket" and "user" not in scope:
            await send({"type": "websocket.close", "code": 1008})
        else:
            await app(scope, receive, send)
    return guard
"""


@pytest.mark.parametrize(("module", "found"), [("mine", "guard"), ("starlette.made_up", None)])
def test_a_class_is_read_as_a_whole_and_a_function_by_its_module(module: str, found: str | None) -> None:
    namespace: dict[str, Any] = {"__name__": module}
    exec(SOURCE, namespace)

    async def test() -> None:
        looking = Looking()
        await Call().run(namespace["wrap"](looking), http_scope())
        await Call().run(ByMethod(looking), http_scope())
        assert looking.found == [found, "ByMethod"]

    run(test)


def test_a_guard_that_was_given_a_websocket_is_no_hindrance() -> None:
    async def test() -> None:
        looking = Looking()
        await Call().run(Guard(looking), websocket_scope(user="ada"))
        assert looking.found == [None]

    run(test)


def test_what_is_in_the_way_of_another_task_is_seen_if_the_handshake_has_come_through_it() -> None:
    """Middleware may run what is inside in a task of its own."""

    async def test() -> None:
        looking = Looking()

        async def in_task(scope: Scope, receive: Receive, send: Send) -> None:
            outer = asyncio.current_task()
            assert outer is not None

            async def inside() -> None:
                inner = asyncio.current_task()
                assert inner is not None
                for tasks in ([], [inner], [outer], [outer, inner]):
                    looking.tasks = tasks
                    await looking(scope, receive, send)

            await asyncio.create_task(inside())

        await Call().run(Guard(in_task), http_scope())
        assert looking.found == [None, None, None, "Guard"]

        async def clean(scope: Scope, receive: Receive, send: Send) -> None:
            await in_task(scope, receive, send)

        looking.found.clear()
        await Call().run(Layer(clean), http_scope())
        assert looking.found == [None] * 4

    run(test)


def test_what_started_the_task_has_nothing_to_do_with_it() -> None:
    """Where the first step of a task runs inside of another call, as in a loop that runs in a guard's function."""

    async def test() -> None:
        looking = Looking()

        def start(scope: Scope) -> None:
            """Stands between the loop and what waits: no coroutine."""
            coroutine = Layer(looking)(scope, Call().receive, Call().send)
            with pytest.raises(StopIteration):
                coroutine.send(None)

        class Starting(Guard):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close", "code": 1008})
                start(scope)

        await Call().run(Starting(looking), http_scope())
        assert looking.found == [None]

    run(test)


def test_it_is_reported_once_for_each(caplog: pytest.LogCaptureFixture) -> None:
    overlooked._reported.clear()
    for name in ("First", "First", "Second"):
        report_overlooked(name)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" ")[0] for line in lines] == ["First", "Second"]
    assert all("has been given a handshake as a request: such handshakes are refused" in line for line in lines)
