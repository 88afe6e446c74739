"""The last look: guards for WebSockets whose call is running, and that were given a request."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.guard import overlooked
from asgi_upgrade.guard.overlooked import find_overlooked, report_overlooked
from tests.unit.calls import Call, http_scope, run, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send


# Named, because who names the kind in a function is read as one that does something for requests.
REQUEST = "http"


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


class ConvertingByName(Guard):
    """As `Converting`, and has a name for the request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            request = {**scope, "type": REQUEST}
            await self.app(request, receive, send)


class TakingAny(Guard):
    """Nobody sees what it was given."""

    async def __call__(self, *given: Any) -> None:
        if given[0]["type"] == "websocket":
            await given[2]({"type": "websocket.close", "code": 1008})
        await self.app(*given)


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
        (ConvertingByName, None),
        (TakingAny, None),
        (lambda app: Layer(Guard(Layer(app))), "Guard"),
        (lambda app: function(Guard(app)), "Guard"),
    ],
)
def test_what_is_found_is_the_guard_that_was_given_a_request(wrap: Callable[[Any], Any], found: str | None) -> None:
    async def test() -> None:
        for _ in range(2):  # what has been found harmless is remembered
            looking = Looking()
            scope = websocket_scope() if wrap in (Converting, ConvertingByName) else http_scope()
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


@pytest.fixture
def ways() -> Iterator[overlooked._Ways]:
    """What is known of the ways of handshakes: nothing."""
    before, overlooked._ways = overlooked._ways, overlooked._Ways()
    yield overlooked._ways
    overlooked._ways = before


@pytest.mark.usefixtures("ways")
def test_a_way_on_which_a_guard_saw_a_websocket_is_not_remembered() -> None:
    async def test() -> None:
        looking = Looking()
        guarded = Guard(looking)
        # The first way tells only how many calls are looked at.
        scopes = (*[websocket_scope(user="ada")] * 2, http_scope(), websocket_scope(user="ada"))
        for scope in scopes:
            await guarded(scope, Call().receive, Call().send)
        assert looking.found == [None, None, "Guard", None]

    run(test)


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("layers", [0, 5, *range(10, 17), 50])
def test_a_guard_at_the_far_end_of_a_long_way_is_found(layers: int) -> None:
    """Of a way that is longer than those before, only the inner end is known."""

    async def test() -> None:
        looking = Looking()
        app: Any = looking
        for _ in range(layers):
            app = Layer(app)
        for outermost in (Layer, Layer, Layer, Guard, Layer):
            await asyncio.create_task(outermost(app)(http_scope(), Call().receive, Call().send))
        assert looking.found == [None, None, None, "Guard", None]

    run(test)


def test_code_without_a_file_is_judged_each_time(ways: overlooked._Ways) -> None:
    """Other code can have the same name and line."""

    async def test() -> None:
        looking = Looking()
        for module, found in (("starlette.made_up", None), ("mine", "guard"), ("starlette.made_up", None)):
            namespace: dict[str, Any] = {"__name__": module}
            exec(SOURCE, namespace)
            await asyncio.create_task(namespace["wrap"](looking)(http_scope(), Call().receive, Call().send))
            assert looking.found.pop() == found
        assert not ways.harmless
        await asyncio.create_task(Layer(looking)(http_scope(), Call().receive, Call().send))
        await asyncio.create_task(Layer(looking)(http_scope(), Call().receive, Call().send))
        assert len(ways.harmless) == 1

    run(test)


def test_what_started_the_task_is_no_part_of_the_way(ways: overlooked._Ways) -> None:
    looking = Looking()
    namespace: dict[str, Any] = {}
    exec("def start(coroutine):\n try: coroutine.send(None)\n except StopIteration: pass", namespace)
    for _ in range(2):
        namespace["start"](Layer(looking)(http_scope(), Call().receive, Call().send))
    assert len(ways.harmless) == 1


def test_as_many_calls_are_looked_at_as_the_longest_way_has(ways: overlooked._Ways) -> None:
    looking = Looking()
    for layers in (50, 20):
        app: Any = looking
        for _ in range(layers):
            app = Layer(app)
        with pytest.raises(StopIteration):
            app(http_scope(), Call().receive, Call().send).send(None)
        # Two functions of the module, what looks, and who started the task.
        assert ways.depth == 2 + 1 + 50 + 1


def test_a_task_that_has_ended_is_in_nobodys_way() -> None:
    async def test() -> None:
        looking = Looking()

        async def outer() -> None:
            """Ends before the handshake arrives."""

        ended = asyncio.create_task(outer())
        await ended
        current = asyncio.current_task()
        assert current is not None
        looking.tasks = [ended, current]
        await looking(http_scope(), Call().receive, Call().send)
        assert looking.found == [None]
        assert list(overlooked.coroutine_frames([ended, current]))

    run(test)


def test_the_frames_of_a_task_end_where_it_begins_and_come_once() -> None:
    found: list[str] = []

    async def innermost() -> None:
        current = asyncio.current_task()
        assert current is not None
        found.extend(frame.f_code.co_name for frame in overlooked.coroutine_frames([current]))

    async def outermost() -> None:
        await innermost()

    async def starting() -> None:
        def start() -> None:
            """As a loop does with an eager task."""
            with pytest.raises(StopIteration):
                outermost().send(None)

        start()
        assert found == ["innermost", "outermost"]
        found.clear()
        await asyncio.create_task(outermost())
        assert found == ["innermost", "outermost"]

    run(starting)


def test_code_that_is_remembered_is_kept() -> None:
    """It is known by its identity, which other code could get."""
    looking = Looking()
    namespace: dict[str, Any] = {}
    exec("async def middleware(app, scope): await app(scope, None, None)", namespace)
    code = weakref.ref(namespace["middleware"].__code__)
    with pytest.raises(StopIteration):
        namespace["middleware"](looking, http_scope()).send(None)
    assert looking.found == [None]
    namespace.clear()
    gc.collect()
    assert code() is not None


def test_so_much_code_is_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[int, Any] = {}
    monkeypatch.setattr(overlooked, "_harmless", known)
    monkeypatch.setattr(overlooked, "_MOST", 1)
    monkeypatch.setattr(overlooked, "_ways", overlooked._Ways())

    async def test() -> None:
        looking = Looking()
        for app in (Layer(looking), Layer(looking), Guard(looking)):
            await asyncio.create_task(app(http_scope(), Call().receive, Call().send))
        assert looking.found == [None, None, "Guard"]
        assert len(known) == 1

    run(test)


def test_so_many_ways_are_remembered_and_no_more(ways: overlooked._Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlooked._Ways, "MOST", 2)

    async def test() -> None:
        looking = Looking()
        for _ in range(2):
            for layers in range(4):
                app: Any = looking
                for _ in range(layers):
                    app = Layer(app)
                await asyncio.create_task(app(http_scope(), Call().receive, Call().send))
        assert looking.found == [None] * 8
        assert len(ways.harmless) == 2

    run(test)


@pytest.mark.usefixtures("ways")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="each call has a frame object")
@pytest.mark.parametrize("tasks", ["one", "several"])
def test_to_look_at_known_calls_makes_no_objects_that_live_as_long_as_these(tasks: str) -> None:
    """A WebSocket's calls live as long as its connection."""
    layers = 100
    sizes = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        current = asyncio.current_task()
        assert current is not None
        given = [scope["outer"], current] if tasks == "several" else []
        tracemalloc.start()
        try:
            assert find_overlooked(given) is None
            sizes.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()

    async def in_task(scope: Scope, receive: Receive, send: Send) -> None:
        scope["outer"] = asyncio.current_task()
        await asyncio.create_task(look(scope, receive, send))

    async def test() -> None:
        app: Any = in_task if tasks == "several" else look
        for _ in range(layers):
            app = Layer(app)
        for _ in range(4):
            await asyncio.create_task(app(http_scope(), Call().receive, Call().send))
        assert sizes[-1] < 10 * layers

    run(test)


def test_coroutines_are_traced_to_their_origin_as_before() -> None:
    async def test() -> None:
        for depth in (0, 3):
            sys.set_coroutine_origin_tracking_depth(depth)
            try:
                assert find_overlooked([]) is None
                assert sys.get_coroutine_origin_tracking_depth() == depth
            finally:
                sys.set_coroutine_origin_tracking_depth(0)

    run(test)


def test_it_is_reported_once_for_each(caplog: pytest.LogCaptureFixture) -> None:
    overlooked._reported.clear()
    for name in ("First", "First", "Second"):
        report_overlooked(name)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(" ")[0] for line in lines] == ["First", "Second"]
    assert all("has been given a handshake as a request: such handshakes are refused" in line for line in lines)
