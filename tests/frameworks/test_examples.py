"""An HTTP middleware guards the WebSocket of each framework, as `docs/guides/frameworks.md` shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.servers.running import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.running import Running

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "frameworks"
FRAMEWORKS = sorted(path.stem for path in EXAMPLES.glob("with_*.py"))
SERVERS = {
    # Without a WebSocket library of its own: what works is ours.
    "uvicorn": "uvicorn {app} --port {port} --ws none",
    # Performs the handshake itself: what works goes through `HandshakeMiddleware`.
    "h2corn": "h2corn {app} --bind 127.0.0.1:{port}",
}


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def server(request: pytest.FixtureRequest, name: str) -> Iterator[Running]:
    """Every example on every server."""
    with run(name, f"{request.param}:app", command=SERVERS[name], folder=EXAMPLES) as running:
        yield running


def open_echo(server: Running, **options: Any) -> Any:
    return connect(server.url("/echo"), proxy=None, compression=None, open_timeout=10, close_timeout=1, **options)


def test_the_guard_refuses(server: Running) -> None:
    with pytest.raises(InvalidStatus) as caught:
        open_echo(server)
    response = caught.value.response
    assert (response.status_code, response.body) == (401, b"Who are you?")


def test_the_guard_lets_pass_once_and_dresses_the_101(server: Running) -> None:
    with open_echo(server, additional_headers={"Authorization": "Bearer sesame"}) as websocket:
        assert websocket.response.status_code == 101
        assert websocket.response.headers.get_all("x-user") == ["ali"]
        for message in ("hello", "ünïcode"):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


def test_the_docs_quote_each_example() -> None:
    """That they are quoted word for word is tested in `tests/docs`."""
    text = (ROOT / "docs" / "guides" / "frameworks.md").read_text(encoding="utf-8")
    for name in ("guard", *FRAMEWORKS):
        assert f"block: from examples/frameworks/{name}.py " in text
    assert text.count("```python") == len(FRAMEWORKS) + 1
