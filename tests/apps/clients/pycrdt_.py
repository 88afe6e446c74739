"""A document of 2 MB goes from one of pycrdt's providers through a room to another, by y-websocket's protocol."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import httpx
from httpx_ws import aconnect_ws
from pycrdt import Doc, Provider, Text
from pycrdt.websocket.websocket import HttpxWebsocket

from .background import in_background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.server.support.process import Server

LIMIT = 16 * 1024 * 1024
# What does not compress well, so that it is as long on the wire.
LONG = random.Random(1).randbytes(1_000_000).hex()


@asynccontextmanager
async def sharing(url: str, headers: Mapping[str, str], document: Doc[Any]) -> AsyncIterator[None]:
    opening: Any = aconnect_ws
    async with (
        httpx.AsyncClient(headers=dict(headers)) as http,
        opening(url, http, max_message_size_bytes=LIMIT) as websocket,
        Provider(document, HttpxWebsocket(websocket, url)) as provider,
    ):
        await provider.synced.wait()
        yield


async def text_of(document: Doc[Any], length: int) -> str:
    with anyio.fail_after(20):
        while len(text := str(document.get("text", type=Text))) < length:  # noqa: ASYNC110 (no event says so)
            await anyio.sleep(0.05)
    return text


@asynccontextmanager
async def connected(url: str, headers: Mapping[str, str]) -> AsyncIterator[Any]:
    first: Doc[Any] = Doc()
    second: Doc[Any] = Doc()
    first.get("text", type=Text).insert(0, LONG)
    with anyio.CancelScope() as scope:
        async with sharing(url, headers, first), sharing(url, headers, second):
            # The first has it before it connects, the second is told; then the second adds, and the first is told.
            received = await text_of(second, len(LONG))
            second.get("text", type=Text).insert(len(LONG), "the end")
            complete = await text_of(first, len(LONG) + len("the end"))
            yield received == LONG, complete == LONG + "the end"
            scope.deadline = anyio.current_time() + 5  # a provider waits until all is sent, to a dead server too


def client(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    return in_background(connected(server.url("http", f"{path}/{uuid4()}"), headers))
