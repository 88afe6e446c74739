"""HTTPX and its successor: what is installed, and which of them a request belongs to."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

__all__ = ["Library", "installed", "library_of"]

if TYPE_CHECKING:
    from collections.abc import Iterator


class Library(NamedTuple):
    """A library of the HTTPX family.

    Attributes:
        httpx: Its module: requests, responses, transports.
        core: The module below it, whose errors a connection raises.
    """

    httpx: Any
    core: Any


def _find() -> Iterator[Library]:
    for names in (("httpx", "httpcore"), ("httpx2", "httpcore2")):
        with suppress(ImportError):
            yield Library(*map(import_module, names))


installed = tuple(_find())
"""The libraries there are, the older one first."""

if not installed:
    raise ImportError("asgi_upgrade.testing needs the package httpx: pip install 'asgi-upgrade[httpx]'")


def library_of(request: Any) -> Library:
    """Return the library that a request belongs to.

    Raises:
        TypeError: It belongs to none.
    """
    for library in installed:
        if isinstance(request, library.httpx.Request):
            return library
    raise TypeError(f"{type(request).__module__}.{type(request).__qualname__} is no request of httpx or httpx2")
