"""A page of marimo: it opens a WebSocket, by which the notebook runs, and is told what the cells say."""

from __future__ import annotations

import json
from contextlib import contextmanager
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    text = page(server, f"{path}/")
    url = server.url("ws", f"{path}/ws?session_id=s_{token_hex(3)}")
    with connect(url, additional_headers=headers, proxy=None) as websocket:
        seen, outputs = [], []
        while "completed-run" not in seen:
            message = json.loads(websocket.recv(timeout=20))
            seen.append(message["op"])
            if message["op"] == "cell-op" and (output := message["data"].get("output")):
                outputs.append(output["data"])
        yield "marimo" in text, seen[0], [each for each in outputs if each]
