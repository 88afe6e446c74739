"""What is said of the servers that are installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import pytest
from uvicorn.protocols.http import auto

from asgi_upgrade.check import servers
from asgi_upgrade.check.servers import describe_servers

ALONE = "not extended: there is no UpgradeMiddleware that its lifespan reaches"
BY_HAND = "extended only if it is started with http='asgi_upgrade.servers.uvicorn:AutoUpgradeProtocol'"
TURNED = "not extended; WebSockets only, turned into handshakes where the application's stack begins"
Installing = Callable[..., None]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Installing:
    """Let it look as if nothing but these packages were installed."""

    def install(**versions: str) -> None:
        def look(name: str) -> str:
            if name not in versions:
                raise PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(servers, "version", look)

    return install


def test_what_is_installed_here() -> None:
    lines = describe_servers(has_policy=True, extend=True)
    name = auto.AutoHTTPProtocol.__qualname__
    assert f"uvicorn {version('uvicorn')}: {name} becomes " in lines[0]
    assert lines[0].endswith("UpgradeProtocol when its lifespan starts")
    assert (
        f"hypercorn {version('hypercorn')}: its class for HTTP/1.1 is extended when its lifespan starts, on asyncio"
        in lines
    )


@pytest.mark.parametrize(
    ("policy", "extend", "uvicorn", "hypercorn", "others"),
    [
        (False, True, ALONE, "not extended", "not extended"),
        (False, False, ALONE, "not extended", "not extended"),
        (True, False, BY_HAND, "not extended", TURNED),
    ],
)
def test_without_a_policy_that_extends(  # noqa: PLR0917
    policy: bool, extend: bool, uvicorn: str, hypercorn: str, others: str, installed: Installing
) -> None:
    installed(uvicorn="1", hypercorn="2", granian="3", daphne="4", h2corn="5")
    assert describe_servers(has_policy=policy, extend=extend) == [
        f"uvicorn 1: {uvicorn}",
        f"hypercorn 2: {hypercorn}",
        f"granian 3: {others}",
        f"daphne 4: {others}",
        f"h2corn 5: {others}",
    ]


def test_what_is_not_installed_is_not_named(installed: Installing) -> None:
    installed(daphne="4")
    assert describe_servers(has_policy=True, extend=True) == [f"daphne 4: {TURNED}"]
    installed()
    assert describe_servers(has_policy=True, extend=True) == []


@pytest.mark.parametrize("parser", ["httptools_impl:HttpToolsProtocol", "h11_impl:H11Protocol"])
def test_the_parser_that_uvicorn_would_take(
    parser: str, installed: Installing, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, name = parser.partition(":")
    kind = getattr(pytest.importorskip(f"uvicorn.protocols.http.{module}"), name)
    installed(uvicorn="1")
    monkeypatch.setattr(auto, "AutoHTTPProtocol", kind)
    extended = {"HttpToolsProtocol": "HttpToolsUpgradeProtocol", "H11Protocol": "H11UpgradeProtocol"}[name]
    assert describe_servers(has_policy=True, extend=True) == [
        f"uvicorn 1: {name} becomes {extended} when its lifespan starts"
    ]


def test_versions_that_are_not_known(installed: Installing, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stranger: ...

    installed(uvicorn="1", hypercorn="2")
    monkeypatch.setattr(auto, "AutoHTTPProtocol", Stranger)
    monkeypatch.setitem(sys.modules, "asgi_upgrade.servers.hypercorn.attach", None)  # as if it could not be imported
    uvicorn, hypercorn = describe_servers(has_policy=True, extend=True)
    assert uvicorn.startswith("uvicorn 1: not extended: ")
    assert uvicorn.endswith("Stranger is not known")
    words = "not extended, this version is not known: import of asgi_upgrade.servers.hypercorn.attach halted"
    assert hypercorn.startswith(f"hypercorn 2: {words}")
    monkeypatch.delattr(auto, "AutoHTTPProtocol")
    uvicorn, _ = describe_servers(has_policy=True, extend=True)
    assert uvicorn.startswith("uvicorn 1: not extended, this version is not known: cannot import name")
