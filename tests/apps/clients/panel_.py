"""Bokeh's client pulls a document of Panel. It sends no cookies, but a query."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import panel.models.markup  # noqa: F401 (Bokeh's client must know what Panel sends)
from bokeh.client import pull_session
from tornado.ioloop import IOLoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.server.support.process import Server


@contextmanager
def client(server: Server, headers: Mapping[str, str], path: str) -> Iterator[Any]:
    loop = IOLoop(make_current=False)
    arguments = {"session": "secret"} if headers else None
    try:
        session = pull_session(url=server.url("http", path), io_loop=loop, arguments=arguments)
        yield "hello from Panel" in str(session.document.to_json())
        session.close()
    finally:
        loop.close(all_fds=True)
