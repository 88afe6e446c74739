"""`apps/guarded.py` under uvicorn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.server.support.process import uvicorn

APPS = Path(__file__).parent.parent / "apps"
PARSERS = ("httptools", "h11", "zttp")  # the first is the one that uvicorn prefers


def guarded(*options: str, **kwargs: Any) -> Any:
    """Run it until the block ends; a context manager that gives the `Server`."""
    return uvicorn("guarded:app", "--app-dir", str(APPS), *options, **kwargs)
