"""Proves that no middleware stands between a server that delivers ``websocket`` scopes and an application.

What stands there has not seen the handshake. ASGI does not tell who calls an application. It is proven if objects of a
known server, or of a known test client, lead to the application itself: its `send`, or what is at hand where it calls.
It is disproven if they lead to something else only, or if the running call has passed another function with the scope.
"""

from __future__ import annotations

import enum
import inspect
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

from asgi_upgrade.guard.leaves import package

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Send

__all__ = ["Proof", "prove_outermost"]

_SERVERS = frozenset(("daphne", "granian", "gunicorn", "h2corn", "hypercorn", "uvicorn", "uvicorn_worker"))
_CLIENTS = frozenset(("async_asgi_testclient", "httpx_ws"))
_CLIENT_MODULES = frozenset(("starlette.testclient",))
# Applications that pass everything on unchecked, and where they keep the next one.
_TRANSPARENT = {"quart.app.Quart": "asgi_app", "engineio.async_drivers.asgi.ASGIApp": "other_asgi_app"}
# From what a server has at hand where it calls an application to the application.
_DEPTH = 4


class Proof(enum.Enum):
    """The answer to: does a server itself call this application?"""

    PROVEN = enum.auto()
    UNKNOWN = enum.auto()
    DISPROVEN = enum.auto()


def prove_outermost(application: Any, receive: Receive, send: Send) -> Proof:
    """Tell whether nothing stands between the server and ``application`` in the call that is running.

    Args:
        application: What was called.
        receive: What it was called with.
        send: What it was called with.
    """
    starts: list[Any] = [send, receive]
    for frame in _frames_around(application):
        if _is_of_server(frame.f_globals.get("__name__", "")):
            starts += frame.f_locals.values()
        elif _has_scope(frame):
            return Proof.DISPROVEN
    if _leads_to(starts, application):
        return Proof.PROVEN
    return Proof.DISPROVEN if any(map(_belongs_to_server, starts)) else Proof.UNKNOWN


def _frames_around(application: Any) -> Iterator[FrameType]:
    """The frames outside the outermost call of ``application``, the nearest first."""
    entry: FrameType | None = None
    inner: Any = application
    outside: list[FrameType] = []
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        # The outermost, because an overridden `__call__` calls the one it overrides.
        if caller is inner or (entry is not None and _next_behind(caller) is inner):
            inner, entry = caller, frame
            outside.clear()
        else:
            outside.append(frame)
        frame = frame.f_back
    return iter(outside if entry is not None else ())


def _leads_to(starts: list[Any], application: Any) -> bool:
    level, seen = starts, set[int]()
    for _ in range(_DEPTH + 1):
        for each in level:
            node = each
            while node is not None:
                if node is application:
                    return not _guards_itself(application)
                node = _next_behind(node)
        seen.update(map(id, level))
        level = [found for each in level for found in _references(each) if id(found) not in seen]
    return False


def _guards_itself(application: Any) -> bool:
    """Tell whether it is of a class of the user's that does something before its middleware."""
    kind = next((each for each in type(application).__mro__ if "__call__" in vars(each)), object)
    return package(kind) not in ("asgi_upgrade", "fastapi", "starlette") and not _is_middleware(application)


def _is_middleware(application: Any) -> bool:
    return any(package(kind) == "asgi_upgrade" for kind in type(application).__mro__)


def _next_behind(node: Any) -> Any:
    """Return the application to which one that is known to guard nothing passes everything on."""
    kind = next((each for each in type(node).__mro__ if "__call__" in vars(each)), object)
    attribute = _TRANSPARENT.get(f"{kind.__module__}.{kind.__qualname__}")
    return None if attribute is None else getattr(node, attribute, None)


def _references(value: Any) -> Iterator[Any]:
    """Return the objects that an object of a server refers to; anything else may be a middleware, and leads nowhere."""
    if inspect.ismethod(value):
        yield value.__self__
    elif isinstance(value, partial):
        yield from (value.func, *value.args)
    elif inspect.isfunction(value) and _is_of_server(value.__module__):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # it is still empty
                yield cell.cell_contents
    elif _belongs_to_server(value):
        attributes = getattr(value, "__dict__", {})
        yield from attributes.values()
        yield from attributes["mounts"].values() if isinstance(attributes.get("mounts"), dict) else ()


def _belongs_to_server(value: Any) -> bool:
    return any(_is_of_server(kind.__module__) for kind in type(value).__mro__)


def _is_of_server(module: Any) -> bool:
    return str(module).partition(".")[0] in _SERVERS | _CLIENTS or module in _CLIENT_MODULES


def _has_scope(frame: FrameType) -> bool:
    """Tell whether a function that is of no server has been called with the scope of a WebSocket."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount
    variables = frame.f_locals
    given = [variables.get(name) for name in code.co_varnames[:count]]
    if code.co_flags & inspect.CO_VARARGS:
        given += variables.get(code.co_varnames[count], ())
    return any(isinstance(value, dict) and value.get("type") == "websocket" for value in given)
