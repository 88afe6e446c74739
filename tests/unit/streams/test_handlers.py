"""Which handler serves which offer."""

from __future__ import annotations

import asyncio
import functools
from typing import Any
from unittest.mock import AsyncMock

import pytest

from asgi_upgrade import UpgradeMiddleware, UpgradeStream
from asgi_upgrade.streams.handlers import ProtocolTable, check_handler, check_protocol


async def handler(stream: UpgradeStream) -> None:
    raise AssertionError("not to be run")


class Declining:
    """Declines what its path does not allow, now or a little later."""

    def __init__(self, *, later: bool) -> None:
        self.later = later
        self.asked: list[str] = []

    def accepts(self, scope: Any) -> Any:
        self.asked.append(scope["path"])
        answer = scope["path"] == "/yes"
        return asyncio.sleep(0, answer) if self.later else answer

    async def __call__(self, stream: UpgradeStream) -> None:
        raise AssertionError("not to be run")


def make_scope(*upgrade: str, path: str = "/", **changes: Any) -> dict[str, Any]:
    lines = [(b"upgrade", value.encode("latin-1")) for value in upgrade]
    headers = [(b"connection", b"upgrade"), *lines]
    return {"type": "http", "http_version": "1.1", "method": "GET", "path": path, "headers": headers, **changes}


def select(table: ProtocolTable, scope: dict[str, Any]) -> str | None:
    selected = asyncio.run(table.select(scope))
    return None if selected is None else str(selected[0])


@pytest.mark.parametrize(
    ("supported", "upgrade", "selected"),
    [
        (["foo"], ["foo"], "foo"),
        (["foo/1", "foo/2"], ["foo/2"], "foo/2"),
        (["foo/1", "foo/2"], ["foo/2, foo/1"], "foo/2"),
        (["foo/1", "foo/2"], ["foo/1", "foo/2"], "foo/1"),
        (["foo/1", "bar"], ["baz, bar, foo/1"], "bar"),
        (["Foo/1"], ["fOO/1"], "fOO/1"),  # names without regard to case
        (["foo/A"], ["foo/a"], None),  # versions exactly
        (["foo/1"], ["foo/1.0"], None),
        (["foo/1"], ["foo"], None),
        (["foo"], ["foo/1"], None),
        (["foo"], ["bar"], None),
        (["foo"], ["websocket, foo"], None),  # WebSocket comes first, and is another's
        (["foo"], ["foo, WebSocket"], "foo"),
        (["foo"], ["websocket/13, foo"], "foo"),  # there is no such thing
        (["foo"], ["foo bar"], None),
        ([], ["foo"], None),
    ],
)
def test_the_clients_order_decides(supported: list[str], upgrade: list[str], selected: str | None) -> None:
    table, scope = ProtocolTable(dict.fromkeys(supported, handler)), make_scope(*upgrade)
    assert select(table, scope) == selected
    assert table.come_first(scope) is (selected is not None)
    assert bool(table) is bool(supported)
    assert [name.lower() for name in table.names] == [name.lower() for name in supported]


@pytest.mark.parametrize(
    "changes",
    [
        {"http_version": "1.0"},
        {"http_version": "2"},
        {"method": "CONNECT"},
        {"headers": [(b"upgrade", b"foo")]},
        {"headers": [(b"connection", b"upgrade")]},
        {"headers": []},
    ],
)
def test_what_makes_no_offer_selects_nothing(changes: dict[str, Any]) -> None:
    table, scope = ProtocolTable({"foo": handler}), make_scope("foo", **changes)
    assert select(table, scope) is None
    assert table.come_first(scope) is False


@pytest.mark.parametrize("later", [False, True])
def test_a_handler_may_decline_and_the_next_is_asked(later: bool) -> None:
    first, second = Declining(later=later), Declining(later=later)
    table = ProtocolTable({"first": first, "second": second, "third": handler})
    assert select(table, make_scope("second, first", path="/yes")) == "second"
    assert (first.asked, second.asked) == ([], ["/yes"])
    assert select(table, make_scope("second, first, third", path="/no")) == "third"
    assert (first.asked, second.asked) == (["/no"], ["/yes", "/no"])
    assert select(table, make_scope("second, first", path="/no")) is None
    assert table.come_first(make_scope("second, first", path="/no")), "which may still decline"


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("foo", True),
        ("foo/2", True),
        ("TLS/1.2", True),
        ("", False),
        ("foo/", False),
        ("/2", False),
        ("foo/2/3", False),
        ("foo bar", False),
        ("foo,bar", False),
        ("fö", False),
        (b"foo", False),
        (None, False),
        ("websocket", False),  # those that the package speaks by itself
        ("WebSocket", False),
        ("H2C", False),
        ("h2c/2", True),
    ],
)
def test_what_the_name_of_a_protocol_is(name: Any, valid: bool) -> None:
    if valid:
        check_protocol(name)
    else:
        with pytest.raises(ValueError, match=r"^protocol "):
            check_protocol(name)


class Wrapper:
    """Calls a handler, synchronously or not."""

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped

    async def method(self, stream: UpgradeStream) -> None:
        await self.wrapped(stream)

    def plain_method(self, stream: UpgradeStream) -> None:
        self.wrapped(stream)

    def __call__(self, stream: UpgradeStream) -> Any:
        return self.wrapped(stream)


@functools.wraps(handler)
def wrapping(stream: UpgradeStream) -> Any:
    return handler(stream)


def plain(stream: UpgradeStream) -> None:
    raise AssertionError("not to be run")


def generator(stream: UpgradeStream) -> Any:
    yield


async def asynchronous_generator(stream: UpgradeStream) -> Any:
    yield


class Conversation:
    """One handler for each connection: making it takes the stream, and awaiting it speaks."""

    def __init__(self, stream: UpgradeStream) -> None:
        self.stream = stream

    def __await__(self) -> Any:
        return handler(self.stream).__await__()


@pytest.mark.parametrize(
    "right",
    [
        handler,
        Declining(later=False),
        Wrapper(handler).method,
        functools.partial(handler),
        functools.partial(Wrapper(handler).method),
        wrapping,
        AsyncMock(),
        Conversation,
        lambda stream: handler(stream),
    ],
)
def test_what_can_be_awaited_is_a_handler(right: Any) -> None:
    check_handler(right)
    ProtocolTable({"foo": right})


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "handler",
        plain,
        generator,
        asynchronous_generator,
        functools.wraps(handler)(generator),
        functools.wraps(handler)(asynchronous_generator),
        functools.partial(plain),
        Wrapper,
        Wrapper(plain),
        Wrapper(plain).plain_method,
    ],
)
def test_what_would_fail_only_after_the_101_is_none(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^handler must be a coroutine function"):
        check_handler(wrong)
    with pytest.raises(ValueError, match=r"^protocols: 'foo': handler must be a coroutine function"):
        ProtocolTable({"foo": wrong})


@pytest.mark.parametrize(
    "protocols",
    [
        ["foo"],
        {"foo bar": handler},
        {"": handler},
        {"websocket": handler},
        {"WebSocket": handler},
        {"h2c": handler},
        {"foo": plain},
        {"foo/1": handler, "FOO/1": handler},
        {"foo": None},
        {b"foo": handler},
    ],
)
def test_protocols_that_make_no_sense_are_refused_by_name(protocols: Any) -> None:
    with pytest.raises(ValueError, match="protocols"):
        UpgradeMiddleware(handler, protocols=protocols)  # type: ignore[arg-type]


def test_the_middleware_needs_an_application() -> None:
    with pytest.raises(ValueError, match="app must be an ASGI application, not None"):
        UpgradeMiddleware(None)  # type: ignore[arg-type]
