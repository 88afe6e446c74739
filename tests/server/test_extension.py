"""The extension `http.upgrade`, sentence by sentence of `docs/reference/extension.md`, in both forms."""

from __future__ import annotations

import importlib.util
import secrets
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from asgi_upgrade.testing import UpgradeTransport
from tests.server.conftest import PARSERS
from tests.server.support.process import APPS, uvicorn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.server.support.process import Server

    Client = httpx.AsyncClient

pytestmark = pytest.mark.anyio
OFFER = {"Connection": "Upgrade", "Upgrade": "echo"}
SPECIFICATION = Path(__file__).parents[2] / "docs" / "reference" / "extension.md"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def app() -> Any:
    """The application that uvicorn finds in its own directory."""
    spec = importlib.util.spec_from_file_location("raw_extension", APPS / "raw_extension.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


@pytest.fixture(params=[*PARSERS, "in process"])
async def client(request: pytest.FixtureRequest, shared: Callable[..., Server], app: Any) -> AsyncIterator[Client]:
    """HTTPX in front of the application, on each of uvicorn's parsers and without a server."""
    if request.param == "in process":
        transport: httpx.AsyncBaseTransport = UpgradeTransport(app, raise_app_exceptions=False)
        base = "http://test"
    else:
        protocol = {
            "h11": "H11UpgradeProtocol",
            "httptools": "HttpToolsUpgradeProtocol",
            "zttp": "ZttpUpgradeProtocol",
        }[request.param]
        server = shared("raw_extension:app", http=f"asgi_upgrade.servers.uvicorn:{protocol}")
        transport, base = httpx.AsyncHTTPTransport(), server.url("http", "")
    async with httpx.AsyncClient(transport=transport, base_url=base, timeout=60) as client:
        yield client


@asynccontextmanager
async def upgraded(client: Client, target: str, method: str = "GET", **options: Any) -> AsyncIterator[Any]:
    """The response and the connection of a request that gets a 101."""
    async with client.stream(method, target, headers={**OFFER, **options.pop("headers", {})}, **options) as response:
        assert response.status_code == 101, await response.aread()
        yield response, response.extensions["network_stream"]


def finish(stream: Any) -> None:
    stream.get_extra_info("socket").shutdown(socket.SHUT_WR)


async def read_end(stream: Any) -> bytes:
    data = b""
    while more := await stream.read(65536):
        data += more
    return data


async def read_exactly(stream: Any, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await stream.read(size - len(data))
        assert more, data
        data += more
    return data


async def result(client: Client, key: str) -> Any:
    return (await client.get("/results", params={"key": key})).json()


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


# Connection scope


@pytest.mark.parametrize(
    ("method", "headers", "version"),
    [
        ("GET", OFFER, "1.2"),
        ("POST", {"Connection": "keep-alive, UPGRADE", "Upgrade": "anything/2, echo"}, "1.2"),
        ("OPTIONS", OFFER, "1.2"),
        ("GET", {"Connection": "Upgrade"}, None),
        ("GET", {"Connection": "keep-alive", "Upgrade": "echo"}, None),
        ("GET", {}, None),
    ],
)
async def test_the_entry_is_there_for_requests_that_make_an_offer(
    client: Client, method: str, headers: dict[str, str], version: str | None
) -> None:
    described = (await client.request(method, "/describe", headers=headers)).json()
    assert described == {"version": version, "survives copying": version is not None}


# connect


async def test_connect_refuses_fields_that_would_break_the_response(client: Client) -> None:
    response = await client.get("/malformed", headers=OFFER)
    assert response.json() == {"errors": 4, "pending": True}


async def test_connect_again_replaces_what_was_announced(client: Client, key: str) -> None:
    async with upgraded(client, f"/announced-twice?key={key}") as (response, stream):
        assert response.headers["upgrade"] == "echo"
        await stream.write(b"to the second")
        assert await read_exactly(stream, 13) == b"to the second"
        assert await result(client, key) is False


# The 101


async def test_the_101_has_the_fields_that_it_must_have_and_none_of_those_that_it_must_not(client: Client) -> None:
    async with upgraded(client, "/fields") as (response, _):
        headers = response.headers
        assert headers.get_list("connection") == ["Upgrade"]
        assert headers.get_list("upgrade") == ["echo"]
        assert headers.get_list("x-essential") == ["mine"]
        assert headers.get_list("x-added") == ["by middleware"]
        assert headers.get_list("set-cookie") == ["a=1", "b=2"]
        assert not set(headers) - {"connection", "upgrade", "x-essential", "x-added", "set-cookie", "date", "server"}


async def test_messages_behind_the_101_are_discarded(client: Client) -> None:
    async with upgraded(client, "/fields") as (_, stream):
        await stream.write(b"first")
        assert await read_exactly(stream, 5) == b"first"
        finish(stream)
        assert await read_end(stream) == b""


# Order of events


async def test_the_protocol_gets_what_asyncio_documents(client: Client, key: str) -> None:
    async with upgraded(client, f"/echo?key={key}") as (_, stream):
        await stream.write(b"data")
        assert await read_exactly(stream, 4) == b"data"
        finish(stream)
        # The other direction stays open as long as the application runs.
        assert await read_end(stream) == b"the end"
    assert await result(client, key) == {
        "switched": True,
        "calls": ["connection_made", "data_received", "eof_received"],
    }


async def test_the_protocol_may_be_a_buffered_one(client: Client) -> None:
    async with upgraded(client, "/buffered") as (_, stream):
        await stream.write(b"more than fits")
        assert await read_exactly(stream, 14) == b"more than fits"
        finish(stream)
        assert await read_end(stream) == b""


async def test_the_rest_of_the_body_is_read_and_discarded(client: Client, key: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
            yield b"x" * 10_000

    async with upgraded(client, f"/read-first?key={key}", "POST", content=body()) as (_, stream):
        await stream.write(b"not the body")
        assert await read_exactly(stream, 12) == b"not the body"
    assert (await result(client, key)).startswith("first")


async def test_another_response_leaves_the_connection_as_it_was(client: Client, key: str) -> None:
    for _ in range(2):
        response = await client.get(f"/refuse?key={key}", headers=OFFER)
        assert (response.status_code, response.json()) == (403, "refused")
    assert await result(client, key) == [False, False]


# Receive


async def test_receive_waits_until_the_end_in_as_many_tasks_as_like(client: Client, key: str) -> None:
    async with upgraded(client, f"/wait-in-receive?key={key}") as (_, stream):
        assert await read_exactly(stream, 13) == b"still waiting"
        finish(stream)
        assert await read_end(stream) == b""
    assert await result(client, key) == {"early": [False, False], "late": ["http.disconnect"] * 2}


# The end


async def test_an_application_that_raises_closes_the_connection(client: Client) -> None:
    async with upgraded(client, "/fail") as (_, stream):
        assert await read_end(stream) == b"before the error"
    assert (await client.get("/describe")).status_code == 200


# Errors


@pytest.mark.parametrize("target", ["/unannounced", "/withdrawn"])
async def test_a_101_that_nobody_announced_becomes_a_500(client: Client, target: str) -> None:
    response = await client.get(target, headers=OFFER)
    assert response.status_code == 500
    assert "could not be switched" in response.text


async def test_an_application_that_returns_without_a_response_withdraws(client: Client, key: str) -> None:
    response = await client.get(f"/return-without-response?key={key}", headers=OFFER)
    assert response.status_code == 500
    assert await result(client, key) is False


async def test_a_transport_that_is_closing_is_not_switched(
    shared: Callable[..., Server], key: str, tmp_path: Path
) -> None:
    """It has been found to be reset, and who served HTTP has not been told yet."""
    # h11 does not read now; uvloop tells both in the same turn.
    server = shared("raw_extension:app", http="asgi_upgrade.servers.uvicorn:HttpToolsUpgradeProtocol", loop="asyncio")
    left = tmp_path / "left"
    start = len(server.log.lines)
    with server.peer() as peer:
        peer.send(peer.request("GET", f"/busy?key={key}&until={left}", OFFER))
        server.log.search("^busy$", start=start)
        peer.reset()
    left.touch()
    async with httpx.AsyncClient(base_url=server.url("http", ""), timeout=60) as client:
        assert await result(client, key) == {"switched": False, "calls": []}
    assert not any("101" in line for line in server.log.lines[start:])


# The specification's own example


async def test_the_example_echoes_and_refuses() -> None:
    example = SPECIFICATION.read_text(encoding="utf-8").split("## Example")[1].split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(example, SPECIFICATION, "exec"), names)
    transport = UpgradeTransport(names["app"])
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        response = await client.get("/")
        assert (response.status_code, response.headers["upgrade"]) == (426, "echo")
        async with upgraded(client, "/") as (_, stream):
            await stream.write(b"hello")
            assert await read_exactly(stream, 5) == b"hello"
            transport.shutdown()
            assert await read_end(stream) == b""


# Shutdown


async def test_the_protocol_is_told_that_the_server_stops(app: Any) -> None:
    transport = UpgradeTransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        upgraded(client, "/until-shutdown") as (_, stream),
    ):
        assert await read_exactly(stream, 5) == b"ready"
        transport.shutdown()
        assert await read_end(stream) == b"goodbye"


async def test_the_protocol_is_told_that_uvicorn_stops() -> None:
    with uvicorn("raw_extension:app", http="asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol") as server:
        async with (
            httpx.AsyncClient(base_url=server.url("http", "")) as client,
            upgraded(client, "/until-shutdown") as (_, stream),
        ):
            assert await read_exactly(stream, 5) == b"ready"
            server.terminate()
            assert await read_end(stream) == b"goodbye"
        server.wait()
