"""Tells the test what the application saw: one line of JSON on the server's standard output per note."""

import json
import os
from typing import Any


def note(scope: Any, name: str, **details: Any) -> None:
    """Note `name`, with `details`, about the request whose X-Note-Key header identifies it to the test."""
    key = dict(scope["headers"]).get(b"x-note-key", b"").decode()
    line = json.dumps({"key": key, "name": name, **details}, default=repr)
    # One write, so that the lines of several processes never mix.
    os.write(1, f"NOTE {line}\n".encode())
