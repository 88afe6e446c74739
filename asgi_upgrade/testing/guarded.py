"""`assert_guarded`: asserts that handshakes without credentials are refused."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from asgi_upgrade.guard.survey import survey
from asgi_upgrade.testing.anonymous import Answer, try_anonymously
from asgi_upgrade.testing.transport import UpgradeTransport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import ASGIApp

__all__ = ["assert_guarded"]


async def assert_guarded(
    app: ASGIApp,
    *paths: str,
    public: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    base_url: str = "http://localhost",
    lifespan: bool = False,
    timeout: float = 5.0,
) -> None:
    """Assert that WebSocket handshakes without credentials are refused: with 401, 403, 407, or a redirect elsewhere.

    Each path is tried twice: without an Origin, and with the page's own. Both must be refused. Any other answer, such
    as 404 or 500, fails the assertion too, because it does not show that a guard has decided.

    Args:
        app: The application. It really runs if it lets the stranger in.
        *paths: Paths to try, such as ``"/rooms/7"``. Default: all WebSocket routes that are found, with a sample for
            each path parameter.
        public: Routes that are open on purpose, by their templates as the application writes them. It counts only if no
            paths are given. Default: none.
        headers: Header fields that every client sends, such as those that a proxy adds. Default: none.
        base_url: Scheme and host of the requests. Default: ``"http://localhost"``.
        lifespan: Whether to run the application's lifespan during the test. Default: ``False``.
        timeout: Seconds for each answer. Default: 5.

    Raises:
        AssertionError: A path lets the stranger in, or does not show a decision; or there is no WebSocket route. The
            message names all such paths.
        ValueError: ``public`` names a route that does not exist.
    """
    tried = list(paths) or _find(app, public)
    assert tried, "No WebSocket route has been found."
    problems = []
    async with AsyncExitStack() as stack:
        transport = UpgradeTransport(app, raise_app_exceptions=False, lifespan=lifespan)
        await stack.enter_async_context(transport)
        for path in tried:
            trial = await try_anonymously(path, transport, base_url=base_url, headers=headers, timeout=timeout)
            if trial.answer is Answer.LET_IN:
                problems.append(f"{path} lets a client without credentials in")
            elif trial.answer is Answer.UNDECIDED:
                problems.append(f"{path} answers a client without credentials with {trial.seen}, which is no refusal")
    assert not problems, "; ".join(problems)


def _find(app: ASGIApp, public: Sequence[str]) -> list[str]:
    routes = survey(app).routes
    if unknown := sorted(set(public) - {route.path for route in routes}):
        raise ValueError(f"There is no WebSocket route {', '.join(unknown)}")
    return [route.sample for route in routes if route.path not in public]
