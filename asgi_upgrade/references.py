"""What a Python object refers to, as far as it leads from something that is called to what that calls."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

__all__ = ["reaches"]


def reaches(
    starts: Iterable[Any], wanted: Callable[[Any], bool], *, through: Callable[[Any], bool], depth: int
) -> bool:
    """Tell whether some object is wanted, or refers to one that is.

    Args:
        starts: Where to begin.
        wanted: What is looked for.
        through: What may lie between.
        depth: How many references may lead there.
    """
    level, seen = list(starts), set[int]()
    for _ in range(depth + 1):
        if any(wanted(each) for each in level):
            return True
        seen.update(map(id, level))
        level = [found for each in level if through(each) for found in _references(each) if id(found) not in seen]
    return False


def _references(value: Any) -> Iterator[Any]:
    """What a function encloses, what a method or a `partial` is made of, what other objects keep in attributes."""
    if inspect.isfunction(value):
        for cell in value.__closure__ or ():
            with suppress(ValueError):  # it is still empty
                yield cell.cell_contents
    elif isinstance(value, partial):
        yield from (value.func, *value.args)
    elif inspect.ismethod(value):
        yield value.__self__
    else:
        yield from getattr(value, "__dict__", {}).values()
