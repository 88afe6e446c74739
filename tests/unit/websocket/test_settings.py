"""What the settings of WebSockets may be, which of them give way to the server's, and what two of them are together."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from asgi_upgrade import PerMessageDeflate, WebSocketSettings

SIZES = ("max_message_size", "max_message_frames", "max_queue", "max_queue_size", "write_buffer_size")
TIMES = ("open_timeout", "close_timeout", "stop_timeout", "answer_timeout")
OPTIONAL_TIMES = ("ping_interval", "ping_timeout", "idle_timeout")
FLAGS = ("allow_unoffered_subprotocols", "lenient_subprotocols")
SERVERS = ("max_message_size", "max_queue", "ping_interval", "ping_timeout")


@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_bools(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^WebSocketSettings\.{name} must be a bool, not 1"):
        WebSocketSettings(**{name: 1})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, 1, "yes", PerMessageDeflate])
def test_compression_is_a_bool_or_says_how(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^WebSocketSettings\.deflate must be a bool or a PerMessageDeflate, not "):
        WebSocketSettings(deflate=value)


def test_what_compression_means() -> None:
    own = PerMessageDeflate(level=1)
    assert WebSocketSettings(deflate=own).compression is own
    assert WebSocketSettings(deflate=False).compression is None
    assert WebSocketSettings().compression == PerMessageDeflate()


# Servers

OTHER: dict[str, Any] = {"max_message_size": 1, "max_queue": 2, "ping_interval": 3.0, "ping_timeout": None}


def values(settings: WebSocketSettings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}


@pytest.mark.parametrize("limits", [None, {}, {"unknown": 1}, {"close_timeout": 1.0, "deflate": False}])
def test_a_server_without_limits_of_its_own_changes_nothing(limits: Any) -> None:
    settings = WebSocketSettings().for_server(limits)
    assert settings == WebSocketSettings()
    assert {type(value) for name, value in values(settings).items() if name in SERVERS} == {int, float}


def test_defaults_give_way_to_the_server() -> None:
    settings = WebSocketSettings(close_timeout=4).for_server(OTHER)
    assert values(settings) == {**values(WebSocketSettings(close_timeout=4)), **OTHER}


def test_what_is_given_holds_even_if_it_is_the_default() -> None:
    default = WebSocketSettings()
    given = WebSocketSettings(**{name: values(default)[name] + 0 for name in SERVERS})
    assert given.for_server(OTHER) == default
    one = WebSocketSettings(max_queue=64).for_server(OTHER)
    assert (one.max_queue, one.max_message_size) == (64, 1)


def test_each_server_has_its_own() -> None:
    settings = WebSocketSettings()
    limits = {"max_queue": 2}
    for _ in range(2):
        assert settings.for_server(limits).max_queue == 2
        assert settings.for_server({"max_queue": 3}).max_queue == 3
        assert settings.for_server(None).max_queue == 64
    assert settings.for_server(limits).max_queue == 2
    limits["max_queue"] = 5
    assert settings.for_server(limits).max_queue == 5
    assert settings.max_queue == 64


@pytest.mark.parametrize("limits", [None, {}, {"max_queue": 3}])
def test_all_connections_of_a_server_share_one_object(limits: Any) -> None:
    settings = WebSocketSettings()
    assert settings.for_server(limits) is settings.for_server(limits)


# Of two middlewares


def test_of_each_limit_the_smaller_one_holds() -> None:
    sizes: dict[str, Any] = dict.fromkeys((*SIZES, *TIMES, *OPTIONAL_TIMES), 10)
    for name in sizes:
        one, other = WebSocketSettings(**sizes), WebSocketSettings(**{**sizes, name: 5})
        assert one.stricter(other) == other.stricter(one) == other


@pytest.mark.parametrize("name", OPTIONAL_TIMES)
def test_a_time_is_stricter_than_none(name: str) -> None:
    none: dict[str, Any] = dict.fromkeys(OPTIONAL_TIMES)
    one, other = WebSocketSettings(**none), WebSocketSettings(**{**none, name: 5})
    assert one.stricter(other) == other.stricter(one) == other
    assert one.stricter(WebSocketSettings(**none)) == one


@pytest.mark.parametrize("name", FLAGS)
def test_both_must_be_lenient(name: str) -> None:
    lenient, strict = WebSocketSettings(**{name: True}), WebSocketSettings()
    assert lenient.stricter(strict) == strict.stricter(lenient) == strict
    assert lenient.stricter(WebSocketSettings(**{name: True})) == lenient


def test_both_must_compress() -> None:
    one, other = PerMessageDeflate(level=1), PerMessageDeflate(level=2)
    compressing, not_at_all = WebSocketSettings(deflate=one), WebSocketSettings(deflate=False)
    assert compressing.stricter(not_at_all).compression is None
    assert not_at_all.stricter(compressing).compression is None
    assert compressing.stricter(WebSocketSettings(deflate=other)).compression is one


def test_only_what_both_leave_to_the_server_is_left_to_it() -> None:
    assert WebSocketSettings().stricter(WebSocketSettings(close_timeout=1)).for_server(OTHER).max_queue == 2
    for one, other in (({"max_queue": 100}, {}), ({}, {"max_queue": 100}), ({"max_queue": 100}, {"max_queue": 100})):
        both = WebSocketSettings(**one).stricter(WebSocketSettings(**other))  # type: ignore[arg-type]
        assert both.for_server({"max_queue": 7}).max_queue == min(
            {**one, **other}["max_queue"], 64 if one != other else 100
        )


def test_with_itself_nothing_changes() -> None:
    settings = WebSocketSettings()
    assert settings.stricter(settings) is settings
