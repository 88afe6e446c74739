"""gql, with each of its two protocols: a query and a subscription over one WebSocket."""

from __future__ import annotations

from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from gql import Client, gql
from gql.transport.websockets import WebsocketsTransport

from .background import in_background

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.server.support.process import Server

NEW, OLD = "graphql-transport-ws", "graphql-ws"
QUERY = gql('query { hello(name: "Ada") }')
SUBSCRIPTION = gql("subscription { count(to: 5) }")


@asynccontextmanager
async def connected(url: str, headers: Mapping[str, str], subprotocol: str) -> AsyncIterator[Any]:
    transport = WebsocketsTransport(
        url, headers=dict(headers), subprotocols=[subprotocol], connect_args={"proxy": None}, close_timeout=2
    )
    async with Client(transport=transport) as session:
        # By the old protocol Strawberry takes no queries.
        answer = await session.execute(QUERY) if subprotocol == NEW else None
        numbers = [each["count"] async for each in session.subscribe(SUBSCRIPTION)]
        yield transport.subprotocol, answer, numbers


def new(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    return in_background(connected(server.url("ws", path), headers, NEW))


def old(server: Server, headers: Mapping[str, str], path: str) -> AbstractContextManager[Any]:
    return in_background(connected(server.url("ws", path), headers, OLD))
