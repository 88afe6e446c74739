"""Reads from the code of a middleware which kind of scope it is written for.

A class that handles ``websocket`` scopes alone must get one, or its guard is off. Any other class gets the handshake as
the request that it is. Names in code are no contract, so a class is taken for the first kind only where nothing speaks
against it. Where its code treats both kinds, a line of the log says so.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

__all__ = ["Reading", "module_of", "nested", "qualified_name", "read", "read_code"]

# They treat both kinds of scope alike, or know what an HTTP request with a 101 is.
_KNOWN = frozenset(
    (
        "a2wsgi",
        "asgi_correlation_id",
        "asgi_etags",
        "asgi_upgrade",
        "elasticapm",
        "engineio",
        "fastapi",
        "hypercorn",
        "opentelemetry",
        "prometheus_fastapi_instrumentator",
        "sentry_sdk",
        "socketio",
        "starlette",
        "starlette_context",
        "starsessions",
        "uvicorn",
    )
)
# To name one of these is to answer a WebSocket, or to refuse it.
_WEBSOCKET_TEXTS = frozenset(("websocket.accept", "websocket.close", "websocket.http.response.start", "subprotocols"))
_WEBSOCKET_NAMES = frozenset(("WebSocketClose", "WebSocketException", "send_denial_response"))
_HTTP_NAMES = frozenset(
    (
        "HTMLResponse",
        "HTTPException",
        "JSONResponse",
        "PlainTextResponse",
        "RedirectResponse",
        "Request",
        "Response",
        "StreamingResponse",
        "call_next",
        "method",
        "status_code",
    )
)


class Reading(enum.Enum):
    """The kind of scope that the code of a middleware shows."""

    HTTP = enum.auto()
    """It does nothing special for WebSockets."""
    WEBSOCKET = enum.auto()
    """It does something for WebSockets, and nothing for requests."""
    UNCLEAR = enum.auto()
    """It treats both, and differently; or it is not clear what it does for WebSockets."""


def read(middleware: Any) -> Reading:
    """Read what a middleware is written for.

    Args:
        middleware: A class, a function that makes a middleware, or a middleware.
    """
    while isinstance(middleware, partial | MethodType):
        middleware = middleware.func if isinstance(middleware, partial) else middleware.__self__
    kind = middleware if isinstance(middleware, type | FunctionType) else type(middleware)
    if isinstance(kind, type) and issubclass(kind, BaseHTTPMiddleware) and kind.__call__ is BaseHTTPMiddleware.__call__:
        return Reading.HTTP  # it never gets anything else
    if isinstance(kind, type) and issubclass(kind, AuthenticationMiddleware):
        # Its backend decides.
        backend = getattr(middleware, "backend", None)
        return Reading.HTTP if backend is None else _read(type(backend))
    return _read(kind)


def _read(kind: type | FunctionType) -> Reading:
    codes = list(_codes(kind))
    if not codes and _root(kind.__module__) not in _KNOWN:
        return Reading.UNCLEAR  # compiled
    return _read_codes(codes)


def read_code(code: CodeType, module: str) -> Reading:
    """Read what a function is written for.

    Args:
        code: Its code.
        module: The module that it belongs to.
    """
    return Reading.HTTP if _root(module) in _KNOWN else _read_codes(list(nested(code)))


def _read_codes(codes: list[CodeType]) -> Reading:
    texts, names = set[str](), set[str]()
    for code in codes:
        texts.update(_texts(code))
        names |= set(code.co_names) | set(code.co_freevars)
    messages = any(text.startswith("websocket.") for text in texts)
    if not messages and "websocket" not in texts:
        return Reading.HTTP
    answers = bool(texts & _WEBSOCKET_TEXTS or names & _WEBSOCKET_NAMES or names >= {"WebSocket", "close"})
    requests = "http" in texts or any(text.startswith("http.") for text in texts) or bool(names & _HTTP_NAMES)
    if answers:
        return Reading.UNCLEAR if requests else Reading.WEBSOCKET
    # It leaves WebSockets alone, or treats them alike; or it looks at their messages, counts, raises: one cannot tell.
    return Reading.HTTP if requests and not messages else Reading.UNCLEAR


def _codes(kind: type | FunctionType) -> Iterator[CodeType]:
    """The code of a function, or of all methods of a class, with what they call of their own package."""
    if isinstance(kind, FunctionType):
        functions = [kind]
    else:
        functions = [
            function
            for base in kind.__mro__
            if _root(base.__module__) not in _KNOWN
            for function in map(inspect.unwrap, filter(inspect.isfunction, vars(base).values()))
            if isinstance(function, FunctionType)
        ]
    seen = set[CodeType]()
    for function in functions:
        called = [function]
        for name in function.__code__.co_names:
            helper = function.__globals__.get(name)
            if isinstance(helper, FunctionType) and _root(module_of(helper)) == _root(module_of(function)):
                called.append(helper)
        called += _given(function)
        for each in called:
            for code in nested(each.__code__):
                if code not in seen:
                    seen.add(code)
                    yield code


def _given(function: FunctionType) -> Iterator[FunctionType]:
    """The functions in a closure that are part of a middleware, as where a decorator makes it of a function."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is still empty
            value = cell.cell_contents
            # A function that takes a scope is what stands behind.
            if (
                isinstance(value, FunctionType)
                and _root(module_of(value)) == _root(module_of(function))
                and value.__code__.co_varnames[: value.__code__.co_argcount] != ("scope", "receive", "send")
            ):
                yield value


def module_of(function: FunctionType) -> str:
    """The module that a function is written in. `functools.wraps` gives it the ``__module__`` of another."""
    return str(function.__globals__.get("__name__"))


def qualified_name(function: FunctionType) -> str:
    """The name that a function is written with, as far as Python knows it if it has the name of another now."""
    if module_of(function) == function.__module__:
        return function.__qualname__
    return str(getattr(function.__code__, "co_qualname", function.__code__.co_name))  # since Python 3.11


def _root(module: str | None) -> str:
    return str(module).partition(".")[0]


def nested(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions and classes in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def _texts(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            # A docstring is a text too, but none of those that are looked for.
            yield constant
        elif isinstance(constant, tuple | frozenset):
            yield from (each for each in constant if isinstance(each, str))
