"""What the settings of streams may be."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asgi_upgrade import StreamSettings, UpgradeMiddleware
from asgi_upgrade.streams.settings import check_streams
from tests.unit.calls import page

SIZES = ("read_buffer_size", "write_buffer_size")
TIMES = ("open_timeout", "close_timeout", "stop_timeout", "shutdown_timeout")
OPTIONAL_TIMES = ("keepalive_interval", "idle_timeout", "total_timeout")


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [0, 1.5, None, "1"])
def test_sizes_are_positive_integers(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^StreamSettings\.{name} must be a positive integer, not "):
        StreamSettings(**{name: value})


@pytest.mark.parametrize("name", [*TIMES, *OPTIONAL_TIMES])
@pytest.mark.parametrize("value", [0, -1, math.inf, "1", True])
def test_times_are_positive(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^StreamSettings\.{name} must be a positive number of seconds"):
        StreamSettings(**{name: value})


def test_some_times_may_be_none() -> None:
    none: dict[str, Any] = dict.fromkeys(OPTIONAL_TIMES)
    StreamSettings(**none)
    for name in TIMES:
        with pytest.raises(ValueError, match=rf"^StreamSettings\.{name} must be"):
            StreamSettings(**{name: None})  # type: ignore[arg-type]


def test_such_settings_are_taken_as_they_are() -> None:
    settings = StreamSettings(open_timeout=1)
    assert check_streams(settings) is settings


@pytest.mark.parametrize("value", [None, {}, 1])
def test_what_is_no_such_settings_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^streams must be StreamSettings, not "):
        UpgradeMiddleware(page, streams=value)
