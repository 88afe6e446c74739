"""An application of an unknown framework, without the outermost `HandshakeMiddleware`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clients import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .running import Running


def test_a_websocket_that_passes_the_guard_by_is_refused(started: Callable[[str, str], Running]) -> None:
    server = started("hypercorn, not extended", "asgi_rooms:unwrapped")
    assert refusal(server).status_code == 503
    assert "asgi_upgrade.HandshakeMiddleware" in server.wait_for("allow_unguarded=True")
