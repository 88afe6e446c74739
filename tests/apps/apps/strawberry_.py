"""Strawberry: as a router of FastAPI, and as an ASGI application."""

from collections.abc import AsyncGenerator

import strawberry
from fastapi import FastAPI
from strawberry.asgi import GraphQL
from strawberry.fastapi import GraphQLRouter

from .cookie import guard, guarded, mounting


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str) -> str:
        return f"Hello {name}"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        for number in range(1, to + 1):
            yield number


schema = strawberry.Schema(Query, subscription=Subscription)

router = FastAPI()
guard(router)
router.include_router(GraphQLRouter(schema), prefix="/graphql")

alone = guarded(GraphQL(schema))
mounted = mounting("/graphql", GraphQL(schema))
