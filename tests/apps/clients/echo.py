"""A browser, for frameworks: a page, and a WebSocket that echoes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    text_of_page = page(server, f"{path}/page")
    url = server.url("ws", f"{path}/rooms/blue")
    with connect(url, additional_headers=headers, proxy=None) as websocket:
        answers = []
        for text in ("hello", "a longer message " * 5000):
            websocket.send(text)
            answers.append(websocket.recv(timeout=20))
        assert websocket.response is not None
        yield text_of_page, websocket.response.headers.get_all("x-room"), answers
