"""The rooms of HTTP/2: none imports one that imports it, not even for its types."""

from __future__ import annotations

import ast
from pathlib import Path

import asgi_upgrade.http2

ROOMS = {path.stem: path for path in Path(asgi_upgrade.http2.__file__).parent.glob("*.py") if path.stem != "__init__"}
PREFIX = "asgi_upgrade.http2."


def imported(path: Path) -> set[str]:
    """The rooms that one imports anywhere, also under ``TYPE_CHECKING`` and within functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)}
    return found & set(ROOMS)


def test_imports_make_no_circle() -> None:
    left = {name: imported(path) for name, path in ROOMS.items()}
    assert "stream" in left["connection"]
    while left:
        free = [name for name, needs in left.items() if not needs & set(left)]
        assert free, f"these import each other: {left}"
        for name in free:
            del left[name]
