"""Which lifespans are found on the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from asgi_upgrade.servers.lifespans import running_lifespans
from tests.unit.connected import run

if TYPE_CHECKING:
    from collections.abc import Callable


class Lifespan:
    """Runs in a task of its own, as those of servers do."""

    def __init__(self, application: Callable[[], Any]) -> None:
        self.application = application
        self.ended = asyncio.Event()

    async def main(self) -> None:
        self.application()
        await self.ended.wait()


class Compiled(Coroutine[Any, Any, None]):
    """A coroutine that shows no frame, such as one of Cython."""

    def __init__(self, inner: Coroutine[Any, Any, None]) -> None:
        self.inner = inner

    def send(self, value: Any) -> Any:
        return self.inner.send(value)

    def throw(self, *error: Any) -> Any:
        return self.inner.throw(*error)

    def close(self) -> None:
        self.inner.close()

    def __await__(self) -> Any:
        return self.inner.__await__()


async def from_a_task(look: Callable[[], None]) -> None:
    look()


async def from_a_compiled_task(look: Callable[[], None]) -> None:
    task: Any = asyncio.get_running_loop().create_task(Compiled(from_a_task(look)))
    await task


async def from_a_callback(look: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(look)
    await asyncio.sleep(0)


@pytest.mark.parametrize("ask", [from_a_task, from_a_compiled_task, from_a_callback])
def test_whoever_asks_finds_a_lifespan_of_another_task(ask: Callable[..., Coroutine[Any, Any, None]]) -> None:
    async def test() -> None:
        found: list[Lifespan] = []
        lifespan = Lifespan(lambda: None)
        task = asyncio.ensure_future(lifespan.main())
        await asyncio.sleep(0)
        await ask(lambda: found.extend(running_lifespans(Lifespan)))
        assert found == [lifespan]
        lifespan.ended.set()
        await task

    run("asyncio", test)


def test_the_lifespan_of_the_task_that_asks_comes_first() -> None:
    async def test() -> None:
        found: list[list[Lifespan]] = []
        lifespans = [Lifespan(lambda: found.append(list(running_lifespans(Lifespan)))) for _ in range(10)]
        tasks = [asyncio.ensure_future(each.main()) for each in lifespans]
        await asyncio.sleep(0)
        assert [each[0] for each in found] == lifespans
        for each in lifespans:
            each.ended.set()
        await asyncio.gather(*tasks)

    run("asyncio", test)
