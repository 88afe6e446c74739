"""Path patterns of users: what they match, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_upgrade.http.paths import path_predicate


@pytest.mark.parametrize(
    ("patterns", "path", "root_path", "expected"),
    [
        (["/rooms"], "/rooms", None, True),
        (["/rooms"], "/rooms/", None, False),
        (["/rooms"], "/rooms/1", None, False),
        (["/rooms"], "/x/rooms", None, False),
        (["/rooms/{name}"], "/rooms/ada", None, True),
        (["/rooms/{name}"], "/rooms/ada/1", None, False),
        (["/rooms/{name:path}"], "/rooms/ada/1", None, True),
        (["/rooms/{number:int}"], "/rooms/ada", None, False),
        (["/a", "/b"], "/b", None, True),
        (("/a", "/b"), "/c", None, False),
        # Without the path at which the application is mounted, and that only where it is in front.
        (["/rooms"], "/api/rooms", "/api", True),
        (["/rooms"], "/rooms", "/api", True),
        (["/api/rooms"], "/api/rooms", "/api", False),
    ],
)
def test_a_path_matches_a_whole_pattern(patterns: Any, path: str, root_path: str | None, *, expected: bool) -> None:
    matches = path_predicate("argument", patterns)
    assert matches is not None
    scope = {"path": path} if root_path is None else {"path": path, "root_path": root_path}
    assert matches(scope) is expected


@pytest.mark.parametrize("patterns", [[], ()])
def test_no_patterns_are_no_predicate(patterns: Any) -> None:
    assert path_predicate("argument", patterns) is None


def test_a_predicate_is_used_as_it_is() -> None:
    assert path_predicate("argument", bool) is bool


@pytest.mark.parametrize("patterns", ["/rooms", "", ["rooms"], ["/rooms", ""], [1], [b"/rooms"]])
def test_what_is_no_list_of_paths_is_refused(patterns: Any) -> None:
    with pytest.raises(ValueError, match=r"^argument must be paths that start with '/', or a predicate, not "):
        path_predicate("argument", patterns)


@pytest.mark.parametrize(("pattern", "said"), [("/{name:unknown}", "unknown"), ("/{name}/{name}", "name")])
def test_a_pattern_that_starlette_does_not_know_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^argument has a pattern that cannot be understood: .*{said}"):
        path_predicate("argument", ["/", pattern])
