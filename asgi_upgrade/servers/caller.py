"""Finds out whether the server itself calls an application, or something that stands around it.

ASGI does not tell an application who calls it. The frames of the running call do: a middleware is a function that has
been given a scope itself. Some leave no frame, because they run the application in a task of its own, return its
coroutine without awaiting it, or are compiled. So the server must be seen to hold the application, too.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import FrameType
from typing import Any

from asgi_upgrade.references import reaches

__all__ = ["is_called_by_server"]

_SERVERS = frozenset(("daphne", "granian", "gunicorn", "h2corn", "hypercorn", "uvicorn", "uvicorn_worker"))
# Packages of test clients whose own functions take a scope.
_CLIENTS = frozenset(("async_asgi_testclient", "httpx_ws"))
# From what a server has at hand where it calls an application to the application.
_DEPTH = 3


def is_called_by_server(application: Any) -> bool:
    """Tell whether nothing stands between the server and ``application`` in the WebSocket call that is running.

    Under a server that is none of `_SERVERS`, a middleware that leaves no frame is not found.
    """
    entry: FrameType | None = None
    outside: list[FrameType] = []
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if caller is application or (entry and getattr(caller, "__dict__", {}).get("asgi_app") is application):
            # The outermost, because an overridden `__call__` calls the one it overrides. What keeps an application in
            # `asgi_app`, as Quart does, is the application that the server knows.
            application, entry = caller, frame
            outside.clear()
        else:
            outside.append(frame)
        frame = frame.f_back
    if entry is None or any(_has_scope(each) and _package(each) not in _SERVERS | _CLIENTS for each in outside):
        return False
    at_hand = [entry.f_locals.get("send")]
    for each in outside:
        if _package(each) in _SERVERS:
            at_hand += each.f_locals.values()
    if not reaches(at_hand, _is_of_server, through=_leads_to_server, depth=2):
        return True
    return reaches(at_hand, lambda each: each is application, through=_leads_to_server, depth=_DEPTH)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _is_of_server(value: Any) -> bool:
    return any(str(kind.__module__).partition(".")[0] in _SERVERS for kind in type(value).__mro__)


def _leads_to_server(value: Any) -> bool:
    return inspect.ismethod(value) or isinstance(value, partial) or _is_of_server(value)


def _has_scope(frame: FrameType) -> bool:
    """Tell whether the function that runs in ``frame`` has been called with the scope of a WebSocket."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    variables = frame.f_locals
    given = [variables.get(name) for name in code.co_varnames[:count]]
    if code.co_flags & inspect.CO_VARARGS:
        given += variables.get(code.co_varnames[count], ())
    return any(isinstance(value, dict) and value.get("type") == "websocket" for value in given)
