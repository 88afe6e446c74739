"""Applications that answer a handshake, given as a request, in WebSocket messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.guard.handshake import Handshake
from asgi_upgrade.guard.in_place import InPlace, in_place, without_policy
from asgi_upgrade.websocket.bridge import BRIDGE, Bridge
from asgi_upgrade.websocket.errors import ClientDisconnected
from asgi_upgrade.websocket.handshake import Accept, Reject
from asgi_upgrade.websocket.settings import WebSocketSettings
from tests.unit.calls import CONNECT, HANDSHAKE, REQUEST, Call, Extension, http_scope, page, run, websocket_scope

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

TEXT: Message = {"type": "websocket.receive", "text": "hello"}


async def accept(scope: Scope, receive: Receive, send: Send) -> Any:
    """Takes the request for what `websocket.connect` would say, as Engine.IO does."""
    assert scope["type"] == "http"
    assert (await receive())["type"] == "http.request"
    await send({"type": "websocket.accept"})
    assert await receive() == TEXT
    await send({"type": "websocket.send", "text": "world"})
    await send({"type": "websocket.close", "code": 1000})
    return "accepted"


# What the request is


def test_a_request_that_asks_for_nothing_is_no_handshake() -> None:
    assert without_policy(http_scope()) is None, "the server cannot switch"
    assert without_policy(http_scope(extensions={"http.upgrade": {"version": "1.2"}}, headers=[])) is None


def test_a_handshake_before_any_policy_has_what_the_server_gave_it() -> None:
    entry = {"version": "1.2", "connect": print}
    handshake = without_policy(http_scope(extensions={"http.upgrade": entry}))
    assert isinstance(handshake, Handshake)
    assert handshake.carrier is entry
    assert handshake.accept.key == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert handshake.policy is None
    assert handshake.settings.deflate is not None
    assert handshake.subprotocols == ()


def test_a_handshake_with_a_fault_is_rejected() -> None:
    headers = [field for field in HANDSHAKE if field[0] != b"sec-websocket-key"]
    assert isinstance(
        without_policy(http_scope(extensions={"http.upgrade": {"version": "1.2"}}, headers=headers)), Reject
    )


def test_a_websocket_of_the_server_is_a_handshake_whatever_its_fields() -> None:
    call = Call()
    bridge = Bridge(websocket_scope(subprotocols=["a", "b"]), call.receive, call.send)
    handshake = without_policy(http_scope(extensions={BRIDGE: bridge}, headers=[]))
    assert isinstance(handshake, Handshake)
    assert handshake.carrier is bridge
    assert handshake.accept == Accept(b"", ("a", "b"))


# The answers


def test_a_response_passes_as_it_is_and_its_status_is_kept() -> None:
    async def test() -> None:
        call = Call(REQUEST)
        served = InPlace(http_scope(), call.receive, call.send)
        before: Any = served.status
        assert before is None
        assert await served.run(page) is None
        assert (served.status, call.status, call.body) == (200, 200, b"a page")
        assert await served.receive() == REQUEST

    run(test)


def test_what_an_application_returns_is_returned() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        return "something"

    async def test() -> None:
        assert await Call().run(in_place(app), http_scope()) == "something"

    run(test)


def test_websocket_messages_make_a_websocket_of_it() -> None:
    async def test() -> None:
        server = Call(CONNECT, TEXT)
        result: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            served: Any = in_place(accept)
            result.append(await served(scope, receive, send))

        await Bridge(websocket_scope(), server.receive, server.send).run(app)
        assert server.types == ["websocket.accept", "websocket.send", "websocket.close"]
        assert result == ["accepted"]

    run(test)


def test_an_application_that_begins_and_returns_has_not_answered() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> str:
        with pytest.raises(RuntimeError, match=r"but got 'websocket.send'"):
            await send({"type": "websocket.send", "text": "too early"})
        return "returned"

    async def test() -> None:
        call = Call(REQUEST)
        served: Any = in_place(app)  # type: ignore[arg-type]
        assert await call.run(served, http_scope(extensions={"http.upgrade": Extension()})) == "returned"
        assert call.status == 500

    run(test)


def test_what_a_policy_has_said_of_the_handshake_holds() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        extension.switched.set_result(False)
        await send({"type": "websocket.accept"})

    extension: Extension

    async def test() -> None:
        nonlocal extension
        extension = Extension()
        accept = Accept(b"the key", ("superchat", "chat"))
        handshake = Handshake(extension, accept, None, WebSocketSettings(), ("chat",))  # type: ignore[arg-type]
        call = Call(REQUEST)
        scope = http_scope(extensions={"http.upgrade": extension})
        await InPlace(scope, call.receive, call.send, handshake).run(app)
        assert call.status == 101
        assert (b"sec-websocket-protocol", b"chat") in call.sent[0]["headers"]
        assert (b"sec-websocket-accept", b"the key") in call.sent[0]["headers"]

    run(test)


def test_an_application_that_takes_too_long_to_answer_is_cancelled() -> None:
    cancelled: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=r"but got 'websocket.send'"):
            await send({"type": "websocket.send", "text": "too early"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def test() -> None:
        extension: Any = Extension()
        handshake = Handshake(extension, Accept(b"key"), None, WebSocketSettings(open_timeout=0.05), ())
        call = Call(REQUEST)
        scope = http_scope(extensions={"http.upgrade": extension})
        await InPlace(scope, call.receive, call.send, handshake).run(app)
        assert call.status == 503
        assert cancelled == [True]

    run(test)


def test_a_close_refuses_with_403() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1008, "reason": "not you"})

    async def test() -> None:
        call = Call(REQUEST)
        await call.run(in_place(app), http_scope(extensions={"http.upgrade": Extension()}))
        assert (call.status, call.body) == (403, b"not you\n")

    run(test)


def test_a_handshake_with_a_fault_is_answered_for_the_application() -> None:
    headers = [field for field in HANDSHAKE if field[0] != b"sec-websocket-version"]
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            raised.append(error)
            raise

    async def test() -> None:
        call = Call(REQUEST)
        scope = http_scope(extensions={"http.upgrade": Extension()}, headers=headers)
        await call.run(in_place(app), scope)
        assert (call.status, call.body) == (426, b"Sec-WebSocket-Version must be 13\n")
        assert (b"upgrade", b"websocket") in call.sent[0]["headers"]
        assert isinstance(raised[0], ClientDisconnected)
        assert raised[0].code == 1006

    run(test)


def test_a_request_that_is_no_handshake_is_not_answered_so() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=r"Unexpected ASGI message 'websocket.accept': the request is no"):
            await send({"type": "websocket.accept"})
        await page(scope, receive, send)

    async def test() -> None:
        call = Call(REQUEST)
        await call.run(in_place(app), http_scope(headers=[]))
        assert call.status == 200

    run(test)


def test_an_application_that_speaks_websocket_hears_that_the_client_has_gone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError, match=r"but got 'websocket.send'"):
            await send({"type": "websocket.send", "text": "too early"})
        assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    async def test() -> None:
        call = Call(REQUEST, {"type": "http.disconnect"})
        await call.run(in_place(app), http_scope(extensions={"http.upgrade": Extension()}))

    run(test)


# Errors


@pytest.mark.parametrize("error", [ValueError("a mistake"), ClientDisconnected(1006, ""), asyncio.CancelledError()])
def test_an_error_before_the_answer_is_raised_as_it_is(error: BaseException) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async def test() -> None:
        with pytest.raises(type(error)) as raised:
            await Call().run(in_place(app), http_scope(extensions={"http.upgrade": Extension()}))
        assert raised.value is error

    run(test)


@pytest.mark.parametrize(("gone", "kind"), [(True, None), (False, ValueError)])
def test_after_it_only_an_error_of_the_application_is_raised(*, gone: bool, kind: type[Exception] | None) -> None:
    """That the client has gone is none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        extension.switched.set_result(False)
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            if gone:
                raise
            raise ValueError("a mistake") from None

    extension: Extension

    async def test() -> None:
        nonlocal extension
        extension = Extension()
        call = Call(REQUEST)
        serving = call.run(in_place(app), http_scope(extensions={"http.upgrade": extension}))
        if kind is None:
            await serving
        else:
            with pytest.raises(kind, match="a mistake"):
                await serving
        assert call.status == 101

    run(test)
