"""Path patterns, as users write them: predicates on the scope of a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.routing import compile_path
from starlette.types import Scope

__all__ = ["path_predicate"]


def path_predicate(name: str, patterns: Sequence[str] | Callable[[Scope], bool]) -> Callable[[Scope], bool] | None:
    """Return what tells whether a request is for one of some paths, ``None`` if there are none.

    Args:
        name: The argument that the paths are from, for errors.
        patterns: Paths in Starlette's syntax, such as ``"/rooms/{name}"``, without the path at which the application is
            mounted; or a predicate, which is returned as it is.

    Raises:
        ValueError: They are something else; the message says ``name``.
    """
    if callable(patterns):
        return patterns
    if isinstance(patterns, str) or not all(isinstance(p, str) and p.startswith("/") for p in patterns):
        raise ValueError(f"{name} must be paths that start with '/', or a predicate, not {patterns!r}")
    if not patterns:
        return None
    try:
        expressions = [compile_path(pattern)[0] for pattern in patterns]
    except (AssertionError, ValueError) as error:
        raise ValueError(f"{name} has a pattern that cannot be understood: {error}") from None

    def matches(scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return any(expression.match(path) for expression in expressions)

    return matches
