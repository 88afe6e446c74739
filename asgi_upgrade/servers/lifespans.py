"""Finds the lifespans that servers run on the running event loop, which lead to their configurations.

No public path leads from a lifespan's scope to its server. The coroutine of the task that runs it does, and so does
the ``receive`` that the server has made for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TypeVar

__all__ = ["NOT_HERE", "running_lifespans"]

Lifespan = TypeVar("Lifespan")

NOT_HERE = "it does not run this application's lifespan"
"""What stands against extending a server that is not the one."""


def running_lifespans(kind: type[Lifespan]) -> Iterator[Lifespan]:
    """The lifespans of type ``kind`` whose tasks run on this loop; the current task's first."""
    for task in [asyncio.current_task(), *asyncio.all_tasks()]:
        frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
        if frame is None:
            continue
        # A middleware, or a dispatcher of the server, may run the lifespan in a task of its own. Other servers may run
        # on this loop.
        receiver = getattr(frame.f_locals.get("receive"), "__self__", None)
        for found in (frame.f_locals.get("self"), receiver):
            if isinstance(found, kind):
                yield found
