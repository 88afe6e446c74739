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


class _Ways:
    """The ways of handshakes through calls that are harmless, each as the lines that the calls stand at.

    Attributes:
        harmless: The ways, each from the innermost call on outwards.
        depth: How many calls of a way are looked at; as many as the longest way so far has, none at first.
    """

    MOST = 1_000

    def __init__(self) -> None:
        self.harmless: set[tuple[Any, ...]] = set()
        self.depth = 0


_ways = _Ways()

_reported: set[str] = set()


def find_overlooked(tasks: Sequence[asyncio.Task[Any]]) -> str | None:
    """Return the name of a guard for WebSockets through whose call a request has come, ``None`` without any.

    Not each call is seen, so this can refuse a handshake and proves nothing.

    Args:
        tasks: Those that the handshake has come through. The calls in the current one are running.
    """
    way = _running_lines(_ways.depth)
    if way not in _ways.harmless and (running := _find_running(way)):
        return running
    if len(tasks) > 1:
        current = asyncio.current_task()
        for task in tasks:
            for call in _calls_of(task) if task is not current else ():
                # To ask for its frame makes an object of it.
                if id(call.cr_code) not in _harmless and (waiting := _judge(call.cr_frame)):
                    return waiting
    return None


async def _nothing() -> None:
    """Is not awaited."""


def _running_lines(depth: int) -> tuple[Any, ...]:
    """Return file, line and name of the running calls, from this one on outwards.

    Python notes them for a new coroutine without a frame object for each. These would live as long as their calls,
    for a WebSocket as long as the connection, a quarter of a KiB each.

    Args:
        depth: How many, at most.
    """
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(depth)
    coroutine: Any = _nothing()
    sys.set_coroutine_origin_tracking_depth(before)
    coroutine.close()
    return coroutine.cr_origin or ()


def _find_running(way: tuple[Any, ...]) -> str | None:
    """Judge the running calls of the current task; remember their way if none of them is of interest.

    Args:
        way: The lines that they stand at.
    """
    length = 2  # this call and `_running_lines` stand at the same place
    harmless = True
    frame: FrameType | None = sys._getframe(1)
    # What is still a function and no coroutine is on its way to one.
    while frame is not None and not frame.f_code.co_flags & inspect.CO_COROUTINE:
        frame = frame.f_back
        length += 1
    while frame is not None and frame.f_code.co_flags & inspect.CO_COROUTINE:
        if name := _judge(frame):
            return name
        harmless = harmless and id(frame.f_code) in _harmless
        frame = frame.f_back
        length += 1
    # The task begins at `frame`, which must be among the lines: more calls could stand behind the last of them.
    if length > _ways.depth:
        _ways.depth = length
    elif harmless and len(_ways.harmless) < _ways.MOST and not any(map(_is_made_up, way[: length - 1])):
        _ways.harmless.add(way)
    return None


def _is_made_up(line: tuple[str, int, str]) -> bool:
    """Tell whether code has no file: other code may have the same name for it."""
    return line[0].startswith("<")


def _judge(frame: FrameType | None) -> str | None:
    """Return the name of what runs in ``frame`` if it is a guard for WebSockets that was given a request."""
    if frame is None:
        return None  # its call has ended
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
            frames = [call.cr_frame for call in _calls_of(task)]
            yield from (each for each in reversed(frames) if each is not None)


def _calls_of(task: asyncio.Task[Any]) -> Iterator[Any]:
    """The calls that wait in a task, from its first on."""
    call: Any = task.get_coro()
    while inspect.iscoroutine(call):
        yield call
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
    owner: Any = frame.f_locals.get("self")
    if owner is None:
        return read_code(frame.f_code, str(frame.f_globals.get("__name__"))) is Reading.WEBSOCKET
    return read(owner) is Reading.WEBSOCKET


def _has_request(frame: FrameType) -> bool:
    """Tell whether the function that runs in ``frame`` was given a request, and no WebSocket."""
    kinds = {value.get("type") for value in frame.f_locals.values() if isinstance(value, dict)}
    return "http" in kinds and "websocket" not in kinds
