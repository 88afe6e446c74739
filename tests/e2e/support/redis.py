"""A Redis server for the demo's rooms."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.e2e.support.daemon import daemon, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def redis_server(folder: Path, port: int | None = None) -> Iterator[int]:
    """Run Redis until the block ends; gives its port."""
    port = port or free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder))
    with daemon("redis-server", *options, port=port):
        yield port
