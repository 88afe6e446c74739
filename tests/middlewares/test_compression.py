"""Middlewares that hold the start of a response back: Starlette's and asgi-gzip's GZip, brotli, zstd, etags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.middlewares.conversation import BROWSER, complaints, converse, get

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.support.process import Server

ENCODINGS = {"gzip": "gzip", "brotli": "br", "zstd": "zstd", "asgi_gzip": "gzip", "etags": None}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": None}], ids=["accepting", "plain"])
def test_the_101_gets_out_at_once_with_base_http_middleware_inside(
    start: Callable[..., Server], name: str, headers: dict[str, None]
) -> None:
    server = start(f"compression:{name}")
    response = converse(server, headers=headers)
    assert response.header("x-base") == "seen"
    assert response.header("x-encoding") == "identity", "no compressor lives as long as the connection"
    assert complaints(server) == []


@pytest.mark.parametrize("name", ENCODINGS)
def test_pages_are_treated_as_before(start: Callable[..., Server], name: str) -> None:
    response = get(start(f"compression:{name}"), "/page", BROWSER)
    assert response.status == 200
    assert response.header("content-encoding") == ENCODINGS[name]
    assert (response.header("etag") is not None) is (name == "etags")
