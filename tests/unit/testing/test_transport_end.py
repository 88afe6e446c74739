"""How requests end that `UpgradeTransport` has made: by the application, by the client, or by a server that stops."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse

from asgi_upgrade.testing import UpgradeTransport, transport
from tests.unit.connected import run
from tests.unit.servers.calls import Call, Echo, Telling, switching
from tests.unit.servers.requests import read
from tests.unit.waiting import turns, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import Message, Receive, Scope, Send

OFFER = {"Connection": "Upgrade", "Upgrade": "example/1"}


def connect(app: Any, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=UpgradeTransport(app, **options), base_url="http://test", timeout=None)


async def begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})


# The client leaves


class Ending:
    """Waits for ever, and notes what it sees when it is cancelled."""

    def __init__(self, *, answers: bool = False, fails: bool = False) -> None:
        self.answers = answers
        self.fails = fails
        self.began = asyncio.Event()
        self.seen: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        if self.answers:
            await begin(send)
        self.began.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.append((await receive())["type"])
            if "extensions" in scope:
                switched = scope["extensions"]["http.upgrade"]["connect"](Echo(), [(b"upgrade", b"example/1")])
                self.seen.append(switched.result() if switched.done() else "it waits")
            if not self.answers:
                await begin(send)  # nobody gets it
            await turns()
            self.seen.append("end")
            if self.fails:
                raise LookupError("of the application")


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("headers", [{}, OFFER])
def test_a_client_that_is_cancelled_waits_for_the_end_of_the_application(
    headers: dict[str, str], *, fails: bool
) -> None:
    async def test() -> None:
        app = Ending(fails=fails)
        async with connect(app) as client:
            asking = asyncio.ensure_future(client.get("/", headers=headers))
            await app.began.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert app.seen == ["http.disconnect", *([False] if headers else []), "end"]
        del asking
        if fails:
            await turns()  # until the loop has let go of it
            gc.collect()  # nobody may complain of an exception that was not looked at

    run("asyncio", test)


def test_a_client_that_leaves_its_scope_waits_too() -> None:
    import anyio

    async def test() -> None:
        app = Ending()
        async with connect(app) as client:
            with anyio.CancelScope() as scope:
                app.began.set = scope.cancel  # type: ignore[method-assign]
                await client.get("/")
            assert app.seen == ["http.disconnect", "end"]

    run("asyncio", test)


def test_the_application_is_told_that_the_response_was_closed() -> None:
    async def test() -> None:
        seen: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await read(receive)
            await begin(send)
            seen.append(await receive())

        async with connect(app) as client:
            async with client.stream("GET", "/"):
                assert seen == []
            assert seen == [{"type": "http.disconnect"}]

    run("asyncio", test)


def test_an_application_that_goes_on_after_that_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_END_TIMEOUT", 0.05)

    async def test() -> None:
        app = Ending(answers=True)
        async with connect(app) as client:
            async with client.stream("GET", "/"):
                assert app.seen == []
            assert app.seen == ["http.disconnect", "end"]

    run("asyncio", test)


def test_background_tasks_behind_a_whole_response_may_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_END_TIMEOUT", 0.0)
    ran: list[bool] = []

    async def work() -> None:
        await turns()
        ran.append(True)

    async def test() -> None:
        async with connect(PlainTextResponse("text", background=BackgroundTask(work))) as client:
            await client.get("/")
            assert ran == [True]

    run("asyncio", test)


def test_the_application_waits_until_each_piece_is_read() -> None:
    async def test() -> None:
        sent = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal sent
            await begin(send)
            for _ in range(3):
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
                sent += 1
            await send({"type": "http.response.body"})

        async with connect(app) as client, client.stream("GET", "/") as response:
            await turns()
            assert sent == 0
            assert await response.aread() == b"xxx"
            assert sent == 3

    run("asyncio", test)


def test_a_whole_response_is_the_end_of_the_request() -> None:
    async def test() -> None:
        seen: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await read(receive)
            await begin(send)
            await send({"type": "http.response.body", "body": b"all"})
            seen.append(await receive())
            await send({"type": "http.response.body", "body": b"too late"})

        async with connect(app) as client:
            assert (await client.get("/")).content == b"all"
            assert seen == [{"type": "http.disconnect"}]

    run("asyncio", test)


def test_after_a_switch_the_end_of_the_application_is_the_end_of_the_request() -> None:
    async def test() -> None:
        waiting: list[asyncio.Task[Any]] = []

        async def do(call: Call) -> None:
            await read(call.receive)
            assert await call.switch(Echo())
            waiting.append(asyncio.ensure_future(call.receive()))
            await call.protocol.lost
            await turns()
            assert not waiting[0].done()

        async with connect(Call(do).app) as client:
            async with client.stream("GET", "/", headers=OFFER):
                pass
            assert await waiting[0] == {"type": "http.disconnect"}

    run("asyncio", test)


def test_the_body_of_a_request_is_read_before_the_switch() -> None:
    async def test() -> None:
        pieces = [b"one", b"two", b"three"]

        async def content() -> AsyncIterator[bytes]:
            while pieces:
                yield pieces.pop()

        call = Call(lambda call: call.switch(Echo()))
        async with connect(call.app) as client:
            async with client.stream("POST", "/", headers=OFFER, content=content()) as response:
                assert response.status_code == 101
                assert response.extensions["http_version"] == b"HTTP/1.1"
                assert pieces == []
                # The application has returned, and with it its connection has ended.
                assert await response.extensions["network_stream"].read(100) == b""
            assert call.protocol.calls == ["made", "lost"]

    run("asyncio", test)


def test_a_101_has_no_body() -> None:
    async def test() -> None:
        call = Call(switching())
        async with connect(call.app) as client:
            response = await client.get("/", headers=OFFER)
            assert (response.status_code, response.content) == (101, b"")
            await until(lambda: call.protocol.lost.done())

    run("asyncio", test)


# The server stops, or the client is closed


def test_a_handshake_that_waits_is_told_that_the_server_stops() -> None:
    async def test() -> None:
        told: list[str] = []

        async def do(call: Call) -> None:
            on_shutdown = call.scope["extensions"]["http.upgrade"]["on_shutdown"]
            stops = asyncio.Event()
            on_shutdown(stops.set)
            await turns()
            assert not stops.is_set()
            told.append("waits")
            await stops.wait()
            on_shutdown(lambda: told.append("at once"))
            assert told == ["waits", "at once"]
            await switching()(call)

        async with connect(Call(do).app) as client:
            asking = asyncio.ensure_future(client.get("/", headers=OFFER))
            await until(lambda: told)
            client._transport.shutdown()  # type: ignore[attr-defined]
            assert (await asking).status_code == 101
        assert told == ["waits", "at once"]

    run("asyncio", test)


def test_a_protocol_is_told_that_the_server_stops_as_long_as_it_has_its_connection() -> None:
    async def test() -> None:
        calls = [Call(switching(kind)) for kind in (Telling, Telling, Echo)]
        waiting = list(calls)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await waiting.pop(0).app(scope, receive, send)

        async with connect(app) as client:
            async with client.stream("GET", "/", headers=OFFER):
                pass
            async with (
                client.stream("GET", "/", headers=OFFER) as telling,
                client.stream("GET", "/", headers=OFFER) as plain,
            ):
                client._transport.shutdown()  # type: ignore[attr-defined]
                assert await telling.extensions["network_stream"].read(100) == b"goodbye"
                for each in (telling, plain):
                    assert await each.extensions["network_stream"].read(100) == b""
        assert [call.protocol.calls for call in calls] == [
            ["made", "end", "lost"],
            ["made", "shutdown", "lost"],
            ["made", "lost"],
        ]

    run("asyncio", test)


def test_a_client_that_is_closed_cancels_what_runs() -> None:
    async def test() -> None:
        app = Ending(answers=True)
        opened = UpgradeTransport(lambda *arguments: app(*arguments))
        assert opened.state == {}
        response = await opened.handle_async_request(httpx.Request("GET", "http://test/"))
        assert response.status_code == 200
        await opened.aclose()
        assert app.seen == ["http.disconnect", "end"]

        app = Ending()
        asking = asyncio.ensure_future(opened.handle_async_request(httpx.Request("GET", "http://test/")))
        await app.began.wait()
        await opened.aclose()
        assert app.seen == ["http.disconnect", "end"]
        with pytest.raises(asyncio.CancelledError):
            await asking

        app = Ending(answers=True)
        async with UpgradeTransport(app) as entered:
            await entered.handle_async_request(httpx.Request("GET", "http://test/"))
        assert app.seen == ["http.disconnect", "end"]

    run("asyncio", test)
