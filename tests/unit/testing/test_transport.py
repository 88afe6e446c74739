"""`UpgradeTransport`: HTTP and upgrades in process. `tests/server/test_extension.py` holds it against uvicorn."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import httpcore
import httpx
import pytest
import trustme
from anyio.streams.tls import TLSStream
from fastapi import FastAPI, WebSocket
from httpx_ws import WebSocketUpgradeError, aconnect_ws
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from asgi_upgrade import StreamSettings, UpgradeMiddleware, UpgradeResponse, UpgradeStream
from asgi_upgrade.testing import UpgradeTransport
from tests.unit.waiting import still, turns

pytestmark = pytest.mark.anyio
OFFER = {"Connection": "Upgrade", "Upgrade": "tcp"}


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


def connect(app: Any, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=UpgradeTransport(app, **options), base_url="http://test")


def serve(endpoint: Any) -> Starlette:
    return Starlette(routes=[Route("/{rest:path}", endpoint, methods=["GET", "POST", "HEAD"])])


def speaking(handler: Any, **options: Any) -> Starlette:
    async def endpoint(request: Request) -> Response:
        return UpgradeResponse(handler, **options)

    return serve(endpoint)


def test_without_httpx_it_says_what_to_install() -> None:
    program = "import sys; sys.modules.update(httpx=None, httpx2=None); import asgi_upgrade.testing"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: asgi_upgrade.testing needs the package httpx: pip install 'asgi-upgrade[httpx]'" in run.stderr


async def test_a_request_of_another_library_is_no_request() -> None:
    with pytest.raises(TypeError, match=r"builtins\.object is no request of httpx"):
        await UpgradeTransport(speaking(echo)).handle_async_request(object())


async def test_a_scheme_that_middleware_has_made_wss_of_stays_secure() -> None:
    app = FastAPI()

    @app.websocket("/")
    async def tell(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.scope["scheme"])

    app.add_middleware(UpgradeMiddleware, allowed_origins=["*"])

    async def proxied(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "scheme": "wss"}, receive, send)

    websocket: Any
    async with connect(proxied) as client, aconnect_ws("http://test/", client) as websocket:
        assert await websocket.receive_text() == "wss"


async def write_for_ever(stream: Any) -> None:
    while True:
        await stream.write(bytes(100_000), timeout=0.1)


async def echo(stream: UpgradeStream) -> None:
    async for data in stream:
        await stream.send(data)


# Plain HTTP


async def test_the_scope_is_that_of_the_request() -> None:
    async def endpoint(request: Request) -> Response:
        scope = request.scope
        keys = ("type", "http_version", "method", "scheme", "path", "root_path", "client", "server")
        facts = {key: scope[key] for key in (*keys, "asgi")}
        facts.update(raw_path=scope["raw_path"].decode(), query=scope["query_string"].decode())
        facts["header"] = [value.decode() for name, value in scope["headers"] if name == b"x-twice"]
        return Response(json.dumps(facts))

    async with connect(serve(endpoint), root_path="/api", client=("10.0.0.1", 7)) as client:
        response = await client.get(
            "https://example.com:444/api/a%20b?c=d?e", headers=[("X-Twice", "1"), ("X-Twice", "2")]
        )
    assert response.json() == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": "/api/a b",
        "root_path": "/api",
        "client": ["10.0.0.1", 7],
        "server": ["example.com", 444],
        "raw_path": "/api/a%20b",
        "query": "c=d?e",
        "header": ["1", "2"],
    }


@pytest.mark.parametrize(
    ("method", "url", "headers", "facts"),
    [
        ("GET", "http://test/", OFFER, ["http", "/", True]),
        ("GET", "http://test/", {}, ["http", "/", False]),
        ("GET", "ws://test/a", OFFER, ["http", "/a", True]),
        ("GET", "wss://test/a", OFFER, ["https", "/a", True]),
        ("CONNECT", "http://test/", OFFER, ["http", "/", False]),
    ],
)
async def test_which_requests_have_the_extension(
    method: str, url: str, headers: dict[str, str], facts: list[Any]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        offer = "http.upgrade" in scope.get("extensions", {})
        assert "state" not in scope
        assert scope["root_path"] == ""
        await Response(json.dumps([scope["scheme"], scope["raw_path"].decode(), offer]))(scope, receive, send)

    async with connect(app) as client:
        assert (await client.request(method, url, headers=headers)).json() == facts


async def test_bodies_travel_in_pieces_both_ways() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})

    async def content() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two", b"three"):
            yield piece

    async with connect(app) as client, client.stream("POST", "/", content=content()) as response:
        assert [piece async for piece in response.aiter_raw()] == [b"ONE", b"TWO", b"THREE"]


async def test_a_response_without_end_can_be_left() -> None:
    disconnected = anyio.Event()

    async def endpoint(request: Request) -> Response:
        async def answer() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"tick"
                    await anyio.lowlevel.checkpoint()
            finally:
                disconnected.set()

        return StreamingResponse(answer())

    async with connect(serve(endpoint)) as client, client.stream("GET", "/") as response:
        async for piece in response.aiter_raw():
            assert piece == b"tick"
            break
    assert disconnected.is_set()


async def test_head_has_no_body() -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("text")

    async with connect(serve(endpoint)) as client:
        response = await client.head("/")
    assert (response.headers["content-length"], response.content) == ("4", b"")


async def test_background_tasks_have_run_when_the_response_is_there() -> None:
    ran: list[int] = []

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("text", background=BackgroundTask(ran.append, 1))

    async with connect(serve(endpoint)) as client:
        await client.get("/")
    assert ran == [1]


class Failing:
    """Fails before or behind the start of its response."""

    def __init__(self, *, started: bool) -> None:
        self.started = started

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise LookupError("of the application")


@pytest.mark.parametrize("started", [False, True])
async def test_an_exception_of_the_application_is_raised(started: bool) -> None:
    async with connect(Failing(started=started)) as client:
        with pytest.raises(LookupError, match="of the application"):
            await client.get("/")


@pytest.mark.parametrize(("started", "status", "body"), [(False, 500, b""), (True, 200, b"part")])
async def test_or_is_what_a_client_would_see_of_it(started: bool, status: int, body: bytes) -> None:
    async with connect(Failing(started=started), raise_app_exceptions=False) as client:
        response = await client.get("/")
    assert (response.status_code, response.content) == (status, body)


async def test_an_application_that_does_not_answer_is_at_fault() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    async with connect(app) as client:
        with pytest.raises(RuntimeError, match="without starting a response"):
            await client.get("/")


async def test_messages_in_the_wrong_order_are_at_fault() -> None:
    async def body_first(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": b"x"})

    async def start_twice(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            await send({"type": "http.response.start", "status": 200, "headers": []})

    for app, message in ((body_first, "not been started"), (start_twice, "started before")):
        async with connect(app) as client:
            with pytest.raises(RuntimeError, match=message):
                await client.get("/")


async def test_a_client_that_is_cancelled_cancels_the_application() -> None:
    cancelled = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async with connect(app) as client:
        with anyio.move_on_after(0.05):
            await client.get("/")
        assert cancelled.is_set()


# Upgrades


async def test_the_connection_is_in_the_responses_extensions() -> None:
    async with connect(speaking(echo)) as client, client.stream("GET", "/", headers=OFFER) as response:
        assert response.status_code == 101
        stream = response.extensions["network_stream"]
        await stream.write(b"hello")
        assert await stream.read(3) == b"hel"
        assert await stream.read(100) == b"lo"
        with pytest.raises(httpcore.ReadTimeout):
            await stream.read(100, timeout=0.02)


async def test_a_plain_request_of_the_same_client_has_none() -> None:
    async with connect(speaking(echo)) as client:
        assert "network_stream" not in (await client.get("/")).extensions


async def test_one_direction_can_end_before_the_other() -> None:
    async def count(stream: UpgradeStream) -> None:
        length = sum([len(data) async for data in stream])
        await turns()
        await stream.send(b"%d" % length)

    async with connect(speaking(count)) as client, client.stream("GET", "/", headers=OFFER) as response:
        stream = response.extensions["network_stream"]
        await stream.write(bytes(1000))
        stream.get_extra_info("socket").shutdown(socket.SHUT_WR)
        assert await stream.read(100) == b"1000"
        assert await stream.read(100) == b""


async def test_a_client_that_does_not_read_makes_the_handler_wait() -> None:
    sent = 0

    async def flood(stream: UpgradeStream) -> None:
        nonlocal sent
        while True:
            await stream.send(bytes(10_000))
            sent += 10_000

    async with connect(speaking(flood)) as client, client.stream("GET", "/", headers=OFFER) as response:
        assert 0 < await still(lambda: sent) < 4_000_000
        await response.extensions["network_stream"].read(65536)


async def test_a_handler_that_does_not_read_makes_the_client_wait() -> None:
    async def sit(stream: UpgradeStream) -> None:
        await anyio.sleep_forever()

    async with (
        connect(speaking(sit, streams=StreamSettings(total_timeout=0.5))) as client,
        client.stream("GET", "/", headers=OFFER) as response,
    ):
        stream = response.extensions["network_stream"]
        with pytest.raises(httpcore.WriteTimeout):
            await write_for_ever(stream)


async def test_writing_after_the_end_is_httpcores_error() -> None:
    async def leave(stream: UpgradeStream) -> None:
        pass

    async with connect(speaking(leave)) as client, client.stream("GET", "/", headers=OFFER) as response:
        stream = response.extensions["network_stream"]
        assert await stream.read(100) == b""
        await stream.aclose()
        with pytest.raises(httpcore.WriteError):
            await write_for_ever(stream)


async def test_closing_the_response_ends_the_handler() -> None:
    ended = anyio.Event()

    async def wait(stream: UpgradeStream) -> None:
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        ended.set()

    async with connect(speaking(wait)) as client:
        async with client.stream("GET", "/", headers=OFFER):
            await turns()
            assert not ended.is_set()
        assert ended.is_set()


def tls_contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server that is example.com, and of a client that trusts it."""
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("example.com").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    return server_context, client_context


async def test_tls_on_top() -> None:
    server_context, client_context = tls_contexts()

    async def speak_tls(stream: UpgradeStream) -> None:
        tls = await TLSStream.wrap(stream, server_side=True, ssl_context=server_context, standard_compatible=False)
        await tls.send((await tls.receive()).upper())
        if await tls.receive() == b"bye":
            return  # without TLS's closing message

    async with connect(speaking(speak_tls)) as client, client.stream("GET", "/", headers=OFFER) as response:
        plain = response.extensions["network_stream"]
        assert plain.get_extra_info("ssl_object") is None
        stream = await plain.start_tls(client_context, "example.com", timeout=30)
        assert stream.get_extra_info("ssl_object").version().startswith("TLS")
        await stream.write(b"hello")
        assert await stream.read(100) == b"HELLO"
        sock = plain.get_extra_info("socket")
        for each in (plain, stream):
            assert each.get_extra_info("socket") is sock
            assert each.get_extra_info("client_addr") == sock.getsockname()
            assert each.get_extra_info("server_addr") == sock.getpeername()
            assert each.get_extra_info("nonsense") is None
        await stream.write(b"bye")
        assert await stream.read(100) == b""


async def test_tls_without_a_name_and_its_end() -> None:
    server_context, client_context = tls_contexts()
    client_context.check_hostname = False

    async def speak_tls(stream: UpgradeStream) -> None:
        await TLSStream.wrap(stream, server_side=True, ssl_context=server_context, standard_compatible=False)
        await stream.send(b"in the clear")
        await _receive_all(stream)

    async with connect(speaking(speak_tls)) as client, client.stream("GET", "/", headers=OFFER) as response:
        stream = await response.extensions["network_stream"].start_tls(client_context, timeout=30)
        with pytest.raises(httpcore.ReadError):
            await stream.read(100)
        await stream.aclose()
        with pytest.raises(httpcore.WriteError):
            await write_for_ever(stream)


async def test_a_failed_tls_handshake_is_httpcores_error() -> None:
    async with connect(speaking(echo)) as client, client.stream("GET", "/", headers=OFFER) as response:
        with pytest.raises(httpcore.ConnectError):
            await response.extensions["network_stream"].start_tls(ssl.create_default_context(), "example.com", 5)


async def test_a_peer_that_leaves_during_the_tls_handshake_is_httpcores_error_too() -> None:
    async def leave(stream: UpgradeStream) -> None:
        await stream.receive()

    async with connect(speaking(leave)) as client, client.stream("GET", "/", headers=OFFER) as response:
        with pytest.raises(httpcore.ConnectError):
            await response.extensions["network_stream"].start_tls(ssl.create_default_context(), "example.com", 30)


async def test_a_certificate_for_another_name_fails_the_tls_handshake() -> None:
    server_context, client_context = tls_contexts()

    async def speak_tls(stream: UpgradeStream) -> None:
        with suppress(ssl.SSLError, anyio.BrokenResourceError):
            await TLSStream.wrap(stream, server_side=True, ssl_context=server_context)

    async with connect(speaking(speak_tls)) as client, client.stream("GET", "/", headers=OFFER) as response:
        with pytest.raises(httpcore.ConnectError):
            await response.extensions["network_stream"].start_tls(client_context, "other.example", timeout=30)


async def test_a_tls_handshake_that_nobody_answers_takes_its_time_only() -> None:
    async with connect(speaking(_receive_all)) as client, client.stream("GET", "/", headers=OFFER) as response:
        with pytest.raises(httpcore.ConnectTimeout):
            await response.extensions["network_stream"].start_tls(ssl.create_default_context(), "example.com", 0.05)


async def _receive_all(stream: UpgradeStream) -> None:
    async for _ in stream:
        pass


# WebSockets


def websocket_app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(UpgradeMiddleware, subprotocols=["v1"])

    @app.websocket("/ws/{name}")
    async def endpoint(websocket: WebSocket, name: str) -> None:
        await websocket.accept(headers=[(b"x-name", name.encode())])
        async for text in websocket.iter_text():
            await websocket.send_text(f"{name}: {text}")

    return app


async def test_httpx_ws_works_with_it() -> None:
    async with (
        connect(websocket_app()) as client,
        aconnect_ws("ws://test/ws/ada", client, subprotocols=["v0", "v1"]) as websocket,  # type: ignore[var-annotated]
    ):
        assert websocket.subprotocol == "v1"
        assert websocket.response is not None
        assert websocket.response.headers["x-name"] == "ada"
        for text in ("hello", "x" * 10_000):
            await websocket.send_text(text)
            assert await websocket.receive_text() == f"ada: {text}"


async def test_a_refused_websocket_is_a_response() -> None:
    async with connect(websocket_app()) as client:
        with pytest.raises(WebSocketUpgradeError) as caught:
            async with aconnect_ws("ws://test/ws/ada", client, headers={"Origin": "https://elsewhere.example"}):
                raise AssertionError("not to be opened")
        assert caught.value.response.status_code == 403


async def test_a_websocket_message_where_nothing_was_offered_is_an_error_of_the_application() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async with connect(app) as client:
        with pytest.raises(RuntimeError, match="the request is no WebSocket handshake"):
            await client.get("/")
