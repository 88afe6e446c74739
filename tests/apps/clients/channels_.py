"""Two browsers in a room of Django Channels."""

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
    text = page(server, "/page")
    url = server.url("ws", "/rooms/blue")
    with (
        connect(url, additional_headers=headers, proxy=None) as ada,
        connect(url, additional_headers=headers, proxy=None) as bob,
    ):
        told = [json.loads(each.recv(timeout=20)) for each in (ada, bob)]
        ada.send(json.dumps({"text": "hello"}))
        told += [json.loads(each.recv(timeout=20)) for each in (ada, bob)]
        yield text, told
