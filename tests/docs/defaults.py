"""Shows a default by its value in the reference, where the code has a private name for it.

Griffe, which reads the code for the site, loads this: `zensical.toml` names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from griffe import Attribute, Expr, Function


class ValuesOfDefaults(griffe.Extension):
    """Replaces ``_TIMEOUT`` by ``5.0``, and ``_DefaultInt(64)`` by ``64``."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Replace the private names of a package that has been read."""
        _visit(pkg)


def _visit(parent: griffe.Module | griffe.Class) -> None:
    for member in parent.members.values():
        if member.is_alias:
            continue
        if isinstance(member, griffe.Function):
            for parameter in member.parameters:
                parameter.default = _find_value(parameter.default, member)
        elif isinstance(member, griffe.Attribute):
            member.value = _find_value(member.value, member)
        elif isinstance(member, (griffe.Module, griffe.Class)):
            _visit(member)


def _find_value(default: Expr | str | None, owner: Function | Attribute) -> Expr | str | None:
    """What a private name stands for; other defaults as they are."""
    if isinstance(default, griffe.ExprCall) and str(default.function).startswith("_Default"):
        return default.arguments[0]
    if isinstance(default, griffe.ExprName) and default.name.startswith("_"):
        constant = owner.module.members.get(default.name)
        if isinstance(constant, griffe.Attribute):
            return constant.value
    return default
