"""What a server's own settings for WebSockets become."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from uvicorn.config import Config

from asgi_upgrade.servers.websocket_limits import UVICORN, websocket_limits
from asgi_upgrade.websocket.settings import SERVERS, WebSocketSettings

NAMES = ("max_message_size", "max_queue", "ping_interval", "ping_timeout")
LEFT = dict.fromkeys(NAMES, SERVERS)


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
        ({"ws_ping_timeout": None, "ws_max_queue": 100}, {"max_queue": 100, "ping_timeout": None}),
        ({"ws_ping_timeout": float("inf")}, {"ping_timeout": None}),
    ],
)
def test_uvicorns_settings(options: dict[str, Any], limits: dict[str, Any]) -> None:
    assert websocket_limits(config(**options), UVICORN) == limits
    settings = WebSocketSettings.given(**LEFT).for_server(limits)  # they are in range
    assert {name: getattr(settings, name) for name in limits} == limits


@pytest.mark.parametrize("name", NAMES)
def test_what_is_given_goes_before(name: str) -> None:
    limits = {"max_message_size": 3, "max_queue": 3, "ping_interval": 3.0, "ping_timeout": None}
    settings = WebSocketSettings.given(**{**LEFT, name: 7}, close_timeout=2.0).for_server(limits)
    assert {each: getattr(settings, each) for each in NAMES} == {**limits, name: 7}
    assert settings.close_timeout == 2.0


def test_none_is_a_setting_too() -> None:
    settings = WebSocketSettings.given(**{**LEFT, "ping_interval": None})
    assert settings.for_server({"ping_interval": 3.0}).ping_interval is None


@pytest.mark.parametrize("limits", [None, {}, {"unknown": 1}, {"close_timeout": 1.0}])
def test_without_limits_the_defaults_hold(limits: dict[str, Any] | None) -> None:
    settings = WebSocketSettings.given(**LEFT)
    assert settings.for_server(limits) == settings
    defaults = WebSocketSettings()
    assert all(getattr(settings, name) == getattr(defaults, name) for name in NAMES)


@pytest.mark.parametrize("name", ["ping_interval", "ping_timeout", "idle_timeout"])
def test_who_gives_0_is_told_what_turns_it_off(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{name} must be a positive number of seconds, or None to turn it off, not 0$"
    ):
        WebSocketSettings.given(**{name: 0})
    assert getattr(WebSocketSettings.given(**{name: None}), name) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_given_is_checked(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        WebSocketSettings.given(**{**LEFT, name: -1})
