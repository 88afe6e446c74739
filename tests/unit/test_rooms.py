"""The rooms of the package: none imports one that imports it, and no floor imports a higher one, not even for types."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import asgi_upgrade

PACKAGE = Path(asgi_upgrade.__file__).parent

# From the ground up. What stands in one line may not import one another.
FLOORS = (
    ("system", "http"),
    ("switching",),
    ("websocket", "streams", "tls"),
    ("guard",),
    ("http2",),
    ("servers",),
    ("middleware", "handshake_middleware", "testing"),
    ("check", "probe"),
    ("cli",),
    ("__main__",),
    ("__init__",),
)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


ROOMS = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The rooms that one imports anywhere, also under ``TYPE_CHECKING``, within functions and by a text."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            module = node.module or ""
            found |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module":
            [name] = node.args
            if isinstance(name, ast.Constant):
                found.add(str(name.value))
    rooms = {name.removeprefix("asgi_upgrade.") for name in found if name.startswith("asgi_upgrade.")}
    return (rooms & set(ROOMS)) - {name_of(path)}


def floor(room: str) -> int:
    top = room.partition(".")[0]
    [number] = [number for number, names in enumerate(FLOORS) if top in names]
    return number


def circles(left: dict[str, set[str]]) -> dict[str, set[str]]:
    """What is left of the rooms when all are taken away whose imports have been taken away."""
    left = dict(left)
    while free := [name for name, needs in left.items() if not needs & set(left)]:
        for name in free:
            del left[name]
    return left


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_no_room_imports_from_a_higher_floor_or_a_neighbour(room: str) -> None:
    top = room.partition(".")[0]
    for needed in imported(ROOMS[room]):
        other = needed.partition(".")[0]
        assert other == top or floor(needed) < floor(room), f"{room} imports {needed}"


def test_imports_make_no_circle() -> None:
    needs = {name: imported(path) for name, path in ROOMS.items()}
    assert "websocket.protocol" in needs["websocket.session"]
    assert "http2.upgrade" in needs["servers.uvicorn.attach"]  # which imports it by a text
    assert circles(needs) == {}


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}
    assert set(circles({"a": {"b"}, "b": {"a"}, "c": set(), "d": {"a"}})) == {"a", "b", "d"}


def test_the_documentation_names_every_room() -> None:
    text = (PACKAGE.parent / "docs" / "explanation" / "architecture.md").read_text()
    table = text.partition("## Rooms")[2].partition("## Why it is so")[0]
    named, folder = set(), ""
    for row in re.findall(r"^\|[^|\n]*\|([^|\n]*)\|([^|\n]*)\|", table, re.MULTILINE):
        floor, rooms = (re.findall(r"`([\w/]+)`", cell) for cell in row)
        folder = floor[0] if floor else folder
        if any("middleware" in room for room in rooms):
            folder = ""
        named |= {f"{folder}{room}".replace("/", ".") for room in rooms}
    assert named == {name for name, path in ROOMS.items() if path.stem not in ("__init__", "__main__")}
