"""Applications whose guards would not see handshakes, for want of an outermost `HandshakeMiddleware`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from .clients import GOOD, open_room, refusal
from .running import COMMANDS, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from .running import Running

DELIVERING = [name for name in COMMANDS if name not in ("uvicorn", "hypercorn")]
BARE_403 = ("daphne", "gunicorn")  # see `known_limits.py`


def test_a_websocket_that_passes_the_guard_by_is_refused(started: Callable[[str, str], Running]) -> None:
    server = started("hypercorn, not extended", "asgi_rooms:unwrapped")
    assert refusal(server).status_code == 503
    assert "asgi_upgrade.HandshakeMiddleware" in server.wait_for("insecure_allow_unguarded=True")


@pytest.mark.parametrize("name", DELIVERING)
def test_also_if_the_guard_leaves_no_trace(started: Callable[[str, str], Running], name: str) -> None:
    server = started(name, "untraceable:app")
    assert refusal(server).status_code == (403 if name in BARE_403 else 503)
    assert "asgi_upgrade.HandshakeMiddleware" in server.wait_for("insecure_allow_unguarded=True")


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn {app} --port {port} --workers 2",
        "gunicorn {app} --worker-class uvicorn_worker.UvicornWorker --bind 127.0.0.1:{port}",
    ],
    ids=["workers", "gunicorn"],
)
def test_a_server_is_also_known_by_its_workers(command: str) -> None:
    with run("uvicorn, not extended", "fastapi_rooms:app", command=command) as server:
        assert refusal(server, "token=bad").status_code == 401
        with open_room(server) as (_, hello):
            assert hello["guarded"] == 1


@pytest.mark.parametrize("name", ["uvicorn", "hypercorn"])
def test_what_h2corn_cannot_do_others_do_beside_it(name: str) -> None:
    """h2corn refuses responses with `Upgrade`. Having been imported does not make it the server."""
    pytest.importorskip("h2corn")
    with run(name, "beside_h2corn:app") as server:
        response = httpx.get(f"http://127.0.0.1:{server.port}/only?{GOOD}", trust_env=False)
        assert (response.status_code, response.headers["upgrade"]) == (426, "websocket")
