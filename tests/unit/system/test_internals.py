"""The comparison of what is used of other packages' insides with what is there."""

from __future__ import annotations

import ast
import asyncio
import functools
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import hypercorn.config
import hypercorn.protocol
import hypercorn.protocol.h11
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.lifespan import Lifespan
from uvicorn.lifespan.on import LifespanOn

import asgi_upgrade
from asgi_upgrade import UpgradeMiddleware
from asgi_upgrade.guard import starlette_internals
from asgi_upgrade.guard.starlette_internals import STARLETTE
from asgi_upgrade.servers.hypercorn.internals import HYPERCORN
from asgi_upgrade.servers.hypercorn.protocol import extended as extended_configs
from asgi_upgrade.servers.uvicorn.internals import UVICORN
from asgi_upgrade.servers.uvicorn.upgrading_protocol import UpgradingProtocol
from asgi_upgrade.system import internals
from asgi_upgrade.system.internals import Internals, names_of
from asgi_upgrade.testing import UpgradeTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(asgi_upgrade.__file__).parent
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def declared(known: Internals) -> list[tuple[str, str]]:
    return [(owner, name) for owner, names in known.needed.items() for name in names]


def hide(monkeypatch: pytest.MonkeyPatch, owner: str, name: str) -> None:
    """Let it look as if a module or class had no `name`."""
    module, _, kind = owner.partition(":")

    def without(found: Any) -> set[str]:
        names = names_of(found)
        whose = (found.__module__, found.__qualname__) if isinstance(found, type) else (found.__name__, "")
        return names - {name} if whose == (module, kind) else names

    monkeypatch.setattr(internals, "names_of", without)


class Tool:
    """Somebody else's, whose methods may stand in a class."""

    def bound(self) -> Any:
        return self.in_bound  # type: ignore[attr-defined]


def closing_over() -> Any:
    """A method that refers to itself, to another function, and to what has no value any more."""

    def another() -> Any:
        return other.in_closure  # type: ignore[name-defined]  # noqa: F821

    def method(self: Kept) -> Any:
        return method, another, none  # noqa: F821 - that is what is tested

    none = 1
    del none
    return method


class Kept:
    made = True
    bound = Tool().bound
    closing_over = closing_over()

    def __init__(self) -> None:
        self.kept = 1

    @property
    def asked(self) -> int:
        number: int = self.in_property  # type: ignore[attr-defined]
        return number

    @staticmethod
    def static() -> None:
        other.in_static  # type: ignore[name-defined]  # noqa: B018, F821

    @classmethod
    def of_class(cls) -> None:
        other.in_class  # type: ignore[name-defined]  # noqa: B018, F821


class Derived(Kept):
    def more(self) -> None:
        self.derived = 1


def test_names_are_those_of_the_class_and_those_that_its_methods_use() -> None:
    assert {"made", "kept", "asked", "in_property", "in_static", "in_class", "in_bound"} <= names_of(Kept)
    assert "in_closure" in names_of(Kept)
    assert {"kept", "derived"} <= names_of(Derived)
    assert not {"derived", "nothing"} & names_of(Kept)
    assert "names_of" in names_of(internals)


def test_names_are_found_in_methods_that_somebody_has_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tools for tracing, and plugins of tests, do that to the classes of servers."""
    create = Kept.__init__

    def plainly(self: Kept) -> None:
        create(self)

    monkeypatch.setattr(Kept, "__init__", plainly)
    assert "kept" in names_of(Kept)
    monkeypatch.setattr(Kept, "__init__", functools.wraps(create)(lambda *arguments: None))
    assert "kept" in names_of(Kept)


def test_nothing_is_called_missing_where_an_init_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opaque:
        def __call__(self, *arguments: Any) -> None:
            """Sets what nobody can see, as something compiled might."""

    known = Internals("uvicorn", {"uvicorn.config:Config": ("loaded_app", "none_such")})
    assert known.missing() == f"uvicorn {uvicorn.__version__} has no Config.none_such"
    create = uvicorn.Config.__init__
    monkeypatch.setattr(uvicorn.Config, "__init__", Opaque())
    assert known.missing() is None
    monkeypatch.setattr(uvicorn.Config, "__init__", functools.update_wrapper(Opaque(), create))
    assert known.missing() == f"uvicorn {uvicorn.__version__} has no Config.none_such"


def test_what_is_missing_is_named_with_the_version() -> None:
    known = Internals("uvicorn", {"uvicorn.config:Config": ("app", "nothing"), "uvicorn": ("run", "none_such")})
    assert known.missing() == f"uvicorn {uvicorn.__version__} has no Config.nothing, uvicorn.none_such"
    assert known.missing("uvicorn") == f"uvicorn {uvicorn.__version__} has no uvicorn.none_such"
    gone = Internals(
        "no-such-package", {"uvicorn.none:Class": ("a",), "uvicorn.config:None_": ("b",), "nowhere": ("c",)}
    )
    assert gone.missing() == "no-such-package of an unknown version has no Class, None_, nowhere"
    assert Internals("uvicorn", {"uvicorn.config:Config": ("app",)}).missing() is None


def test_nothing_is_missing_here() -> None:
    assert UVICORN.missing() is None or uvicorn.__version__ < "0.5"  # zttp came later
    assert STARLETTE.missing() is None
    assert HYPERCORN.missing() is None


# uvicorn


def started(app: Any, http: str = "httptools") -> uvicorn.Config:
    """Run the startup of an application's lifespan as uvicorn does; return the configuration."""

    async def run() -> uvicorn.Config:
        config = uvicorn.Config(app, http=http, ws="none", lifespan="on", log_config=None)
        config.load()
        lifespan = LifespanOn(config)
        await lifespan.startup()
        assert not lifespan.should_exit
        await lifespan.shutdown()
        return config

    return asyncio.run(run())


def guarded() -> FastAPI:
    app = FastAPI()
    app.add_middleware(UpgradeMiddleware)

    @app.get("/")
    async def page() -> str:
        return "page"

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()

    return app


def test_uvicorn_is_extended_if_nothing_is_missing() -> None:
    assert issubclass(started(guarded()).http_protocol_class, UpgradingProtocol)


@pytest.mark.parametrize(
    ("owner", "name"), [each for each in declared(UVICORN) if "zttp" not in each[0]], ids=lambda value: str(value)
)
def test_a_uvicorn_that_lacks_something_is_left_alone(
    owner: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hide(monkeypatch, owner, name)
    with caplog.at_level(logging.WARNING, "asgi_upgrade"):
        config = started(guarded(), "h11" if "h11" in owner else "httptools")
    assert not issubclass(config.http_protocol_class, UpgradingProtocol)
    [line] = [record.getMessage() for record in caplog.records]
    kind = owner.partition(":")[2] or owner
    assert line.startswith(f"uvicorn does not offer http.upgrade (uvicorn {uvicorn.__version__} has no {kind}.{name}):")
    assert line.endswith("Use a version of it that this package knows, or tell us.")


def accessed(path: Path, owners: set[str]) -> Iterator[str]:
    """The attributes that a room uses of what it calls by one of these names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in owners:
            yield node.attr


@pytest.mark.parametrize(
    ("owners", "known", "ours"),
    [
        ({"cycle", "self.cycle", "self._cycle"}, "RequestResponseCycle", {"offering"}),
        ({"self.flow", "http.flow", "flow"}, "FlowControl", {"__dict__"}),
        ({"config", "self.config", "http.config"}, "Config", {"__dict__"}),
        ({"http.server_state", "state"}, "ServerState", set()),
        (
            {"http"},
            "Protocol",
            {"half_closed", "let_go", "plain_app", "release", "serve_with", "stopping", "successor"},
        ),
    ],
)
def test_no_room_uses_more_of_uvicorn_than_is_declared(owners: set[str], known: str, ours: set[str]) -> None:
    names = {name for owner, name in declared(UVICORN) if owner.endswith(known)}
    used = {name for path in (PACKAGE / "servers/uvicorn").glob("*.py") for name in accessed(path, owners)}
    assert len(used) > 1
    assert used - ours <= names


# hypercorn


def start_hypercorn(app: Any = None) -> bool:
    """Run the startup of an application's lifespan as hypercorn does; return whether hypercorn is extended."""

    async def run() -> bool:
        config = hypercorn.config.Config()
        loop = asyncio.get_running_loop()
        lifespan = Lifespan(app or ASGIWrapper(guarded()), config, loop, {})  # type: ignore[arg-type]
        task = asyncio.create_task(lifespan.handle_lifespan())
        await lifespan.wait_for_startup()
        await lifespan.wait_for_shutdown()
        task.cancel()
        return config in extended_configs

    return asyncio.run(asyncio.wait_for(run(), 30))


@pytest.fixture
def own_protocol(monkeypatch: pytest.MonkeyPatch) -> type:
    """hypercorn's own class for connections, in place again after the test."""
    kind: type = hypercorn.protocol.h11.H11Protocol
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", kind)
    return kind


def test_hypercorn_is_extended_if_nothing_is_missing(own_protocol: type) -> None:
    assert start_hypercorn()
    assert hypercorn.protocol.H11Protocol is not own_protocol  # type: ignore[attr-defined]


@pytest.mark.parametrize(("owner", "name"), declared(HYPERCORN), ids=str)
def test_a_hypercorn_that_lacks_something_is_left_alone(
    owner: str, name: str, own_protocol: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if owner.startswith("asyncio"):
        owner = owner.replace("asyncio:", "asyncio.streams:")
    hide(monkeypatch, owner, name)
    with caplog.at_level(logging.WARNING, "asgi_upgrade"):
        assert not start_hypercorn()
    assert hypercorn.protocol.H11Protocol is own_protocol  # type: ignore[attr-defined]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("hypercorn does not offer http.upgrade (hypercorn ")
    assert f" has no {owner.partition(':')[2] or owner}.{name}):" in line


def test_a_hypercorn_that_shall_not_be_extended_is_told_of_in_one_line_without_advice_for_uvicorn(
    own_protocol: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "guarded", lambda: UpgradeMiddleware(FastAPI(), extend_server=False))
    with caplog.at_level(logging.INFO, "asgi_upgrade"):
        assert not start_hypercorn()
    assert hypercorn.protocol.H11Protocol is own_protocol  # type: ignore[attr-defined]
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "The server does not offer http.upgrade: its own WebSockets are used."


@pytest.mark.parametrize(
    ("owners", "known", "ours"),
    [
        ({"http", "self._http"}, "H11Protocol", set()),
        ({"http.config", "self.config", "self._http.config"}, "Config", set()),
        ({"http.context", "self.context", "self._http.context"}, "WorkerContext", set()),
        ({"server"}, "TCPServer", set()),
        ({"self.stream"}, "HTTPStream", set()),
        ({"lifespan"}, "Lifespan", set()),
        ({"reader", "self._reader"}, "StreamReader", set()),
    ],
)
def test_no_room_uses_more_of_hypercorn_than_is_declared(owners: set[str], known: str, ours: set[str]) -> None:
    names = {name for owner, name in declared(HYPERCORN) if owner.endswith(f":{known}")}
    used = {name for path in (PACKAGE / "servers/hypercorn").glob("*.py") for name in accessed(path, owners)}
    assert len(used) > 1
    assert used - ours <= names


# Starlette


def test_no_room_uses_a_private_module_of_starlette_or_a_server_that_is_not_declared() -> None:
    known = {owner.partition(":")[0] for each in (STARLETTE, UVICORN, HYPERCORN) for owner in each.needed}
    private = {
        node.module
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
        if node.module.startswith(("starlette._", "fastapi._", "uvicorn.protocols.http.", "hypercorn.protocol."))
    }
    assert "starlette._exception_handler" in private
    assert private - {"uvicorn.protocols.http.auto"} <= known  # that is how the check finds what `auto` chooses


@pytest.fixture
def fresh() -> Iterator[None]:
    """What was found out about Starlette is found out again."""
    starlette_internals.lacking.cache_clear()
    starlette_internals.report_lacking.cache_clear()
    yield
    starlette_internals.lacking.cache_clear()
    starlette_internals.report_lacking.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("owner", "name"), declared(STARLETTE))
def test_handshakes_are_refused_with_a_starlette_that_lacks_something(
    owner: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hide(monkeypatch, owner, name)

    async def ask(app: Any) -> tuple[int, int]:
        async with httpx.AsyncClient(transport=UpgradeTransport(app), base_url="http://test") as client:
            return (await client.get("/ws", headers=HANDSHAKE)).status_code, (await client.get("/")).status_code

    with caplog.at_level(logging.ERROR, "asgi_upgrade"):
        assert asyncio.run(ask(guarded())) == (503, 200)
    [line] = [record.getMessage() for record in caplog.records]
    kind = owner.partition(":")[2] or owner
    assert f"has no {kind}.{name}: handshakes cannot be brought through its applications" in line


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("owner", "name"), declared(STARLETTE))
def test_so_are_websockets_that_a_server_delivers(
    owner: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hide(monkeypatch, owner, name)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/ws",
        "raw_path": b"/ws",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": None,
        "server": ("test", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    with caplog.at_level(logging.ERROR, "asgi_upgrade"):
        asyncio.run(asyncio.wait_for(guarded()(scope, receive, send), 30))
    assert sent[0] == {**sent[0], "type": "websocket.http.response.start", "status": 503}
    assert not any(record.exc_info for record in caplog.records)
