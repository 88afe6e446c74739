"""python-socketio, with its own clients: it may be the application, or stand around FastAPI, or be mounted in it."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING

import pytest
import socketio

from tests.middlewares.apps.key import KEY
from tests.middlewares.conftest import ROOT
from tests.middlewares.conversation import converse, get, refuse, surprises
from tests.server.support.process import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.server.support.process import Server

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# The second begins with polling, and then upgrades.
TRANSPORTS = [["websocket"], ["polling", "websocket"]]
UNATTACHED = {"UNATTACHED": "1"}


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """The client leaves sockets to the garbage collector, which warns of each."""
    yield
    gc.collect()


def talk(server: Server, transports: list[str], headers: Mapping[str, str] | None = None) -> None:
    """Connect, call, and end over a WebSocket."""
    with socketio.SimpleClient() as client:
        client.connect(server.url("http", ""), headers=dict(headers or {}), transports=transports)
        assert client.call("echo", "hello", timeout=30) == "hello to you"
        assert client.transport == "websocket"
        assert client.call("echo", "again", timeout=30) == "again to you"


def talk_asynchronously(server: Server, headers: Mapping[str, str]) -> None:
    async def run() -> None:
        client = socketio.AsyncClient()
        await client.connect(server.url("http", ""), headers=dict(headers), transports=["websocket"])
        answers = await asyncio.gather(*(client.call("echo", f"{number}", timeout=30) for number in range(20)))
        assert answers == [f"{number} to you" for number in range(20)]
        await client.disconnect()

    asyncio.run(run())


def fail(server: Server, transports: list[str]) -> None:
    with (
        socketio.SimpleClient() as client,
        pytest.raises(socketio.exceptions.ConnectionError),
    ):
        client.connect(server.url("http", ""), transports=transports, wait_timeout=2)


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("environment", [{}, UNATTACHED], ids=["converted", "delivered"])
def test_it_works_alone(start: Callable[..., Server], transports: list[str], environment: dict[str, str]) -> None:
    server = start("socket_io:alone", **environment)
    talk(server, transports)
    talk_asynchronously(server, {})
    assert surprises(server) == []


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
def test_a_guard_around_it_sees_all_of_its_requests(start: Callable[..., Server], transports: list[str]) -> None:
    server = start("socket_io:guarded_alone")
    talk(server, transports, KEY)
    fail(server, transports)
    assert surprises(server) == []


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("environment", [{}, UNATTACHED], ids=["converted", "delivered"])
def test_it_works_around_fastapi(
    start: Callable[..., Server], transports: list[str], environment: dict[str, str]
) -> None:
    """It is not guarded there, as its pages are not; it answers our handshakes in WebSocket messages."""
    server = start("socket_io:around", **environment)
    talk(server, transports)
    talk_asynchronously(server, {})
    converse(server, headers=KEY)
    assert refuse(server).status == 401
    assert get(server, "/page").status == 401
    assert surprises(server) == []


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("environment", [{}, UNATTACHED], ids=["converted", "delivered"])
def test_it_works_around_fastapi_inside_handshake_middleware(
    start: Callable[..., Server], transports: list[str], environment: dict[str, str]
) -> None:
    server = start("socket_io:around_with_handshakes", **environment)
    talk(server, transports)
    converse(server, headers=KEY)
    assert refuse(server).status == 401
    assert surprises(server) == []


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
@pytest.mark.parametrize("environment", [{}, UNATTACHED], ids=["converted", "delivered"])
def test_it_is_guarded_where_it_is_mounted(
    start: Callable[..., Server], transports: list[str], environment: dict[str, str]
) -> None:
    server = start("socket_io:mounted", **environment)
    talk(server, transports, KEY)
    talk_asynchronously(server, KEY)
    fail(server, transports)
    converse(server, headers=KEY)
    assert surprises(server) == []


@pytest.mark.parametrize("app", ["alone", "around", "mounted"])
def test_ctrl_c_stops_the_server_while_a_client_is_connected(app: str) -> None:
    with uvicorn(f"tests.middlewares.apps.socket_io:{app}", "--app-dir", str(ROOT)) as server:
        client = socketio.Client(reconnection=False)
        client.connect(server.url("http", ""), headers=KEY, transports=["websocket"])
        assert client.call("echo", "hello", timeout=30) == "hello to you"
        server.process.send_signal(signal.SIGINT)
        server.wait()
        client.disconnect()
    assert not [line for line in server.log.lines if "Traceback" in line]
