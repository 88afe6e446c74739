"""A page, as a browser gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.server.support.process import Server


def page(server: Server, path: str, headers: Mapping[str, str]) -> str:
    return httpx.get(server.url("http", path), headers=headers, timeout=20).raise_for_status().text
