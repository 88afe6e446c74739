"""Loads an application by the name that servers are given."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from pathlib import Path
from typing import Any

__all__ = ["LoadError", "load"]


class LoadError(Exception):
    """The application cannot be loaded; the message says why."""


def load(target: str, *, factory: bool = False, app_dir: str = ".") -> Any:
    """Return the application that ``target`` names.

    Its module is imported, and runs as far as an import does. No lifespan is run, and no socket is opened.

    Args:
        target: ``"module:attribute"``; the attribute may have dots.
        factory: Whether the attribute is a function that makes the application. Default: ``False``.
        app_dir: The folder that modules are looked for in first. Default: the current one.

    Raises:
        LoadError: It is not there, it raises, or it cannot be called.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise LoadError(f"{target!r} is not of the form module:application")
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        raise LoadError(
            f"{module_name} is the name of a file; name its module, such as {Path(module_name).stem}:{attribute}, "
            "and its folder with --app-dir"
        )
    if not Path(app_dir).is_dir():
        raise LoadError(f"there is no folder {app_dir}")
    folder = str(Path(app_dir).resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
        for name in attribute.split("."):
            found = getattr(found, name)
        if factory:
            found = found()
    except (Exception, SystemExit) as error:
        raise LoadError(f"{target} cannot be loaded: {type(error).__name__}: {error}{_place(error)}") from error
    if not callable(found):
        raise LoadError(f"{target} is no application: {found!r}"[:300])
    if not factory and _takes_nothing(found):
        raise LoadError(f"{target} takes no arguments, so it is no application; --factory calls it to make one")
    return found


def _place(error: BaseException) -> str:
    """Where the application's code was when it failed: the last line that is neither ours nor the import system's."""
    ours = (__file__, importlib.__file__)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in ours and not frame.filename.startswith("<frozen importlib")
    ]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _takes_nothing(found: Any) -> bool:
    """Whether a call without arguments is the only one that works: applications take at least a scope."""
    try:
        return not inspect.signature(found).parameters
    except (TypeError, ValueError):  # it is written in C, or hides what it takes
        return False
