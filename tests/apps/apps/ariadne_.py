"""Ariadne, with the handler of each of its two protocols."""

from collections.abc import AsyncGenerator
from typing import Any

from ariadne import QueryType, SubscriptionType, make_executable_schema
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler, GraphQLWSHandler

from .cookie import guarded, mounting

query, subscription = QueryType(), SubscriptionType()


@query.field("hello")
def hello(_: Any, __: Any, name: str) -> str:
    return f"Hello {name}"


@subscription.source("count")
async def generate(_: Any, __: Any, to: int) -> AsyncGenerator[int, None]:
    for number in range(1, to + 1):
        yield number


@subscription.field("count")
def count(number: int, _: Any, to: int) -> int:
    return number


schema = make_executable_schema(
    "type Query { hello(name: String!): String! } type Subscription { count(to: Int!): Int! }", query, subscription
)

alone = guarded(GraphQL(schema, websocket_handler=GraphQLTransportWSHandler()))
alone_old = guarded(GraphQL(schema, websocket_handler=GraphQLWSHandler()))
mounted = mounting("/graphql", GraphQL(schema, websocket_handler=GraphQLTransportWSHandler()))
mounted_old = mounting("/graphql", GraphQL(schema, websocket_handler=GraphQLWSHandler()))
