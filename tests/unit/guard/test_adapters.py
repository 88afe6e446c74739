"""What is put in front of applications and middleware that do not get a handshake as the request that it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.routing import Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard import adapters
from asgi_upgrade.guard.adapters import Adapter, AsHandshake, AsWebSocket, PagesOnly, adapt, adapt_layers
from asgi_upgrade.guard.handshake import HANDSHAKE, Handshake
from asgi_upgrade.websocket.bridge import CONVERTED
from asgi_upgrade.websocket.handshake import Accept
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.calls import REQUEST, Call, Extension, Seen, http_scope, page, run, websocket_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade.guard.handshake import Policy

POLICY: Policy = UpgradeMiddleware(page)


class Layer:
    """Middleware for requests: notes what it sees."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.seen.append(scope["type"])
        return await self.app(scope, receive, send)


class Guard:
    """Middleware for WebSockets."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.seen.append(scope["type"])
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
            return None
        return await self.app(scope, receive, send)


@dataclass(frozen=True)
class FrozenGuard:
    app: Any

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
            return None
        return await self.app(scope, receive, send)


def guard_function(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await app(scope, receive, send)

    return guard


class Leaf:
    """Answers both; keeps the scopes that it is called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        self.scopes.append(scope)
        assert callable(receive)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await page(scope, receive, send)
        return "returned"


async def leaf_function(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


named_layer = Layer(leaf_function)


def shake(app: Any, path: str = "/", *, approved: bool = True) -> Call:
    """Give `app` a handshake; the server does not switch."""
    call = Call(REQUEST)

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        handshake = Handshake(extension, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        scope = http_scope(path, extensions={"http.upgrade": extension})
        if approved:
            scope[HANDSHAKE] = handshake
        await call.run(app, scope)

    run(test)
    return call


def ask(app: Any, scope: Scope) -> Call:
    call = Call(REQUEST)

    async def test() -> None:
        await call.run(app, scope)

    run(test)
    return call


# What answers


def test_a_leaf_gets_a_websocket_and_requests_as_they_are() -> None:
    leaf = Leaf()
    adapted = adapt(leaf, POLICY)
    assert shake(adapted).status == 101
    assert ask(adapted, http_scope()).status == 200
    assert [scope["type"] for scope in leaf.scopes] == ["websocket", "http"]


def test_the_exception_handlers_of_an_application_around_a_leaf_are_for_its_websocket() -> None:
    """ExceptionMiddleware, further out, has seen a request."""

    class Mistake(Exception):
        pass

    handled: list[Any] = []

    async def handler(websocket: Any, error: Exception) -> None:
        handled.append((websocket.scope["type"], error))
        assert await websocket.receive() == {"type": "websocket.connect"}
        await websocket.close()

    class Failing:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            assert scope["type"] == "websocket"
            assert callable(receive)
            raise Mistake

    class Refusing:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "websocket.close"})

    async def test() -> None:
        extension = Extension()
        handshake = Handshake(extension, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        scope = http_scope(
            extensions={"http.upgrade": extension},
            **{HANDSHAKE: handshake, "starlette.exception_handlers": ({Mistake: handler}, {})},
        )
        call = Call(REQUEST)
        await call.run(adapt(Failing(), POLICY), scope)
        assert call.status == 403
        assert [(kind, type(error)) for kind, error in handled] == [("websocket", Mistake)]
        call = Call(REQUEST)
        await call.run(adapt(Refusing(), POLICY), dict(scope))
        assert (call.status, len(handled)) == (403, 1), "who raises nothing answers itself"

    run(test)


def test_pages_answer_a_handshake_with_404(tmp_path: Any) -> None:
    (tmp_path / "page.txt").write_text("a page")
    adapted = adapt(StaticFiles(directory=tmp_path), POLICY)
    assert (shake(adapted, "/page.txt").status, shake(adapted, "/page.txt").body) == (404, b"Not Found")
    assert ask(adapted, http_scope("/page.txt", headers=[])).status == 200


def test_an_adapter_and_a_policy_stay_as_they_are() -> None:
    adapter = PagesOnly(page)
    guard = Guard(inside := Layer(page))
    policy = UpgradeMiddleware(guard)
    for value in (adapter, policy, Router(), Starlette()):
        assert adapt(value, POLICY) is value
        assert adapt_layers(value, POLICY) is value
    assert policy.app is guard, "it adapts what is inside by itself"
    assert guard.app is inside


class Call3:
    """Called with a scope and awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Keep them."""

    def __await__(self) -> Any:
        """Answer."""


def test_somebody_who_stands_right_around_an_application_knows_what_it_is() -> None:
    kinds = [type(adapt(Call3, POLICY, placed=placed)).__name__ for placed in (True, False)]
    assert kinds == ["Leaf", "Unknown"]
    layer = Layer(Call3)
    adapt(layer, POLICY, placed=True)
    assert type(layer.app).__name__ == "Unknown", "what is inside was placed by somebody else"


def test_nothing_is_adapted_deeper_than_is_looked() -> None:
    leaf = Leaf()
    layer = Layer(leaf)
    assert adapt(layer, POLICY, depth=1) is layer
    assert layer.app is leaf
    assert adapt_layers(layer, POLICY, depth=0) is layer
    assert adapt(layer, POLICY, depth=2) is layer
    assert isinstance(layer.app, Adapter)


def test_a_middleware_for_requests_sees_the_request_and_what_is_inside_a_websocket() -> None:
    leaf = Leaf()
    inner = Layer(leaf)
    outer = Layer(inner)
    assert adapt(outer, POLICY) is outer
    assert shake(outer).status == 101
    assert (outer.seen, inner.seen, leaf.scopes[0]["type"]) == (["http"], ["http"], "websocket")


# What may have something inside


def hiding(app: ASGIApp) -> ASGIApp:
    async def hide(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return hide


def test_what_it_returns_is_returned() -> None:
    async def returning(scope: Scope, receive: Receive, send: Send) -> Any:
        await page(scope, receive, send)
        return "returned"

    async def hide(scope: Scope, receive: Receive, send: Send) -> Any:
        return await returning(scope, receive, send)

    async def test() -> None:
        passed = Handshake({}, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        for scope in (http_scope(**{HANDSHAKE: passed}), http_scope()):
            assert await Call().run(adapt(hide, POLICY), scope) == "returned"

    run(test)


def test_what_may_hide_a_guard_gets_the_handshake_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    adapted = adapt(hiding(page), POLICY)
    for _ in range(2):
        assert shake(adapted).status == 200
    (record,) = caplog.records
    assert record.getMessage().startswith("hide has answered a WebSocket handshake with 200. It may have a guard")
    assert "websocket_middleware=[hide]" in record.getMessage()


def test_a_request_is_no_reason_for_that_line(caplog: pytest.LogCaptureFixture) -> None:
    assert ask(adapt(hiding(page), POLICY), http_scope()).status == 200
    assert not caplog.records


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 401, "headers": []})
    await send({"type": "http.response.body"})


async def in_messages(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close"})


@pytest.mark.parametrize(("app", "status"), [(refuse, 401), (in_messages, 403)])
def test_an_answer_to_the_handshake_is_no_reason_either(
    caplog: pytest.LogCaptureFixture, app: ASGIApp, status: int
) -> None:
    assert shake(adapt(hiding(app), POLICY)).status == status
    assert not caplog.records


def test_who_may_hide_a_guard_and_answers_in_messages_gets_what_the_policy_has_let_pass() -> None:
    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def test() -> None:
        extension = Extension()
        extension.switched.set_result(False)
        passed = Handshake(extension, Accept(b"key", ("a", "b")), POLICY, WebSocketSettings(), ("b",))  # type: ignore[arg-type]
        call = Call(REQUEST)
        scope = http_scope(extensions={"http.upgrade": extension}, **{HANDSHAKE: passed})
        await call.run(adapt(hiding(accept), POLICY), scope)
        assert (b"sec-websocket-protocol", b"b") in call.sent[0]["headers"]

    run(test)


def test_engine_io_with_another_application_inside_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    kind = type("ASGIApp", (Leaf,), {"__module__": "engineio.async_drivers.asgi"})
    app = kind()
    app.other_asgi_app = partial_page
    # What it keeps is no attribute of the usual kind, so nothing inside is adapted.
    del app.__dict__["other_asgi_app"]
    type(app).other_asgi_app = staticmethod(partial_page)
    assert shake(adapt(app, POLICY)).status == 200
    assert not caplog.records


async def partial_page(scope: Scope, receive: Receive, send: Send) -> None:
    await page(scope, receive, send)


def test_what_holds_a_router_of_starlette_somewhere_is_left_to_its_routes() -> None:
    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        await router(scope, receive, send)

    router = Router()
    assert adapt(site, POLICY) is site


# Middleware for WebSockets


@pytest.mark.parametrize("kind", [Guard, FrozenGuard])
def test_a_guard_for_websockets_gets_one_and_what_is_behind_the_handshake_again(kind: Any) -> None:
    leaf = Leaf()
    layer = Layer(leaf)
    guard = kind(layer)
    adapted = adapt(guard, POLICY)
    assert isinstance(adapted, AsWebSocket)
    assert isinstance(guard.app, AsHandshake)
    assert shake(adapted).status == 101
    assert layer.seen == ["http"]
    assert leaf.scopes[0]["type"] == "websocket"
    assert shake(adapted, "/secret").status == 403
    assert layer.seen == ["http"]
    assert ask(adapted, http_scope(headers=[])).status == 200


def test_a_leaf_right_behind_such_a_guard_gets_the_websocket_of_the_guard() -> None:
    leaf = Leaf()
    guard = Guard(leaf)
    adapted = adapt(guard, POLICY)
    assert guard.app is leaf
    assert shake(adapted).status == 101
    assert guard.seen == ["websocket"]


def test_a_guard_is_adapted_once() -> None:
    guard = Guard(Layer(Leaf()))
    adapt(guard, POLICY)
    inner = guard.app
    adapt(guard, POLICY)
    assert guard.app is inner


def test_a_guard_whose_inside_is_not_found_refuses_handshakes_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    leaf = Leaf()
    adapted = adapt(guard_function(Layer(leaf)), POLICY)
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("guard is written for WebSockets, and where it keeps the next application")
    assert shake(adapted).status == 503
    assert not leaf.scopes
    assert ask(adapted, http_scope(headers=[])).status == 200
    assert shake(adapted, approved=False).status == 200, "nobody has let it pass: it is a request"


def guard_function_that_names(app: ASGIApp) -> ASGIApp:
    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await (app if scope["path"] == "/" else named_layer)(scope, receive, send)

    return guard


async def room(websocket: Any) -> None:
    await websocket.accept()


def endpoint() -> ASGIApp:
    return WebSocketRoute("/", room).app


@pytest.mark.parametrize("make", [Leaf, lambda: StaticFiles(directory="."), lambda: leaf_function, endpoint])
def test_a_guard_gets_a_websocket_if_nothing_in_it_has_anything_inside(
    caplog: pytest.LogCaptureFixture, make: Callable[[], Any]
) -> None:
    """Nothing is left out that should see the handshake."""
    inside = make()
    adapted = adapt(guard_function(inside), POLICY)
    assert isinstance(adapted, AsWebSocket)
    assert shake(adapted, "/secret").status == 403
    assert not caplog.records
    for guard in (guard_function_that_names(inside), partial(guard_function_that_names(inside))):
        assert not isinstance(adapt(guard, POLICY), AsWebSocket), "it may go on to a guard"
    assert isinstance(adapt(partial(guard_function(inside)), POLICY), AsWebSocket)


def test_a_function_that_names_what_has_a_guard_inside_does_not_get_a_websocket_past_that() -> None:
    adapted = adapt(guard_function_that_names(endpoint()), POLICY)
    assert shake(adapted, "/named").status == 503
    assert named_layer.seen == []


def listing(app: Any) -> Any:
    """Keeps it where it cannot be found."""
    kept = [app]

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await kept[0](scope, receive, send)

    return guard


def test_a_function_whose_next_is_not_found_is_believed_if_it_is_named() -> None:
    inside = listing(Layer(Leaf()))
    assert shake(adapt(inside, told(inside))).status == 101
    strict: Policy = UpgradeMiddleware(page, allowed_origins=lambda origin, scope: False, websocket_middleware=[inside])
    call = Call(REQUEST)

    async def test() -> None:
        headers = [*http_scope()["headers"], (b"origin", b"http://evil.example")]
        scope = http_scope(headers=headers, extensions={"http.upgrade": Extension()})
        await call.run(adapt(inside, strict), scope)

    run(test)
    assert call.status == 403, "the policy decides about what nobody has decided about yet"


def test_a_router_in_a_list_is_left_to_its_routes_too(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[Any] = [Router(), Starlette()]

    async def first(scope: Scope, receive: Receive, send: Send) -> None:
        await kept[0](scope, receive, send)

    assert adapt(first, POLICY) is first
    assert shake(first).status == 404
    assert caplog.records == []


def test_what_a_function_leads_to_is_found_if_it_is_proven() -> None:
    layer = Layer(endpoint())
    adapted = adapt(guard_function(layer), POLICY)
    assert shake(adapted).status == 101
    assert layer.seen == ["http"]
    assert shake(adapted, "/secret").status == 403


class Served:
    """A guard in a method."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/secret":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)


def test_a_guard_in_a_method_gets_a_websocket_if_all_that_its_object_keeps_is_proven() -> None:
    layer = Layer(endpoint())
    adapted = adapt(Served(layer).guard, POLICY)
    assert [shake(adapted, path).status for path in ("/", "/secret")] == [101, 403]
    assert layer.seen == ["http"]
    layer = Layer(leaf_function)
    adapted = adapt(Served(layer).guard, POLICY, base=leaf_function)
    assert [shake(adapted, path).status for path in ("/", "/secret")] == [101, 403]
    assert layer.seen == ["http"]
    served = Served(endpoint())
    vars(served).update(other=Layer(leaf_function))
    assert shake(adapt(served.guard, POLICY)).status == 503, "it may go on to a guard"


def test_a_function_that_keeps_more_than_the_next_application_is_adapted_and_watched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        await page(scope, receive, send)

    def make(app: ASGIApp) -> ASGIApp:
        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            await (other if scope["path"] == "/other" else app)(scope, receive, send)

        return dispatch

    async def accept(websocket: Any) -> None:
        await websocket.accept()

    adapted = adapt(make(WebSocketRoute("/", accept).app), POLICY)
    assert shake(adapted).status == 101
    assert not caplog.records
    assert shake(adapted, "/other").status == 200
    (record,) = caplog.records
    assert record.getMessage().startswith("dispatch has answered a WebSocket handshake with 200.")


def told(*middleware: Any) -> Policy:
    return UpgradeMiddleware(page, websocket_middleware=middleware)


def test_what_is_named_gets_a_websocket_whatever_it_looks_like() -> None:
    layer = Layer(Leaf())
    assert shake(adapt(layer, told(Layer))).status == 101
    assert layer.seen == ["websocket"]
    layer = Layer(Leaf())
    assert shake(adapt(layer, told(layer))).status == 101
    assert layer.seen == ["websocket"]
    layer = Layer(Leaf())
    assert shake(adapt(layer, told(Guard, guard_function))).status == 101
    assert layer.seen == ["http"]
    assert shake(adapt(hiding(Leaf()), told(Guard))).status == 200, "a class makes no function"


def test_a_function_that_is_named_gets_a_websocket_too() -> None:
    leaf = Leaf()
    guard = guard_function(leaf)
    assert shake(adapt(guard, told(guard))).status == 101
    assert leaf.scopes[0]["type"] == "websocket"


def test_what_is_unclear_is_said_once_for_each_class(caplog: pytest.LogCaptureFixture) -> None:
    adapters._unclear.clear()

    class Unclear(Layer):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
            elif scope["type"] == "http":
                await page(scope, receive, send)

    for _ in range(2):
        adapt(Unclear(Leaf()), POLICY)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{__name__}.{Unclear.__qualname__} treats WebSockets in its own way.")
    assert "websocket_middleware=[Unclear]" in record.getMessage()


def test_an_endpoint_is_no_middleware_whatever_its_decorator_does(caplog: pytest.LogCaptureFixture) -> None:
    """That of Starlette has something for requests, and something for WebSockets."""
    adapters._unclear.clear()
    leaf = WebSocketRoute("/", requires("authenticated")(room)).app
    assert not isinstance(adapt(leaf, POLICY), AsWebSocket)
    guarded = Layer(leaf)
    adapt(guarded, POLICY)
    assert caplog.records == []


class Named(Layer):
    """Named by a policy."""


@pytest.mark.parametrize("adapting", [adapt, adapt_layers])
@pytest.mark.parametrize("around", [Layer, Guard])
def test_what_is_named_is_found_further_inside_too(around: Any, adapting: Any) -> None:
    named = Named(Leaf())
    outer = around(Layer(named))
    assert shake(adapting(outer, told(Named))).status == 101
    assert named.seen == ["websocket"]


def test_an_application_of_a_framework_is_no_guard_whatever_it_looks_like() -> None:
    inside = Layer(Leaf())
    application = type("Application", (Guard,), {"__module__": "litestar.app"})(inside)
    assert shake(adapt(application, POLICY)).status == 101
    assert application.seen == inside.seen == ["websocket"]
    assert adapt_layers(application, POLICY) is application


@pytest.mark.parametrize("kind", ["leaf", "unknown", "guard", "guard further out"])
def test_who_waits_for_the_client_is_told_when_it_leaves(kind: str) -> None:
    seen: list[str] = []

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([(await receive())["type"] for _ in range(2)])

    class Waits:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await waits(scope, receive, send)

    apps: dict[str, Callable[[], ASGIApp]] = {
        "leaf": lambda: adapt(Waits(), POLICY),
        "unknown": lambda: adapt(hiding(waits), POLICY),
        "guard": lambda: AsWebSocket(Waits(), POLICY),
        "guard further out": lambda: AsWebSocket(Waits(), None),
    }

    async def test() -> None:
        extension = Extension()
        scope = http_scope(extensions={"http.upgrade": extension})
        if kind != "guard further out":
            scope[HANDSHAKE] = Handshake(extension, Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        await Call(REQUEST, {"type": "http.disconnect"}).run(apps[kind](), scope)

    run(test)
    assert seen == (
        ["http.request", "http.disconnect"] if kind == "unknown" else ["websocket.connect", "websocket.disconnect"]
    )


# In front of a policy


def test_a_guard_further_out_than_the_policy_gets_a_websocket_that_the_policy_decides_about() -> None:
    guard = Guard(Leaf())
    assert shake(AsWebSocket(guard, told()), approved=False).status == 101
    strict: Policy = UpgradeMiddleware(page, allowed_origins=lambda origin, scope: False)
    seen = Seen()
    extension_scope = http_scope(headers=[*http_scope()["headers"], (b"origin", b"http://evil.example")])

    async def test() -> None:
        extension = Extension()
        call = Call(REQUEST)
        await call.run(AsWebSocket(seen, strict), {**extension_scope, "extensions": {"http.upgrade": extension}})
        assert call.status == 403
        assert not seen.scopes

    run(test)


def test_a_handshake_that_has_passed_is_not_decided_about_again() -> None:
    strict: Policy = UpgradeMiddleware(
        page, allowed_origins=lambda origin, scope: False, websocket=WebSocketSettings(open_timeout=1)
    )
    leaf = Leaf()
    assert shake(AsWebSocket(leaf, strict)).status == 101
    assert leaf.scopes[0][CONVERTED].settings.open_timeout == WebSocketSettings.open_timeout


def test_without_a_known_policy_it_is_one_further_in_that_decides() -> None:
    guard = Guard(Leaf())
    assert shake(AsWebSocket(guard, None), approved=False).status == 101
    assert guard.seen == ["websocket"]


def test_what_is_no_handshake_reaches_it_as_it_is() -> None:
    guard = Guard(Leaf())
    assert ask(AsWebSocket(guard, None), http_scope(headers=[])).status == 200
    assert ask(AsWebSocket(guard, POLICY), http_scope(headers=[])).status == 200
    ask(AsWebSocket(guard, POLICY), websocket_scope())
    assert guard.seen == ["http", "http", "websocket"]
    seen = Seen()
    ask(AsWebSocket(seen, POLICY), {"type": "lifespan"})
    assert seen.scopes == [{"type": "lifespan"}]


def test_only_a_websocket_that_was_a_handshake_is_one_again() -> None:
    seen = Seen()

    async def test() -> None:
        handshake = Handshake(Extension(), Accept(b"key"), POLICY, WebSocketSettings(), ())  # type: ignore[arg-type]
        for scope in (
            websocket_scope(**{CONVERTED: handshake}),
            websocket_scope(**{CONVERTED: None}),
            websocket_scope(),
            http_scope(),
        ):
            await Call({"type": "websocket.connect"}).run(AsHandshake(seen), scope)
        assert seen.kinds == ["http", "websocket", "websocket", "http"]
        assert isinstance(seen.scopes[0][HANDSHAKE], Handshake)

    run(test)


# Around a policy


def test_around_a_policy_only_guards_for_websockets_are_adapted() -> None:
    policy = UpgradeMiddleware(Leaf())
    guard = Guard(policy)
    outer = Layer(guard)
    assert adapt_layers(outer, POLICY) is outer
    assert isinstance(outer.app, AsWebSocket)
    leaf = Leaf()
    layer = Layer(leaf)
    assert adapt_layers(layer, POLICY) is layer
    assert layer.app is leaf
    assert isinstance(adapt_layers(Guard(leaf), POLICY), AsWebSocket)


def test_what_an_application_has_inside_is_left_to_it_around_a_policy() -> None:
    application = Starlette()
    application.middleware_stack = guard = Guard(Layer(Leaf()))
    assert adapt_layers(application, POLICY) is application
    assert application.middleware_stack is guard


def test_a_guard_around_a_policy_gets_what_the_policy_lets_pass() -> None:
    strict: Policy = UpgradeMiddleware(page, allowed_origins=lambda origin, scope: False)
    guard = Guard(UpgradeMiddleware(Leaf()))
    call = Call(REQUEST)

    async def test() -> None:
        headers = [*http_scope()["headers"], (b"origin", b"http://evil.example")]
        scope = http_scope(headers=headers, extensions={"http.upgrade": Extension()})
        await call.run(adapt_layers(guard, strict), scope)

    run(test)
    assert call.status == 403
    assert not guard.seen


def test_the_depth_is_counted_behind_a_guard_and_around_a_policy_too() -> None:
    leaf = Leaf()
    layer = Layer(leaf)
    adapt(Guard(layer), POLICY, depth=2)
    assert layer.app is leaf
    adapt(Guard(layer), POLICY, depth=3)
    assert layer.app is not leaf
    guard = Guard(Leaf())
    layer = Layer(guard)
    adapt_layers(layer, POLICY, depth=1)
    assert layer.app is guard
    adapt_layers(layer, POLICY, depth=2)
    assert isinstance(layer.app, AsWebSocket)


def test_an_application_inside_is_adapted_as_the_policy_says() -> None:
    inside = Starlette(middleware=[Middleware(Layer)])
    inside.middleware_stack = Layer(Router())
    adapt(inside, told(Layer))
    assert isinstance(inside.middleware_stack, AsWebSocket)


def test_the_stack_of_an_application_inside_is_built_and_adapted_once() -> None:
    inside = Starlette(middleware=[Middleware(Guard)])
    bare = Starlette()
    adapt(inside, POLICY)
    adapt(bare, POLICY)
    stack = inside.middleware_stack
    assert stack is not None
    assert bare.middleware_stack is None
    adapt(inside, POLICY)
    assert inside.middleware_stack is stack


def test_an_error_inside_reaches_who_called() -> None:
    class Failing:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            raise asyncio.InvalidStateError

    for app in (Failing(), Layer(Failing()), hiding(Failing())):
        with pytest.raises(asyncio.InvalidStateError):
            shake(adapt(app, POLICY))
