"""gradio_client: calls and a stream through Gradio's queue, which are requests and server-sent events."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gradio_client import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    url = server.url("http", path)
    client = Client(url, headers=dict(headers), verbose=False, analytics_enabled=False, download_files=False)
    greeting = client.predict("Ada", api_name="/greet")
    job = client.submit(3, api_name="/count")
    yield client.protocol, greeting, list(job)
    client.close()
