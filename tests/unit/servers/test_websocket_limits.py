"""What a server's own settings for WebSockets become."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from uvicorn.config import Config

from asgi_upgrade import WebSocketSettings
from asgi_upgrade.servers.websocket_limits import UVICORN, websocket_limits

NAMES = ("max_message_size", "max_queue", "ping_interval", "ping_timeout")


def config(**options: Any) -> Config:
    return Config("none:app", log_config=None, **options)


def test_a_uvicorn_that_was_told_nothing_says_nothing() -> None:
    assert websocket_limits(config(), UVICORN) == {}


def test_our_defaults_are_not_below_those_of_uvicorn() -> None:
    uvicorn = config()
    ours = WebSocketSettings()
    assert ours.max_message_size >= uvicorn.ws_max_size
    assert ours.max_queue >= uvicorn.ws_max_queue
    assert (ours.ping_interval, ours.ping_timeout) == (uvicorn.ws_ping_interval, uvicorn.ws_ping_timeout)


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ({"ws_max_size": 1000}, {"max_message_size": 1000}),
        ({"ws_max_size": 1}, {"max_message_size": 1}),
        ({"ws_max_size": None}, {"max_message_size": sys.maxsize}),
        ({"ws_max_size": 0}, {}),
        ({"ws_max_size": "1000"}, {}),
        ({"ws_max_queue": 8}, {"max_queue": 8}),
        ({"ws_max_queue": 0}, {}),
        ({"ws_max_queue": None}, {}),
        ({"ws_ping_interval": 5}, {"ping_interval": 5}),
        ({"ws_ping_interval": None}, {"ping_interval": None}),
        ({"ws_ping_interval": 0.0}, {"ping_interval": None}),
        ({"ws_ping_timeout": 1.5}, {"ping_timeout": 1.5}),
        ({"ws_ping_timeout": 0.5}, {"ping_timeout": 0.5}),
        ({"ws_ping_timeout": None, "ws_max_queue": 100}, {"max_queue": 100, "ping_timeout": None}),
        ({"ws_ping_timeout": float("inf")}, {"ping_timeout": None}),
    ],
)
def test_uvicorns_settings(options: dict[str, Any], limits: dict[str, Any]) -> None:
    assert websocket_limits(config(**options), UVICORN) == limits
    settings = WebSocketSettings().for_server(limits)  # they are in range
    assert {name: getattr(settings, name) for name in limits} == limits


def test_a_uvicorn_that_does_not_know_a_setting_says_nothing_of_it() -> None:
    other = config(ws_max_queue=8)
    del other.ws_max_size
    assert websocket_limits(other, UVICORN) == {"max_queue": 8}


def test_what_was_read_with_the_first_handshake_holds() -> None:
    uvicorn = config(ws_max_queue=8)
    limits = websocket_limits(uvicorn, UVICORN)
    uvicorn.ws_max_queue = 9
    assert websocket_limits(uvicorn, UVICORN) is limits


@pytest.mark.parametrize("name", NAMES)
def test_what_is_given_goes_before(name: str) -> None:
    limits = {"max_message_size": 3, "max_queue": 3, "ping_interval": 3.0, "ping_timeout": None}
    given: dict[str, Any] = {name: 7, "close_timeout": 2.0}
    settings = WebSocketSettings(**given).for_server(limits)
    assert {each: getattr(settings, each) for each in NAMES} == {**limits, name: 7}
    assert settings.close_timeout == 2.0


def test_who_gives_the_default_has_given_it() -> None:
    settings = WebSocketSettings(max_message_size=16 * 1024 * 1024, ping_interval=20.0)
    assert settings == WebSocketSettings()
    held = settings.for_server({"max_message_size": 3, "max_queue": 3, "ping_interval": None})
    assert (held.max_message_size, held.max_queue, held.ping_interval) == (16 * 1024 * 1024, 3, 20.0)


def test_none_is_a_setting_too() -> None:
    assert WebSocketSettings(ping_interval=None).for_server({"ping_interval": 3.0}).ping_interval is None


def test_a_copy_with_another_field_leaves_the_same_to_the_server() -> None:
    settings = replace(WebSocketSettings(max_queue=5), idle_timeout=1.0)
    held = settings.for_server({"max_message_size": 3, "max_queue": 3})
    assert (held.max_message_size, held.max_queue, held.idle_timeout) == (3, 5, 1.0)


@pytest.mark.parametrize("limits", [None, {}, {"unknown": 1}, {"close_timeout": 1.0}])
def test_without_limits_the_defaults_hold_as_plain_numbers(limits: dict[str, Any] | None) -> None:
    settings = WebSocketSettings()
    held = settings.for_server(limits)
    assert held == settings
    assert [type(getattr(held, name)) for name in NAMES] == [int, int, float, float]
    assert settings.for_server(limits) is held


def test_another_server_has_other_limits() -> None:
    settings = WebSocketSettings()
    assert [settings.for_server({"max_queue": each}).max_queue for each in (3, 4, 3)] == [3, 4, 3]
    assert settings.for_server(None).max_queue == 64


@pytest.mark.parametrize(
    ("one", "other", "left"),
    [({}, {}, True), ({}, {"max_queue": 64}, False), ({"max_queue": 64}, {}, False), ({}, {"max_queue": 100}, False)],
)
def test_of_two_policies_both_must_leave_it_to_the_server(one: Any, other: Any, *, left: bool) -> None:
    both = WebSocketSettings(**one).stricter(WebSocketSettings(**other))
    assert both.for_server({"max_queue": 1000}).max_queue == (1000 if left else 64)
