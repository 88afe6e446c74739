"""Where the next application is kept: in attributes of an object, in the closure or the defaults of a function.

An attribute that can be called as an application is the next one, by convention. A function keeps its helpers in the
same places as the next application, so there only what is proven to be one counts.

A function is never changed: it gets a copy. What it keeps may belong to others too.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial, update_wrapper
from operator import is_
from types import CellType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Router

from asgi_upgrade.guard.handshake import is_policy
from asgi_upgrade.guard.leaves import held, is_application, is_endpoint, kept_in, next_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

__all__ = ["Adapter", "LeadingBack", "Rebuilding", "is_next", "keeps_as_function"]

# What is larger has not been looked through.
_LIMIT = 2000


class Adapter:
    """Stands in front of ``app``; lets everything pass that is no handshake.

    What ``app`` returns is returned: servers report what is not ``None``. It has the public attributes of ``app``, for
    a middleware that reads them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __getattr__(self, name: str) -> Any:
        # `app` itself is asked for when there is none yet, as where a copy is made. Others, such as `__self__`, tell
        # what an object is: an adapter is not what it stands in front of.
        if name == "app" or (name.startswith("__") and name not in {"__name__", "__qualname__"}):
            raise AttributeError(name)
        return getattr(self.app, name)


class LeadingBack(Adapter):
    """Stands for what is further out and is found again further inside, in a circle.

    ``app`` is what that becomes: it is known only when all that is inside has been adapted.
    """

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call it. A helper of a function may take more than an application does."""
        app: Any = self.app
        return app(*arguments, **keywords)


class Rebuilding:
    """Makes copies of functions, and of `partial` objects, which keep something else as the next application.

    Args:
        adapted: Returns what to keep in place of an application.
        base: What is known to be an application, see `is_next`.
        running: What stands for the functions that are being copied, by their identity, where one leads back to them.

    Attributes:
        found: The applications that have been given to ``adapted``.
    """

    def __init__(self, adapted: Callable[[ASGIApp], ASGIApp], base: Any, running: dict[int, LeadingBack]) -> None:
        self.found: list[Any] = []
        self._adapted = adapted
        self._base = base
        self._running = running
        self._circular: list[Any] = []

    def hidden(self, holder: Any) -> list[Any]:
        """What ``holder`` keeps besides, if it may be an application: nobody knows what is done with it."""
        rest = [each for each in _held_besides_itself(holder) if not any(each is other for other in self.found)]
        return rest + self._circular

    def rebuild(self, holder: Any, back: LeadingBack | None = None) -> Any:
        """Return a copy, or the function itself if nothing is to be replaced.

        Args:
            holder: A function or a ``partial``.
            back: Stands for it where something inside leads back to it. Default: one that leads to the copy.
        """
        if id(holder) in self._running:
            self._circular.append(holder)
            return self._running[id(holder)]
        to_copy = LeadingBack(holder)
        self._running[id(holder)] = to_copy if back is None else back
        copy = self._rebuild_partial(holder) if isinstance(holder, partial) else self._rebuild_function(holder)
        to_copy.app = copy
        del self._running[id(holder)]
        return copy

    def _rebuild_partial(self, holder: partial[Any]) -> Any:
        # Its function is not what stands behind, but a part of it.
        function = self.rebuild(holder.func) if keeps_as_function(holder.func) else self._replaced(holder.func)
        arguments = tuple(map(self._replaced, holder.args))
        keywords = {name: self._replaced(value) for name, value in holder.keywords.items()}
        before = (holder.func, *holder.args, *holder.keywords.values())
        if _are_same(before, (function, *arguments, *keywords.values())):
            return holder
        copy = type(holder)(function, *arguments, **keywords)
        vars(copy).update(vars(holder))
        return copy

    def _rebuild_function(self, holder: FunctionType) -> Any:
        cells = holder.__closure__ or ()
        closure = tuple(map(self._replaced_cell, cells))
        defaults, keywords = holder.__defaults__ or (), holder.__kwdefaults__ or {}
        new_defaults = tuple(map(self._replaced, defaults))
        new_keywords = {name: self._replaced(value) for name, value in keywords.items()}
        if _are_same((*cells, *defaults, *keywords.values()), (*closure, *new_defaults, *new_keywords.values())):
            return holder
        copy = FunctionType(holder.__code__, holder.__globals__, argdefs=new_defaults or None, closure=closure)
        update_wrapper(copy, holder)
        del vars(copy)["__wrapped__"]  # it is no wrapper
        vars(copy).update(vars(holder))
        copy.__kwdefaults__ = new_keywords or None
        return copy

    def _replaced_cell(self, cell: CellType) -> CellType:
        with suppress(ValueError):  # it is still empty
            content = cell.cell_contents
            new = self._replaced(content)
            if new is not content:
                return CellType(new)
        return cell

    def _replaced(self, value: Any) -> Any:
        if not is_next(value, self._base):
            return value
        if keeps_as_function(value) and (id(value) in self._running or not is_application(value)):
            return self.rebuild(value)  # a helper, which goes on to the next application
        self.found.append(value)
        return self._adapted(value)


def _held_besides_itself(holder: Any) -> list[Any]:
    if not isinstance(holder, partial):
        return held(holder)
    arguments = (*holder.args, *holder.keywords.values())
    if keeps_as_function(holder.func):
        return [*_held_besides_itself(holder.func), *held(arguments)]
    return held((holder.func, *arguments))


def _are_same(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    return all(map(is_, before, after))


def keeps_as_function(value: Any) -> bool:
    """Tell whether ``value`` keeps the next application as functions do, and not in an attribute."""
    return isinstance(value, FunctionType | partial)


def is_next(value: Any, base: Any = None) -> bool:
    """Tell whether it is proven that ``value`` is an application, or leads to one.

    Proven are WebSocket endpoints, applications and routers of Starlette, and an `UpgradeMiddleware`.

    Args:
        value: What a function keeps.
        base: What is known to be an application: that of a route, around which its middleware stands.
    """
    waiting, seen = deque([value]), set[int]()
    while waiting and len(seen) < _LIMIT:
        each = waiting.popleft()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if (base is not None and each is base) or _is_known(each):
            return True
        waiting.extend(_kept(each))
    return False


def _is_known(value: Any) -> bool:
    if isinstance(value, type | FunctionType):
        return is_endpoint(value)
    owner = value.__self__ if isinstance(value, MethodType) else value
    return isinstance(owner, Starlette | Router | Adapter) or is_policy(value)


def _kept(value: Any) -> Iterator[Any]:
    if keeps_as_function(value):
        yield from kept_in(value)
    elif is_application(value):
        yield from next_of(value).values()
