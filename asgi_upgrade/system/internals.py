"""Compares what this package uses of the insides of another one with what is there.

A server, or a framework, may change what it has never promised. Then it is to be said at startup which version has
changed what, and not found out by a request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module, metadata
from types import FunctionType, MethodType, ModuleType, WrapperDescriptorType
from typing import Any

__all__ = ["Internals", "Missing", "names_of", "version_of"]


def names_of(owner: Any) -> set[str]:
    """Return the names that a module or a class has, and those that the methods of the class use.

    What an object gets in ``__init__`` is no attribute of its class, but methods name it.

    Args:
        owner: The module or class.
    """
    names = set(dir(owner))
    if not isinstance(owner, ModuleType):
        for kind in owner.__mro__:
            for value in vars(kind).values():
                names.update(_names_in(value))
    return names


def _names_in(value: Any) -> Iterator[str]:
    """The names that a method uses, also where somebody has wrapped it: tools for tracing and tests do that."""
    waiting, seen = [value], set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, property):
            waiting.append(value.fget)
        elif isinstance(value, MethodType):
            waiting.append(value.__func__)
        elif isinstance(value, FunctionType):
            yield from value.__code__.co_names
            yield from value.__code__.co_varnames
            for cell in value.__closure__ or ():
                with suppress(ValueError):  # it is empty
                    waiting.append(cell.cell_contents)
        # Static and class methods have it too.
        if hasattr(type(value), "__wrapped__") or "__wrapped__" in getattr(value, "__dict__", ()):
            waiting.append(value.__wrapped__)


def _hides_names(create: Any) -> bool:
    """Tell whether an ``__init__`` is something, put there by somebody, that does not show what it sets.

    Then nothing can be said to be missing.
    """
    return not isinstance(create, (FunctionType, WrapperDescriptorType)) and not any(_names_in(create))


class Missing(str):
    """Words for what a version of a package lacks."""

    __slots__ = ()


def version_of(distribution: str) -> str:
    """Return the version of an installed package, by its name on PyPI."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of an unknown version"


class Internals:
    """What is used of one package.

    Args:
        distribution: Its name on PyPI.
        needed: What is used: ``module:Class`` or ``module``, and the names.
    """

    def __init__(self, distribution: str, needed: Mapping[str, tuple[str, ...]]) -> None:
        self._distribution = distribution
        self.needed = needed

    def missing(self, *owners: str) -> Missing | None:
        """Return what is not there, as words for a log line; ``None`` if all is.

        Args:
            owners: The keys to look at. Default: all.
        """
        lacking = [each for owner in owners or self.needed for each in self._lacking(owner)]
        if not lacking:
            return None
        return Missing(f"{self._distribution} {version_of(self._distribution)} has no {', '.join(lacking)}")

    def _lacking(self, owner: str) -> Iterator[str]:
        module, _, name = owner.partition(":")
        try:
            found: Any = import_module(module)
            if name:
                found = getattr(found, name)
        except (ImportError, AttributeError):
            yield name or module
            return
        if name and _hides_names(found.__init__):
            return
        names = names_of(found)
        for each in self.needed[owner]:
            if each not in names:
                yield f"{name}.{each}" if name else f"{module}.{each}"
