"""The application of `asgi_rooms.py` in a process that has imported h2corn, which need not serve there."""

from importlib import import_module

from asgi_rooms import app

__all__ = ["app"]

import_module("h2corn")
