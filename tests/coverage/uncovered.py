"""The functions of which the tests of `tox -e py313` leave out lines, and why: `uncovered.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["FILE", "load", "read"]

FILE = Path(__file__).with_name("uncovered.toml")


def read() -> list[dict[str, Any]]:
    """Give the entries: a reason, and by file the functions it holds for. It needs Python 3.11."""
    import tomllib

    entries: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["uncovered"]
    return entries


def load() -> dict[tuple[str, str], str]:
    """Give the reason for each file and function."""
    reasons: dict[tuple[str, str], str] = {}
    for entry in read():
        for file, functions in entry["functions"].items():
            for function in functions:
                assert (file, function) not in reasons, f"{file}, {function} has two reasons"
                reasons[file, function] = entry["reason"]
    return reasons
