"""A page of Shiny: it says what the inputs are, and is told what the outputs are."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from websockets.sync.client import connect

from .pages import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    text = page(server, f"{path}/")
    with connect(server.url("ws", f"{path}/websocket/"), additional_headers=headers, proxy=None) as websocket:

        def ask(method: str, **data: Any) -> Any:
            websocket.send(json.dumps({"method": method, "data": data}))
            while True:
                message = json.loads(websocket.recv(timeout=20))
                if values := message.get("values"):
                    return values

        first = ask("init", **{"number": 20, ".clientdata_output_twice_hidden": False})
        yield 'id="number"' in text, first, ask("update", number=30)
