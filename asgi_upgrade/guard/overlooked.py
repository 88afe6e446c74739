"""Looks through the running calls for a WebSocket guard that got the handshake as a request.

Where such a guard is found it is given a WebSocket, see `adapters`. Some are found by nobody: in a dispatcher's table,
behind a global name. But when the handshake has come through one, its call is running.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from types import CodeType, FrameType
from typing import Any

from asgi_upgrade.guard.layers import Reading, read, read_code
from asgi_upgrade.guard.refusals import name_of

__all__ = ["coroutine_frames", "find_overlooked", "report_overlooked"]

logger = logging.getLogger("asgi_upgrade")

# The codes of coroutines that have run and are not written for WebSockets, by their identity: to hash a code is slow.
_harmless: dict[int, CodeType] = {}
_MOST = 10_000

_reported: set[str] = set()


def find_overlooked(tasks: Sequence[asyncio.Task[Any]]) -> str | None:
    """Return the name of a guard for WebSockets through whose call a request has come, ``None`` without any.

    Not each call is seen, so this can refuse a handshake and proves nothing.

    Args:
        tasks: Those that the handshake has come through. The calls in the current one are running.
    """
    harmless = _harmless
    # Not this call, and not its caller's. What is still a function and no coroutine is on its way to one.
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not frame.f_code.co_flags & inspect.CO_COROUTINE:
        frame = frame.f_back
    while frame is not None:
        if id(frame.f_code) not in harmless:
            if not frame.f_code.co_flags & inspect.CO_COROUTINE:
                break  # the task begins here
            if name := _judge(frame):
                return name
        frame = frame.f_back
    if len(tasks) > 1:
        current = asyncio.current_task()
        for task in tasks:
            for waiting in _frames_of(task) if task is not current else ():
                if name := _judge(waiting):
                    return name
    return None


def _judge(frame: FrameType) -> str | None:
    """Return the name of what runs in ``frame`` if it is a guard for WebSockets that was given a request."""
    code = frame.f_code
    if id(code) in _harmless:
        return None
    if not _is_written_for_websockets(frame):
        if len(_harmless) < _MOST:
            _harmless[id(code)] = code
        return None
    if not _has_request(frame):
        return None
    owner = frame.f_locals.get("self")
    return code.co_name if owner is None else name_of(owner)


def coroutine_frames(tasks: Sequence[asyncio.Task[Any]]) -> Iterator[FrameType]:
    """The coroutines through which a request has come, from the innermost on outwards.

    Args:
        tasks: Those that it has come through, the outermost first. The calls in the current one are running.
    """
    frame = inspect.currentframe()
    awaited = False
    while frame is not None:
        if frame.f_code.co_flags & inspect.CO_COROUTINE:
            awaited = True
            yield frame
        elif awaited:
            break  # the task begins here
        frame = frame.f_back
    current = asyncio.current_task()
    for task in reversed(tasks):
        if task is not current:
            yield from reversed(list(_frames_of(task)))


def _frames_of(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """The calls that wait in a task, from its first on."""
    call: Any = task.get_coro()
    while inspect.iscoroutine(call):
        if call.cr_frame is not None:
            yield call.cr_frame
        call = call.cr_await


def report_overlooked(name: str) -> None:
    """Log, once for each, that handshakes that come through a guard are refused."""
    if name not in _reported:
        _reported.add(name)
        logger.error(
            "%s is written for WebSockets, and has been given a handshake as a request: such handshakes are refused. "
            "Put it among the middleware of an application, a Mount or a route, where it is found, or deliver its path "
            "as it is: insecure_skip_http_middleware.",
            name,
        )


def _is_written_for_websockets(frame: FrameType) -> bool:
    code = frame.f_code
    if not code.co_flags & inspect.CO_COROUTINE:
        return False
    owner: Any = frame.f_locals.get("self")
    if owner is None:
        return read_code(code, str(frame.f_globals.get("__name__"))) is Reading.WEBSOCKET
    return read(owner) is Reading.WEBSOCKET


def _has_request(frame: FrameType) -> bool:
    """Tell whether the function that runs in ``frame`` was given a request, and no WebSocket."""
    kinds = {value.get("type") for value in frame.f_locals.values() if isinstance(value, dict)}
    return "http" in kinds and "websocket" not in kinds
