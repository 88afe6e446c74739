"""Tells an application that answers WebSockets itself from one that may have a guard, or another application, inside.

Only the first, a leaf, is given a ``websocket`` scope. The second gets the handshake as the request that it is.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from types import CodeType, FunctionType, GenericAlias, MethodType, ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.responses import Response
from starlette.routing import Router
from starlette.staticfiles import StaticFiles

from asgi_upgrade.guard.layers import module_of, nested

__all__ = [
    "Kind",
    "held",
    "holds_router",
    "is_application",
    "is_endpoint",
    "is_framework",
    "kept_in",
    "kind_of",
    "named_by",
    "next_of",
    "package",
]

# Frameworks that are no Starlette: what stands inside one of their applications is their own affair. Those of GraphQL
# keep a schema, whose resolvers look like applications, and which may be larger than what is looked through.
_FRAMEWORKS = frozenset(
    (
        "aiohttp",
        "ariadne",
        "blacksheep",
        "channels",
        "connexion",
        "django",
        "esmerald",
        "falcon",
        "litestar",
        "lilya",
        "quart",
        "sanic",
        "starlette_graphene3",
        "strawberry",
    )
)
_ENGINE_IO = frozenset(("engineio", "socketio"))
# Where a walk over objects ends: what is larger than this has not been looked through.
_LIMIT = 2000
# Whose objects may be called, but not with a scope: methods, `lru_cache`, locks, `methodcaller`, `list[int]`.
_CALLABLE = frozenset(("_asyncio", "_thread", "builtins", "functools", "operator", "types"))
# Where functions that answer WebSockets become applications, and the name of these.
_ROUTING = ("starlette.routing", "fastapi.routing")
_ENDPOINT = "websocket_session.<locals>.app"
# The event loop, which locks and queues keep, refers to everything.
_PLAIN = (
    str,
    bytes,
    bytearray,
    int,
    float,
    complex,
    type(None),
    type,
    ModuleType,
    Response,
    asyncio.AbstractEventLoop,
    weakref.ref,
)


class Kind(enum.Enum):
    """The way of a handshake at an application."""

    STARLETTE = enum.auto()
    """An application or router of Starlette: its routes answer."""
    LEAF = enum.auto()
    """It answers WebSockets, and nothing else is inside."""
    PAGES = enum.auto()
    """It answers requests only."""
    LAYER = enum.auto()
    """Something may be inside."""
    ENGINE_IO = enum.auto()
    """Like `LAYER`, and it answers a handshake in WebSocket messages."""


def kind_of(app: Any, *, placed: bool = False) -> Kind:
    """Tell what becomes of a handshake at ``app``.

    Args:
        app: The application.
        placed: Whether somebody has put an `UpgradeMiddleware` right around it. Then functions that it calls by their
            names are parts of it, those that were made together with it too. Default: ``False``.
    """
    if isinstance(app, Starlette | Router):
        return Kind.STARLETTE
    if inspect.isclass(app):
        return _kind_of_class(app, placed=placed)
    if _packages(app) & _ENGINE_IO:
        return Kind.LEAF if getattr(app, "other_asgi_app", None) is None else Kind.ENGINE_IO
    if is_framework(app):
        return Kind.LEAF
    if isinstance(app, StaticFiles | Response) or any(kind.__name__ == "WSGIMiddleware" for kind in type(app).__mro__):
        return Kind.PAGES
    if isinstance(app, FunctionType) and module_of(app) in _ROUTING:
        return Kind.LEAF  # what they make of the function of a WebSocket endpoint
    functions = list(_functions(app))
    inside = [each for each in held(app) if not (placed and _is_made_with(app, each))]
    if not functions or inside:
        return Kind.LAYER  # compiled, or a middleware
    named = named_by(app)
    if not named or any("websocket" in _constants(each.__code__) for each in functions):
        # If it calls others by their names, and names WebSockets too, it decides itself what is done with them.
        return Kind.LEAF
    return Kind.LEAF if placed and not any(map(holds_router, named)) else Kind.LAYER


def named_by(app: Any) -> list[Any]:
    """The global objects that the functions of ``app`` name and that may be applications."""
    return [value for value in _named(_functions(app)) if is_application(value)]


def is_framework(app: Any) -> bool:
    """Tell whether ``app`` is an application of a framework that is no Starlette."""
    return bool(_packages(app) & _FRAMEWORKS)


def _packages(app: Any) -> set[str]:
    owner = app.__self__ if isinstance(app, MethodType) else app
    return {package(kind) for kind in type(owner).__mro__}


def package(kind: type) -> str:
    """The name of the package that a class belongs to."""
    return str(kind.__module__).partition(".")[0]


def held(app: Any) -> list[Any]:
    """The applications that ``app`` has been given: in attributes, closures, `partial` objects and containers.

    More than can be looked through counts as one.
    """
    found: list[Any] = []
    seen, waiting, count = {id(app)}, deque(_references(app)), 0
    while waiting:
        value = waiting.popleft()
        if id(value) in seen or _is_namespace(value) or (isinstance(value, _PLAIN) and not is_application(value)):
            continue
        seen.add(id(value))
        count += 1
        if count > _LIMIT:
            return [*found, value]
        if isinstance(value, MethodType) and id(value.__self__) in seen:
            continue  # its own method
        if is_application(value):
            found.append(value)
        else:
            waiting.extend(_references(value))
    return found


def _is_namespace(value: Any) -> bool:
    """Tell whether ``value`` is what a module contains: kept to look names up, as where annotations are resolved."""
    return isinstance(value, dict) and "__spec__" in value and "__name__" in value


def next_of(app: Any) -> dict[str, Any]:
    """The attributes of a middleware that keep the next application, and those applications; by convention ``app``.

    Of a method they are those of its object, if that is no application of Starlette, which has its own ways inside.
    """
    if isinstance(app, FunctionType | type):
        return {}  # `functools.wraps` copies to a function what belongs to others; a class has methods
    if isinstance(app, MethodType):
        return {} if isinstance(app.__self__, Starlette | Router) else next_of(app.__self__)
    return {
        name: value
        for name, value in getattr(app, "__dict__", {}).items()
        if is_application(value) and not (isinstance(value, MethodType) and value.__self__ is app)
    }


def is_endpoint(value: Any) -> bool:
    """Tell whether ``value`` answers WebSockets: a class for that, or what is made of the function of a route."""
    if isinstance(value, type):
        return _is_subclass(value, WebSocketEndpoint)
    return isinstance(value, FunctionType) and module_of(value) in _ROUTING and value.__qualname__ == _ENDPOINT


def holds_router(app: Any) -> bool:
    """Tell whether an application or a router of Starlette is inside ``app``, where `held` finds things.

    An endpoint ends the way: what it has is for itself, as FastAPI's have their application.
    """
    waiting, seen = [app], set[int]()
    while waiting and len(seen) < _LIMIT:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Starlette | Router):
            return True
        if is_endpoint(value):
            continue
        waiting.extend(held(value))
        waiting.extend(named_by(value))
    return False


def _kind_of_class(app: type, *, placed: bool) -> Kind:
    """A class that is called with a scope and awaited, as Starlette's endpoints are."""
    if issubclass(app, HTTPEndpoint):
        return Kind.PAGES
    # Any other class is not looked through. Who puts `UpgradeMiddleware` right around it wants it to get WebSockets.
    return Kind.LEAF if placed or issubclass(app, WebSocketEndpoint) else Kind.LAYER


def _is_made_with(app: Any, part: Any) -> bool:
    """Tell whether a function, and a function or class, are defined in the same function: neither was given."""
    if not (isinstance(app, FunctionType) and isinstance(part, FunctionType | type)):
        return False
    around, _, _ = app.__qualname__.rpartition(".")
    module = part.__module__ if isinstance(part, type) else module_of(part)
    return around.endswith("<locals>") and (module_of(app), f"{around}.{part.__name__}") == (module, part.__qualname__)


def is_application(value: Any) -> bool:
    """Tell whether ``value`` may be called with a scope, `receive` and `send`."""
    if isinstance(value, Starlette | Router):
        return True
    if isinstance(value, type):
        return _is_class_of_endpoints(value)
    if isinstance(value, _PLAIN):
        return False
    if isinstance(value, partial):
        return is_application(value.func) or any(map(is_application, value.args))
    function = value if isinstance(value, FunctionType | MethodType) else getattr(type(value), "__call__", None)  # noqa: B004
    bound = 0 if isinstance(value, FunctionType) else 1
    if isinstance(function, MethodType):
        function = function.__func__
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return package(type(value)) not in _CALLABLE and callable(value)
    positional = code.co_argcount - bound
    names = code.co_varnames[bound : code.co_argcount]
    if positional == 0 and code.co_flags & inspect.CO_VARARGS:
        return inspect.iscoroutinefunction(function)
    return positional == 3 and (inspect.iscoroutinefunction(function) or names == ("scope", "receive", "send"))


def _is_subclass(kind: type, base: type) -> bool:
    """Before Python 3.11 a ``list[int]`` says that it is a class."""
    return not isinstance(kind, GenericAlias) and issubclass(kind, base)


def _is_class_of_endpoints(kind: type) -> bool:
    """Tell whether a class is called with a scope, `receive` and `send`, and its object is awaited."""
    if _is_subclass(kind, HTTPEndpoint) or _is_subclass(kind, WebSocketEndpoint):
        return True
    code = getattr(getattr(kind, "__init__", None), "__code__", None)
    return hasattr(kind, "__await__") and isinstance(code, CodeType) and code.co_argcount == 4


def kept_in(value: FunctionType | partial[Any]) -> Iterator[Any]:
    """What a function keeps in its closure and its defaults, or a ``partial`` in its arguments."""
    if isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
        return
    for cell in value.__closure__ or ():
        with suppress(ValueError):  # it is still empty
            yield cell.cell_contents
    yield from value.__defaults__ or ()
    yield from (value.__kwdefaults__ or {}).values()


def _references(value: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType | partial):
        yield from kept_in(value)
    elif isinstance(value, MethodType):
        yield value.__self__
    elif isinstance(value, Mapping):
        with suppress(Exception):  # whatever a mapping of the user's may do
            yield from list(value.values())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from value
    else:
        yield from getattr(value, "__dict__", {}).values()
        for kind in type(value).__mro__:
            for name in _slots(kind):
                with suppress(AttributeError):
                    yield getattr(value, name)


def _slots(kind: type) -> Iterable[str]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _functions(app: Any) -> Iterator[FunctionType]:
    """The functions in which ``app`` is written."""
    if isinstance(app, FunctionType):
        yield app
    elif isinstance(app, MethodType):
        yield from _functions(app.__func__)
        yield from _functions(app.__self__)
    elif isinstance(app, partial):
        yield from _functions(app.func)
    elif not isinstance(app, _PLAIN):
        for kind in type(app).__mro__:
            yield from (each for each in vars(kind).values() if isinstance(each, FunctionType))


def _named(functions: Iterable[FunctionType]) -> Iterator[Any]:
    """The global objects that functions name, those in modules that they name too."""
    for function in functions:
        names = set(_names(function.__code__))
        modules: list[Mapping[str, Any]] = [function.__globals__]
        modules += [vars(value) for value in map(function.__globals__.get, names) if isinstance(value, ModuleType)]
        for module in modules:
            yield from (module[name] for name in names if name in module)


def _names(code: CodeType) -> Iterator[str]:
    for each in nested(code):
        yield from each.co_names


def _constants(code: CodeType) -> set[Any]:
    found = set[Any]()
    for each in nested(code):
        for constant in each.co_consts:
            found.update(constant if isinstance(constant, tuple | frozenset) else (constant,))
    return found
