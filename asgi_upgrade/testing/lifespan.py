"""The lifespan of an application, run without a server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from asgi_upgrade.switching.lifespan import IN_PROCESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.types import ASGIApp, Message

__all__ = ["Lifespan", "LifespanError", "run_lifespan"]

_TIMEOUT = 10.0


class LifespanError(Exception):
    """The application has failed to start or to stop, or has no lifespan."""


class Lifespan:
    """Starts and stops an application, each once.

    Args:
        app: The application.
        timeout: Seconds that its startup, and its shutdown, may take. Default: 10.
    """

    def __init__(self, app: ASGIApp, timeout: float = _TIMEOUT) -> None:
        self._app = app
        self._timeout = timeout
        self._state: dict[str, Any] = {}
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._answers = {phase: asyncio.Event() for phase in ("startup", "shutdown")}
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, Any]:
        """Run the startup; return the state that requests get copies of.

        Raises:
            LifespanError: The application says that it has failed, takes too long, or raises. What it raised is the
                cause.
        """
        # In a task of its own: a fixture may be set up in one task and torn down in another.
        self._task = asyncio.create_task(self._run())
        try:
            await self._ask("startup")
        except BaseException:
            await self._cancel()
            raise
        return self._state

    async def stop(self) -> None:
        """Run the shutdown.

        Raises:
            LifespanError: See `start`.
        """
        try:
            await self._ask("shutdown")
            assert self._task is not None
            await asyncio.wait([self._task], timeout=self._timeout)
        finally:
            await self._cancel()

    async def _run(self) -> None:
        IN_PROCESS.set(True)
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        await self._app(scope, self._to_app.get, self._send)

    async def _send(self, message: Message) -> None:
        _, phase, result = message["type"].split(".")
        if result == "failed":
            self._failure = message.get("message", "")
        self._answers[phase].set()

    async def _ask(self, phase: str) -> None:
        assert self._task is not None
        self._to_app.put_nowait({"type": f"lifespan.{phase}"})
        answer = asyncio.create_task(self._answers[phase].wait())
        try:
            await asyncio.wait([answer, self._task], timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answer.cancel()
        if self._failure is not None:
            # Starlette sends the traceback, and then raises.
            await asyncio.wait([self._task], timeout=self._timeout)
        error = self._task.exception() if self._task.done() and not self._task.cancelled() else None
        if self._failure is not None:
            lines = self._failure.strip().splitlines()
            raise LifespanError(f"The application's {phase} has failed: {lines[-1] if lines else ''}") from error
        if self._answers[phase].is_set():
            return
        if error is not None:
            raise LifespanError(f"The application has raised {error!r} in its {phase}.") from error
        if self._task.done():
            raise LifespanError(f"The application has returned before the end of its {phase}: it has no lifespan.")
        raise LifespanError(f"The application's {phase} takes longer than {self._timeout:g} s.")

    async def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task], timeout=self._timeout)


@asynccontextmanager
async def run_lifespan(app: ASGIApp, *, timeout: float = _TIMEOUT) -> AsyncIterator[dict[str, Any]]:
    """Run an application's lifespan around a block: the startup before the block, the shutdown after it.

    `UpgradeTransport` does the same with ``lifespan=True``. It also gives the state to requests.

    Args:
        app: The application.
        timeout: Seconds that its startup, and its shutdown, may take. Default: 10.

    Yields:
        The ``state`` that the application has filled.

    Raises:
        LifespanError: The application has failed to start or to stop, or has no lifespan.
    """
    lifespan = Lifespan(app, timeout)
    state = await lifespan.start()
    try:
        yield state
    finally:
        await lifespan.stop()
