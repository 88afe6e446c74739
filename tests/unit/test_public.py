"""The public names: what each says of itself, and the settings classes as a whole."""

from __future__ import annotations

import dataclasses
import inspect
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

import asgi_upgrade
from asgi_upgrade import H2CSettings, PerMessageDeflate, StreamSettings, TLSSettings, WebSocketSettings
from asgi_upgrade.streams import handlers

PUBLIC = sorted(set(asgi_upgrade.__all__) - {"__version__", "Handler", "compiled"})
SETTINGS = (H2CSettings, PerMessageDeflate, StreamSettings, TLSSettings, WebSocketSettings)
FIELDS = [(each, field.name) for each in SETTINGS for field in dataclasses.fields(each)]
NEEDED: dict[Any, dict[str, Any]] = {TLSSettings: {"context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}}


def arguments_of(public: Any) -> list[str]:
    """What somebody who calls it may give, by name."""
    if not inspect.isclass(public) or "__init__" not in vars(public):
        return []
    parameters = list(inspect.signature(public).parameters.values())
    return [each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def methods_of(public: Any) -> list[tuple[str, Any]]:
    functions = inspect.getmembers(public, inspect.isfunction) if inspect.isclass(public) else []
    return [(name, each) for name, each in functions if not name.startswith("_") and name in vars(public)]


def test_nothing_else_is_in_reach() -> None:
    """Rooms, yes; but no name of a room that is not meant for users."""
    names = {name for name, value in vars(asgi_upgrade).items() if not inspect.ismodule(value)}
    assert {name for name in names if not name.startswith("_")} == set(asgi_upgrade.__all__) - {"__version__"}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented_with_its_arguments(name: str) -> None:
    public = getattr(asgi_upgrade, name)
    text = inspect.getdoc(public) or ""
    assert text, name
    for argument in arguments_of(public):
        if argument not in ("args", "kwargs"):
            assert re.search(rf"(?m)^\s+{argument}: ", text), f"{name} does not say what {argument} is"
    for method, function in methods_of(public):
        assert inspect.getdoc(function), f"{name}.{method}"


def test_the_type_of_handlers_is_documented_where_it_is_defined() -> None:
    source = Path(inspect.getfile(handlers)).read_text()
    assert re.search(r'(?m)^Handler = .*\n"""\w', source)


@pytest.mark.parametrize(("settings", "field"), FIELDS)
def test_each_field_has_its_default_in_the_docstring(settings: Any, field: str) -> None:
    text = inspect.getdoc(settings) or ""
    [entry] = re.findall(rf"(?ms)^    {field}: (.*?)(?=^    \w+: |^\w|\Z)", text)
    if field != "context":
        assert re.search(r"Default:\s", entry), field


@pytest.mark.parametrize(("settings", "field"), FIELDS)
@pytest.mark.parametrize("nonsense", [object(), -1])
def test_each_field_is_checked_and_named(settings: Any, field: str, nonsense: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{settings.__name__}\.{field} must be .*{re.escape(repr(nonsense))}"):
        settings(**{**NEEDED.get(settings, {}), field: nonsense})


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_are_frozen_and_compare_by_value(settings: Any) -> None:
    given = NEEDED.get(settings, {})
    one = settings(**given)
    assert one == settings(**given)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, dataclasses.fields(settings)[0].name, 1)


def test_the_middlewares_arguments_are_a_dozen() -> None:
    assert list(inspect.signature(asgi_upgrade.UpgradeMiddleware).parameters) == [
        "app",
        "allowed_origins",
        "subprotocols",
        "websocket_only",
        "protocols",
        "websocket",
        "streams",
        "h2c",
        "tls",
        "websocket_middleware",
        "insecure_skip_http_middleware",
        "insecure_allow_unguarded",
        "extend_server",
        "observer",
    ]


@pytest.mark.parametrize(("given", "meant"), [(True, PerMessageDeflate()), (False, None)])
def test_compression_is_on_by_default_and_can_be_turned_off(given: Any, meant: PerMessageDeflate | None) -> None:
    assert WebSocketSettings(deflate=given).compression == meant
    assert WebSocketSettings().compression == PerMessageDeflate()
    own = PerMessageDeflate(level=6)
    assert WebSocketSettings(deflate=own).compression is own
