"""marimo's ASGI application."""

from pathlib import Path

import marimo

from .cookie import guarded, mounting

NOTEBOOK = str(Path(__file__).with_name("marimo_notebook.py"))


def server():  # type: ignore[no-untyped-def]
    return marimo.create_asgi_app(quiet=True).with_app(path="/notebook", root=NOTEBOOK).build()


alone = guarded(server())
mounted = mounting("/", server())
