"""A page, as a browser gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from tests.server.support.process import Server


def page(server: Server, path: str) -> str:
    """Give the page to everybody, so that who has no cookie is refused where its WebSocket begins."""
    headers = {"Cookie": "session=secret"}
    return httpx.get(server.url("http", path), headers=headers, timeout=20).raise_for_status().text
