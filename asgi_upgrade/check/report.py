"""The report of a check: routes, origins, servers, and what is wrong."""

from __future__ import annotations

import fnmatch
import logging
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from asgi_upgrade.check.servers import describe_servers
from asgi_upgrade.check.verdict import Judgement, Verdict, is_named, judge
from asgi_upgrade.guard.survey import Survey, SurveyedRoute, survey
from asgi_upgrade.http.paths import path_predicate
from asgi_upgrade.system.interrupts import run_interruptibly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asgi_upgrade.testing.anonymous import Trial

__all__ = ["CheckError", "Checked", "Options", "Report", "check", "collect_warnings"]

# No more lines of the log than this stand in a report.
_MOST_WARNINGS = 100


class CheckError(Exception):
    """The check cannot be made as it was asked for."""


@dataclass(frozen=True)
class Options:
    """What is asked.

    Attributes:
        routes: Templates, paths or patterns of the routes that must be guarded. Default: none.
        guards: Names of layers that guard. Default: none.
        run: Whether to try handshakes without credentials; this runs the application. Default: ``False``.
        lifespan: Whether to run its lifespan around these. Default: ``True``.
        base_url: Scheme and host of these requests. Default: ``"http://localhost"``.
        timeout: Seconds that each may take. Default: 5.
    """

    routes: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    run: bool = False
    lifespan: bool = True
    base_url: str = "http://localhost"
    timeout: float = 5.0


class Checked(NamedTuple):
    """A route, what is shown of it, and whether it must be guarded."""

    route: SurveyedRoute
    judgement: Judgement
    required: bool

    @property
    def fails(self) -> bool:
        """Whether it must be guarded, and that is not shown."""
        return self.required and self.judgement.verdict is not Verdict.GUARDED


class Report(NamedTuple):
    """What has been found.

    Attributes:
        routes: The WebSocket routes.
        origins: Which pages may connect, one text for each `UpgradeMiddleware`; all of them hold.
        servers: What becomes of each server that is installed.
        problems: What is wrong, or could not be looked into.
    """

    routes: list[Checked]
    origins: list[str]
    servers: list[str]
    problems: list[str]

    @property
    def fails(self) -> bool:
        """Whether a route that must be guarded is not shown to be."""
        return any(each.fails for each in self.routes)

    def as_json(self) -> dict[str, Any]:
        """Return the report as what `json.dumps` takes. Its keys stay; new ones may come."""
        return {
            "routes": [
                {
                    "path": route.path,
                    "host": route.host,
                    "endpoint": route.endpoint,
                    "verdict": judgement.verdict.value,
                    "reason": judgement.reason,
                    "required": required,
                    "layers": [
                        {"name": layer.name, "sees": layer.form if layer.sees else None, "may_refuse": layer.may_refuse}
                        for layer in route.layers
                    ],
                }
                for route, judgement, required in self.routes
            ],
            "origins": self.origins,
            "servers": self.servers,
            "problems": self.problems,
            "ok": not self.fails,
        }


def check(app: Any, options: Options, warnings: Sequence[str] = ()) -> Report:
    """Check an application.

    Args:
        app: What a server would call.
        options: What is asked.
        warnings: What was logged when it was loaded.

    Raises:
        CheckError: A route or a guard that is named does not exist; or trials need a package that is not installed.
    """
    with collect_warnings() as later:
        found = survey(app)
        paths = _required(found, options.routes)
        _check_guards(found, options.guards)
        trials = run_interruptibly(_try(app, found, paths, options)) if options.run else {}
    routes = [
        Checked(route, judge(route, options.guards, trials.get(number)), number in paths)
        for number, route in enumerate(found.routes)
    ]
    return Report(
        routes,
        [policy._origin.describe() for policy in found.policies],
        describe_servers(
            has_policy=bool(found.starting),
            extend=any(getattr(policy, "_extend_server", True) for policy in found.starting),
        ),
        list(dict.fromkeys([*_misconfigured(found), *found.problems, *warnings, *later])),
    )


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect what the package warns of, in place of printing it."""
    lines: list[str] = []
    handler = _Collector(lines)
    logger = logging.getLogger("asgi_upgrade")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) < _MOST_WARNINGS:
            self._lines.append(record.getMessage())


def _required(found: Survey, names: Sequence[str]) -> dict[int, list[str]]:
    """Return the routes that must be guarded, each with the paths to try it at, by their numbers."""
    chosen: dict[int, list[str]] = {}
    for name in names:
        hits = [number for number, route in enumerate(found.routes) if _matches(route, name)]
        if not hits:
            known = ", ".join(dict.fromkeys(route.path for route in found.routes)) or "none"
            raise CheckError(f"no WebSocket route is {name}; there are: {known}")
        for number in hits:
            route = found.routes[number]
            is_path = name != route.path and not fnmatch.fnmatchcase(route.path, name)
            chosen.setdefault(number, []).append(name if is_path else route.sample)
    return chosen


def _matches(route: SurveyedRoute, name: str) -> bool:
    if name == route.path or fnmatch.fnmatchcase(route.path, name):
        return True
    matches = path_predicate("route", [route.path])
    return matches is not None and matches({"path": name})


def _check_guards(found: Survey, guards: Sequence[str]) -> None:
    names = {layer.name for route in found.routes for layer in route.layers if layer.may_refuse}
    for guard in guards:
        if not any(is_named(name, [guard]) for name in names):
            raise CheckError(f"no WebSocket route passes {guard}; they pass: {', '.join(sorted(names)) or 'nothing'}")


async def _try(app: Any, found: Survey, paths: dict[int, list[str]], options: Options) -> dict[int, Trial]:
    """Try the routes that must be guarded, or all if none is named. Of several paths the first that is not refused."""
    try:
        from asgi_upgrade.testing.anonymous import Answer, try_anonymously
        from asgi_upgrade.testing.lifespan import LifespanError
        from asgi_upgrade.testing.transport import UpgradeTransport
    except ImportError as error:
        raise CheckError(f"--try cannot be used: {error}") from error
    trials: dict[int, Trial] = {}
    tried = paths or {number: [route.sample] for number, route in enumerate(found.routes)}
    try:
        async with AsyncExitStack() as stack:
            transport = UpgradeTransport(app, raise_app_exceptions=False, lifespan=options.lifespan)
            await stack.enter_async_context(transport)
            for number, samples in tried.items():
                host = found.routes[number].host
                headers = {} if host is None or "{" in host else {"Host": host}
                for sample in dict.fromkeys(samples):
                    trials[number] = await try_anonymously(
                        sample, transport, base_url=options.base_url, headers=headers, timeout=options.timeout
                    )
                    if trials[number].answer is not Answer.REFUSED:
                        break
    except LifespanError as error:
        raise CheckError(f"{error} Without its lifespan: --no-lifespan") from error
    return trials


def _misconfigured(found: Survey) -> Iterator[str]:
    if not found.policies:
        yield "There is no UpgradeMiddleware: HTTP middleware does not see WebSocket handshakes."
    elif not found.starting:
        yield "No UpgradeMiddleware is reached by the server's lifespan: add one to the outermost application."
    for route in found.routes:
        if found.policies and not route.has_policy:
            yield f"{route.path}: no UpgradeMiddleware is on the way of its handshakes."
        if route.bypassed:
            yield f"{route.path}: insecure_skip_http_middleware takes it past all HTTP middleware."
    for policy in found.policies:
        if policy._origin.describe() == "every page":
            yield "allowed_origins=['*']: every page that a user visits may connect with the user's cookies."
        if policy._allow_unguarded:
            yield "insecure_allow_unguarded: WebSockets are let in that nothing is proven to have guarded."
