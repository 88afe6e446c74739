"""Tells the test what a guard or an endpoint saw, in this process and on standard output."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Scope

NOTES: list[tuple[str, str]] = []
# Set in a server's process, where the lines on standard output are what the test can see.
SERVING = "GUARD_TEST_SERVER" in os.environ


def note(scope: Scope, name: str) -> None:
    """Note `name` about the request whose X-Note-Key header identifies it to the test."""
    key = dict(scope["headers"]).get(b"x-note-key", b"").decode()
    NOTES.append((key, name))
    if SERVING:
        # One write, so that lines never mix.
        os.write(1, f"NOTE {json.dumps({'key': key, 'name': name})}\n".encode())
