"""Sizes and times that settings take."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asgi_upgrade import StreamSettings, WebSocketSettings

SIZES = [
    *((StreamSettings, name) for name in ("read_buffer_size", "write_buffer_size")),
    *(
        (WebSocketSettings, name)
        for name in ("max_message_size", "max_message_frames", "max_queue", "max_queue_size", "write_buffer_size")
    ),
]
TIMES = [
    *((StreamSettings, name) for name in ("open_timeout", "close_timeout", "stop_timeout", "shutdown_timeout")),
    *((WebSocketSettings, name) for name in ("open_timeout", "close_timeout", "stop_timeout", "answer_timeout")),
]
OPTIONAL_TIMES = [
    *((StreamSettings, name) for name in ("keepalive_interval", "idle_timeout", "total_timeout")),
    *((WebSocketSettings, name) for name in ("ping_interval", "ping_timeout", "idle_timeout")),
]


@pytest.mark.parametrize(("kind", "name"), SIZES)
@pytest.mark.parametrize("value", [0, 1.5, None, "1"])
def test_sizes_are_positive_integers(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{name} must be a positive integer, not "):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), [*TIMES, *OPTIONAL_TIMES])
@pytest.mark.parametrize("value", [0, -1, math.inf, "1", True])
def test_times_are_positive(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{name} must be a positive number of seconds"):
        kind(**{name: value})


@pytest.mark.parametrize(("kind", "name"), TIMES)
def test_most_times_are_not_none(kind: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{name} must be"):
        kind(**{name: None})


@pytest.mark.parametrize("kind", [StreamSettings, WebSocketSettings])
def test_some_times_may_be_none(kind: Any) -> None:
    kind(**{name: None for each, name in OPTIONAL_TIMES if each is kind})
