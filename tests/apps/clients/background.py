"""Runs clients that are asynchronous, and keeps them connected while a test does something else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

Result = TypeVar("Result")


@contextmanager
def in_background(client: AbstractAsyncContextManager[Result]) -> Iterator[Result]:
    """Enter `client` in a loop of its own, which runs until the block ends."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client) as result:
        yield result
