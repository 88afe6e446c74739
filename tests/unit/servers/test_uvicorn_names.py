"""uvicorn's extended protocols by name, for `http=`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from asgi_upgrade.servers import uvicorn as extended
from asgi_upgrade.servers.uvicorn.internals import missing_for
from tests.unit.servers.test_uvicorn_logs import OURS, alone
from tests.unit.servers.uvicorn_connection import NAMES, PARSERS
from tests.unit.system.test_internals import hide

MODULES = {"h11": "h11_impl", "httptools": "httptools_impl", "zttp": "zttp_impl", "auto": "auto_zttp_impl"}
CLASSES = {"h11": "H11Protocol", "httptools": "HttpToolsProtocol", "zttp": "ZttpProtocol"}
with_zttp = pytest.mark.skipif("zttp" not in PARSERS, reason="this version of uvicorn does not know it")


def named(name: str) -> Any:
    return getattr(extended, name)


@pytest.mark.parametrize("parser", PARSERS)
def test_each_is_found_by_the_name_of_its_parser(parser: str) -> None:
    protocol = named(NAMES[parser])
    assert protocol.__name__ == NAMES[parser]
    assert CLASSES[parser] in [each.__name__ for each in protocol.__mro__]


@pytest.mark.parametrize("parser", PARSERS)
def test_the_next_protocol_of_a_connection_runs_on_the_same_loop(parser: str) -> None:
    """Not on the one that runs: uvicorn's own tests give it another."""
    config = Config(None, http=parser, lifespan="off", ws="none", log_config=None)  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()
    try:
        protocol = named(NAMES[parser])(config, ServerState(), {}, loop)
        following = protocol.successor()
        assert following.loop is loop
        assert type(following) is type(protocol)
    finally:
        loop.close()


def test_auto_takes_httptools_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert named("AutoUpgradeProtocol") is named("HttpToolsUpgradeProtocol")
    monkeypatch.setitem(sys.modules, "httptools", None)
    assert named("AutoUpgradeProtocol") is named("H11UpgradeProtocol")


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'asgi_upgrade\.servers\.uvicorn' has no attribute 'Upgrade'"):
        named("Upgrade")


def test_who_names_one_has_our_log_records_at_uvicorns_handlers() -> None:
    with alone() as uvicorn:
        named("H11UpgradeProtocol")
        OURS.warning("refused")
        assert uvicorn.messages == ["refused"]


@pytest.mark.parametrize("parser", PARSERS)
def test_one_that_cannot_extend_its_class_says_so(parser: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, f"uvicorn.protocols.http.{MODULES[parser]}:{CLASSES[parser]}", "flow")
    wanted = rf"has no {CLASSES[parser]}\.flow: {NAMES[parser]} cannot extend it"
    with pytest.raises(ImportError, match=wanted):
        named(NAMES[parser])


@with_zttp
@pytest.mark.parametrize(
    ("owner", "name", "needed_by"),
    [
        ("h11_impl:H11Protocol", "flow", {"h11"}),
        ("h11_impl:RequestResponseCycle", "flow", {"h11"}),
        ("httptools_impl:HttpToolsProtocol", "flow", {"httptools"}),
        ("httptools_impl:RequestResponseCycle", "flow", {"httptools"}),
        ("zttp_impl:ZttpProtocol", "flow", {"zttp", "auto"}),
        ("zttp_impl:RequestResponseCycle", "flow", {"zttp", "auto"}),
        ("auto_zttp_impl:AutoZttpProtocol", "_switch", {"auto"}),
        ("zttp_h2_impl", "ZttpH2Protocol", {"auto"}),
    ],
)
def test_what_is_missing_concerns_those_that_use_it(
    owner: str, name: str, needed_by: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, f"uvicorn.protocols.http.{owner}", name)
    lacking = {each: missing_for(f"uvicorn.protocols.http.{module}") for each, module in MODULES.items()}
    assert {each for each, words in lacking.items() if words is not None} == needed_by
    kind = owner.partition(":")[2] or f"uvicorn.protocols.http.{owner}"
    assert all(str(lacking[each]).endswith(f" has no {kind}.{name}") for each in needed_by)
