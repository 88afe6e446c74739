"""Finds out whether the server itself calls an application, or something that stands around it.

ASGI does not tell an application who calls it. The frames of the running call do: a middleware is a function that has
been given a scope itself.
"""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any

__all__ = ["is_called_by_server"]

# Packages of servers and test clients whose own functions take a scope, too.
_SERVERS = frozenset(
    ("async_asgi_testclient", "daphne", "granian", "gunicorn", "h2corn", "httpx_ws", "hypercorn", "uvicorn")
)


def is_called_by_server(application: Any) -> bool:
    """Tell whether nothing stands between the server and ``application`` in the WebSocket call that is running.

    What runs its application in a task of its own, or returns the coroutine of the application without awaiting it,
    leaves no trace in the frames, and is only found under uvicorn.
    """
    entry: FrameType | None = None
    frame = inspect.currentframe()
    while frame is not None:
        # The outermost, because an overridden `__call__` calls the one it overrides.
        if frame.f_locals.get("self") is application:
            entry = frame
        frame = frame.f_back
    if entry is None:
        return False
    if "uvicorn" in sys.modules:
        from asgi_upgrade.servers.uvicorn.attach import calls_directly

        direct = calls_directly(application, entry.f_locals.get("send"))
        if direct is not None:
            return direct
    frame = entry.f_back
    while frame is not None:
        if _has_scope(frame) and frame.f_globals.get("__name__", "").partition(".")[0] not in _SERVERS:
            return False
        frame = frame.f_back
    return True


def _has_scope(frame: FrameType) -> bool:
    """Tell whether the function that runs in ``frame`` has been called with the scope of a WebSocket."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    variables = frame.f_locals
    given = [variables.get(name) for name in code.co_varnames[:count]]
    if code.co_flags & inspect.CO_VARARGS:
        given += variables.get(code.co_varnames[count], ())
    return any(isinstance(value, dict) and value.get("type") == "websocket" for value in given)
