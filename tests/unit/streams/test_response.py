"""`UpgradeResponse`: what it answers to which request, and how its handler is run."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Container
from contextlib import asynccontextmanager
from typing import Any

import anyio
import fastapi
import httpx
import pytest
from anyio.streams.buffered import BufferedByteStream
from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from asgi_upgrade import StreamSettings, UpgradeMiddleware, UpgradeResponse, UpgradeStream
from asgi_upgrade.switching import response as switching_response
from asgi_upgrade.testing import UpgradeTransport
from tests.unit.waiting import turns

pytestmark = pytest.mark.anyio
OFFER = {"Connection": "Upgrade", "Upgrade": "example/1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def echo(stream: UpgradeStream) -> None:
    async for data in stream:
        await stream.send(data)


def make_app(*middleware: Middleware, handler: Any = echo, **options: Any) -> Starlette:
    async def endpoint(request: Request) -> Response:
        return UpgradeResponse(handler, **{"protocol": "example/1", **options})

    return Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])], middleware=middleware)


def connect(app: Any, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=UpgradeTransport(app, **options), base_url="http://test")


@asynccontextmanager
async def upgraded(app: Any, headers: dict[str, str] = OFFER) -> AsyncIterator[tuple[httpx.Response, Any]]:
    async with connect(app) as client, client.stream("GET", "/", headers=headers) as response:
        assert response.status_code == 101
        yield response, response.extensions["network_stream"]


async def call(app: Any, scope: dict[str, Any], forbidden: Container[bytes] = ()) -> list[Any]:
    """The messages with which `app` answers, without a server, or on one that refuses the `forbidden` fields."""
    messages = []

    async def send(message: Any) -> None:
        for name, _ in message.get("headers", ()):
            if name in forbidden:
                raise ValueError(f"{name!r} is the server's own business")
        messages.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    await app(scope, receive, send)
    return messages


def make_scope(http_version: str, upgrade: bytes | None = b"example/1") -> dict[str, Any]:
    headers = [] if upgrade is None else [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
    return {
        "type": "http",
        "http_version": http_version,
        "method": "GET",
        "path": "/a b",
        "query_string": b"c=d",
        "headers": headers,
    }


# Answers


@pytest.mark.parametrize("upgrade", ["example/1", "EXAMPLE/1", "other, example/1"])
async def test_a_request_that_offers_the_protocol_is_switched_to_it(upgrade: str) -> None:
    async with upgraded(make_app(), {**OFFER, "Upgrade": upgrade}) as (response, stream):
        assert response.headers["upgrade"] == upgrade.rpartition(" ")[2]
        assert response.headers["connection"] == "Upgrade"
        await stream.write(b"hello")
        assert await stream.read(100) == b"hello"


@pytest.mark.parametrize("headers", [{}, {**OFFER, "Upgrade": "example"}, {**OFFER, "Upgrade": "example/2"}])
async def test_any_other_request_gets_426(headers: dict[str, str]) -> None:
    async with connect(make_app()) as client:
        response = await client.get("/", headers=headers)
    assert response.status_code == 426
    assert response.headers["upgrade"] == "example/1"
    assert response.headers["connection"] == "Upgrade"
    assert response.text == "This resource speaks example/1: ask for it with Upgrade: example/1 in HTTP/1.1.\n"


@pytest.mark.parametrize("headers", [{}, {**OFFER, "Upgrade": "other"}])
async def test_or_the_fallback(headers: dict[str, str]) -> None:
    async with connect(make_app(fallback=PlainTextResponse("instead", 299))) as client:
        response = await client.get("/", headers=headers)
    assert (response.status_code, response.text) == (299, "instead")


async def test_the_fallback_may_be_an_application_that_reads_the_body() -> None:
    async def fallback(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(await Request(scope, receive).body())(scope, receive, send)

    async with connect(make_app(fallback=fallback)) as client:
        assert (await client.post("/", content=b"the body")).text == "the body"


async def test_http_2_and_3_have_no_upgrade_field() -> None:
    for version in ("2", "3"):
        start, body = await call(UpgradeResponse(echo, "example/1"), make_scope(version))
        assert start["status"] == 426
        assert {name for name, _ in start["headers"]} == {b"content-length", b"content-type"}
        assert b"HTTP/1.1" in body["body"]


@pytest.mark.parametrize(
    "app",
    [UpgradeResponse(echo, "example/1"), UpgradeMiddleware(echo, websocket_only=["/{path:path}"])],  # type: ignore[arg-type]
)
async def test_a_server_that_keeps_the_fields_of_a_426_to_itself_sends_it_without(app: Any) -> None:
    start, body = await call(app, make_scope("1.1", None), {b"upgrade", b"connection"})
    assert start["status"] == 426
    assert {name for name, _ in start["headers"]} == {b"content-length", b"content-type"}
    assert b"This" in body["body"]
    with pytest.raises(ValueError, match="content-type"):  # that is another matter
        await call(app, make_scope("1.1", None), {b"content-type"})


async def test_without_the_extension_it_is_501_and_the_log_says_why_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching_response, "_reported", set())
    for _ in range(2):
        start, body = await call(UpgradeResponse(echo, "example/1"), make_scope("1.1"))
        assert start["status"] == 501
        assert body["body"] == b"This server cannot switch the connection to example/1.\n"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("GET /a%20b?c=d HTTP/1.1 offers example/1, but this server does not offer")


async def test_an_extension_of_another_major_version_is_none() -> None:
    scope = {**make_scope("1.1"), "extensions": {"http.upgrade": {"version": "2.0", "connect": None}}}
    start, _ = await call(UpgradeResponse(echo, "example/1"), scope)
    assert start["status"] == 501


async def test_fields_of_the_response_reach_the_client() -> None:
    async with upgraded(make_app(headers={"X-Mine": "yes", "Content-Type": "application/x"})) as (response, _):
        assert response.headers["x-mine"] == "yes"
        assert response.headers["content-type"] == "application/x"
        assert not {"content-length", "content-encoding"} & set(response.headers)


async def test_the_101_gets_out_of_middleware_that_compresses_or_wraps() -> None:
    async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-wrapped"] = "yes"
        return response

    wrapping = Middleware(BaseHTTPMiddleware, dispatch=dispatch)
    app = make_app(Middleware(GZipMiddleware, minimum_size=0), wrapping, wrapping)
    async with upgraded(app, {**OFFER, "Accept-Encoding": "gzip"}) as (response, stream):
        assert response.headers["x-wrapped"] == "yes"
        await stream.write(b"hello")
        assert await stream.read(100) == b"hello"


async def test_middleware_that_waits_for_the_whole_body_makes_it_fail_in_bounded_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Response:
        response = await call_next(request)
        body = b"".join([piece async for piece in response.body_iterator])
        return Response(body, response.status_code, dict(response.headers))

    async def never(stream: UpgradeStream) -> None:
        raise AssertionError("not to be run")

    app = make_app(
        Middleware(BaseHTTPMiddleware, dispatch=dispatch), handler=never, streams=StreamSettings(open_timeout=0.1)
    )
    async with connect(app) as client:
        assert (await client.get("/", headers=OFFER)).status_code == 500
    assert "the 101 did not reach the server in 0.1 seconds" in caplog.text


async def test_middleware_that_replaces_the_101_has_its_way() -> None:
    async def dispatch(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        assert (await call_next(request)).status_code == 101
        return PlainTextResponse("no", 403)

    async def never(stream: UpgradeStream) -> None:
        raise AssertionError("not to be run")

    async with connect(make_app(Middleware(BaseHTTPMiddleware, dispatch=dispatch), handler=never)) as client:
        response = await client.get("/", headers=OFFER)
        assert (response.status_code, response.text) == (403, "no")


async def test_the_endpoint_has_the_requests_body() -> None:
    async def endpoint(request: Request) -> Response:
        body = await request.body()

        async def handler(stream: UpgradeStream) -> None:
            await stream.send(body[::-1])

        return UpgradeResponse(handler)

    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
    async with connect(app) as client, client.stream("POST", "/", headers=headers, content=b"abc") as response:
        assert await response.extensions["network_stream"].read(10) == b"cba"


async def test_the_background_task_runs_when_the_connection_is_closed_or_another_answer_sent() -> None:
    ran: list[str] = []
    app = make_app(background=BackgroundTask(ran.append, "ran"))
    async with upgraded(app) as (_, stream):
        await stream.write(b"hello")
        assert await stream.read(100) == b"hello"
        assert ran == []
    assert ran == ["ran"]
    async with connect(app) as client:
        assert (await client.get("/")).status_code == 426
    assert ran == ["ran", "ran"]


async def test_fastapis_background_tasks_run_at_the_end() -> None:
    ran = anyio.Event()
    app = FastAPI()

    @app.get("/")
    async def endpoint(tasks: BackgroundTasks) -> UpgradeResponse:
        tasks.add_task(ran.set)
        return UpgradeResponse(echo, "example/1")

    async with upgraded(app) as (_, stream):
        await stream.write(b"hello")
        assert await stream.read(100) == b"hello"
        assert not ran.is_set()
    assert ran.is_set()


async def test_fastapis_dependencies_with_yield_end_when_the_handler_has_returned() -> None:
    events: list[str] = []

    async def resource() -> AsyncIterator[None]:
        yield
        events.append("dependency")

    async def handler(stream: UpgradeStream) -> None:
        await turns()
        events.append("handler")

    app = FastAPI()

    @app.get("/", dependencies=[Depends(resource)])
    async def endpoint() -> UpgradeResponse:
        return UpgradeResponse(handler, "example/1")

    async with upgraded(app) as (_, stream):
        assert await stream.read(100) == b""
    old = tuple(int(part) for part in fastapi.__version__.split(".")[:2]) < (0, 118)
    assert events == (["dependency", "handler"] if old else ["handler", "dependency"])


# Handlers


async def test_an_error_is_logged_once_with_the_request_line(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(stream: UpgradeStream) -> None:
        await stream.send(b"last words")
        raise ValueError("so it goes")

    async with upgraded(make_app(handler=fail)) as (_, stream):
        assert await stream.read(100) == b"last words"
        assert await stream.read(100) == b""
    (record,) = caplog.records
    assert record.getMessage() == "GET / HTTP/1.1: the handler of example/1 raised an exception."
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


async def _receive_for_ever(stream: UpgradeStream) -> None:
    while True:
        await stream.receive()


async def _receive_in_a_task_group(stream: UpgradeStream) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_receive_for_ever, stream)


async def _read_a_line(stream: UpgradeStream) -> None:
    reader, _ = stream.asyncio_streams()
    await reader.readuntil(b"\n")


async def _receive_a_line(stream: UpgradeStream) -> None:
    await BufferedByteStream(stream).receive_until(b"\n", 100)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("handler", [_receive_for_ever, _receive_in_a_task_group, _read_a_line, _receive_a_line])
async def test_the_end_of_the_clients_input_is_no_error(
    handler: Any, half: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "asgi_upgrade"):
        async with upgraded(make_app(handler=handler)) as (_, stream):
            await stream.write(b"half a li")
            if half:
                stream.get_extra_info("socket").shutdown(socket.SHUT_WR)
                assert await stream.read(100) == b""
    levels = [record.levelname for record in caplog.records if record.name == "asgi_upgrade"]
    assert levels == ["DEBUG"]


@pytest.mark.parametrize("error", [anyio.EndOfStream, anyio.BrokenResourceError, ConnectionResetError, OSError])
@pytest.mark.parametrize("ended", [False, True])
async def test_the_end_of_something_else_is_an_error(
    ended: bool, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the client has ended its input, which is nothing unusual."""

    async def read_elsewhere(stream: UpgradeStream) -> None:
        if ended:
            async for _ in stream:
                pass
        raise error

    async with upgraded(make_app(handler=read_elsewhere)) as (_, stream):
        stream.get_extra_info("socket").shutdown(socket.SHUT_WR)
        assert await stream.read(100) == b""
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_an_error_that_the_clients_end_led_to_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def misunderstand(stream: UpgradeStream) -> None:
        try:
            await stream.receive()
        except anyio.EndOfStream as end:
            raise RuntimeError("nothing came") from end

    async with upgraded(make_app(handler=misunderstand)) as (_, stream):
        stream.get_extra_info("socket").shutdown(socket.SHUT_WR)
        assert await stream.read(100) == b""
    assert [record.levelname for record in caplog.records] == ["ERROR"]


async def test_a_handler_that_cannot_be_awaited_is_an_error_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    async with upgraded(make_app(handler=lambda stream: None)) as (_, stream):
        assert await stream.read(100) == b""
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"idle_timeout": 0.1}, "no byte for 0.1 seconds"), ({"total_timeout": 0.1}, "open for 0.1 seconds")],
)
async def test_a_limit_cancels_the_handler(
    limits: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    cleaned_up = anyio.Event()

    async def sit(stream: UpgradeStream) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await stream.send(b"in the end")
            cleaned_up.set()

    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        async with upgraded(make_app(handler=sit, streams=StreamSettings(**limits))) as (_, stream):
            assert await stream.read(100) == b"in the end"
            assert await stream.read(100) == b""
    assert cleaned_up.is_set()
    assert f"GET / HTTP/1.1: {reason}, the example/1 connection is closed." in caplog.text


async def _pour(stream: UpgradeStream) -> None:
    await stream.send(bytes(8_000_000))
    await stream.send(b"the end")


async def test_a_client_that_takes_its_time_is_not_idle() -> None:
    async with upgraded(make_app(handler=_pour, streams=StreamSettings(idle_timeout=1.0))) as (_, stream):
        for _ in range(4):
            await anyio.sleep(0.3)  # all in all longer than the timeout
            left = 2_000_000
            while left:
                left -= len(await stream.read(left))
        assert await stream.read(100) == b"the end"


async def test_a_client_that_takes_nothing_is_idle(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        async with upgraded(make_app(handler=_pour, streams=StreamSettings(idle_timeout=0.2, close_timeout=0.2))) as (
            _,
            stream,
        ):
            await anyio.sleep(1)
            received = 0
            while data := await stream.read(1_000_000):
                received += len(data)
            assert received < 8_000_000
    assert "no byte for 0.2 seconds" in caplog.text


async def test_shutdown_is_told_and_then_enforced(caplog: pytest.LogCaptureFixture) -> None:
    async def sit(stream: UpgradeStream) -> None:
        assert not stream.shutting_down
        await stream.send(b"ready")
        await stream.wait_shutdown()
        assert stream.shutting_down
        await stream.send(b"told")
        await anyio.sleep_forever()

    transport = UpgradeTransport(make_app(handler=sit, streams=StreamSettings(shutdown_timeout=0.2)))
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
            client.stream("GET", "/", headers=OFFER) as response,
        ):
            stream = response.extensions["network_stream"]
            assert await stream.read(5) == b"ready"
            start = anyio.current_time()
            transport.shutdown()
            transport.shutdown()
            assert await stream.read(100) == b"told"
            assert await stream.read(100) == b""
            assert 0.15 < anyio.current_time() - start < 30
    assert "still open 0.2 seconds after the server began to stop" in caplog.text


async def test_a_handler_may_serve_and_take_leave_when_the_server_stops() -> None:
    async def polite(stream: UpgradeStream) -> None:
        async with anyio.create_task_group() as tasks:

            async def stop() -> None:
                await stream.wait_shutdown()
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop)
            await echo(stream)
            tasks.cancel_scope.cancel()
        if stream.shutting_down:
            await stream.send(b"come back soon")

    for stopping in (True, False):
        transport = UpgradeTransport(make_app(handler=polite))
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://test") as client,
            client.stream("GET", "/", headers=OFFER) as response,
        ):
            stream = response.extensions["network_stream"]
            await stream.write(b"hello")
            assert await stream.read(100) == b"hello"
            if stopping:
                transport.shutdown()
            else:
                stream.get_extra_info("socket").shutdown(socket.SHUT_WR)
            assert await stream.read(100) == (b"come back soon" if stopping else b"")


async def test_a_cancelled_application_cuts_the_connection() -> None:
    started = anyio.Event()

    async def sit(stream: UpgradeStream) -> None:
        started.set()
        await anyio.sleep_forever()

    transport = UpgradeTransport(make_app(handler=sit))
    client = httpx.AsyncClient(transport=transport, base_url="http://test")
    request = client.build_request("GET", "/", headers=OFFER)
    response = await client.send(request, stream=True)
    await started.wait()
    await transport.aclose()
    assert await response.extensions["network_stream"].read(100) == b""
    await response.aclose()
    await client.aclose()


# Arguments


def print_it(stream: UpgradeStream) -> None:
    print(stream)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"handler": None}, "handler"),
        ({"handler": print_it}, "handler"),
        ({"protocol": "websocket"}, "WebSocket endpoint"),
        ({"protocol": "H2C"}, "argument h2c"),
        ({"protocol": "two words"}, "protocol"),
        ({"protocol": ""}, "protocol"),
        ({"fallback": "text"}, "fallback"),
        ({"status_code": 200}, "status_code must be 101, not 200"),
        ({"headers": {"Upgrade": "x"}}, "upgrade"),
        ({"headers": {"connection": "x"}}, "connection"),
        ({"headers": {"Content-Length": "0"}}, "content-length"),
        ({"headers": {"etag": '"x"'}}, "etag"),
        ({"headers": {"Content-Encoding": "gzip"}}, "content-encoding"),
        ({"headers": {"Sec-WebSocket-Protocol": "x"}}, "sec-websocket-protocol"),
        ({"headers": {"TE": "trailers"}}, "te"),
        ({"headers": {"x": "a\r\nb: c"}}, "x"),
        ({"headers": {"x y": "z"}}, "x y"),
        ({"streams": None}, "streams must be StreamSettings, not None"),
        ({"streams": {"idle_timeout": 1}}, "streams must be StreamSettings"),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        UpgradeResponse(**{"handler": echo, **arguments})


def test_what_middleware_reads_of_it_is_that_of_a_101() -> None:
    response = UpgradeResponse(echo)
    assert (response.status_code, response.body, response.protocol) == (101, b"", "tcp")


def test_a_field_that_was_added_later_is_checked_too() -> None:
    response = UpgradeResponse(echo, "example/1")
    response.raw_headers.append((b"x", b"a\r\nb: c"))
    scope = {**make_scope("1.1"), "extensions": {"http.upgrade": {"version": "1.0", "connect": None}}}
    with pytest.raises(ValueError, match="x"):
        asyncio.run(call(response, scope))


def test_a_field_that_a_101_cannot_have_is_not_dropped_silently_when_it_is_added_later() -> None:
    response = UpgradeResponse(echo, "example/1", {"X-Mine": "yes"})
    response.headers["etag"] = '"x"'
    scope = {**make_scope("1.1"), "extensions": {"http.upgrade": {"version": "1.0", "connect": None}}}
    with pytest.raises(ValueError, match="etag"):
        asyncio.run(call(response, scope))
