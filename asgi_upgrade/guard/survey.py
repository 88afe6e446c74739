"""What a handshake to each WebSocket route of an application passes, found without serving it.

It goes the way of a handshake over the same objects, with the same adapters in front of them. What cannot be looked
into is said, and is not guessed. The middleware stacks are built and adapted by that, as the first request does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Host, Mount, Router, WebSocketRoute

from asgi_upgrade.guard.adapters import Adapter, AsHandshake, AsWebSocket, Leaf, Unadaptable, adapt
from asgi_upgrade.guard.gate import Gate
from asgi_upgrade.guard.handshake import is_policy
from asgi_upgrade.guard.layers import Reading, module_of, qualified_name, read
from asgi_upgrade.guard.leaves import Kind, held, kind_of, next_of
from asgi_upgrade.guard.routing import base_of
from asgi_upgrade.guard.templates import flatten

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.types import ASGIApp

    from asgi_upgrade.guard.policy import HandshakePolicy

__all__ = ["Layer", "Survey", "SurveyedRoute", "survey"]

# Applications inside each other.
_DEPTH = 64
# What routes of a path parameter's kind match: the first that fits its pattern is taken.
_SAMPLES = ("1", "x", "1.5", "00000000-0000-4000-8000-000000000000")
# Their layers let every client pass, or tell clients apart by something else than who they are.
_LET_PASS = frozenset(("asgi_correlation_id", "asgi_upgrade", "fastapi", "opentelemetry", "sentry_sdk", "starlette"))
_MAY_REFUSE = "starlette.middleware.authentication.AuthenticationMiddleware"


@dataclass(frozen=True)
class Layer:
    """A middleware, or a dependency of FastAPI, that a handshake passes.

    Attributes:
        name: Its class or function, with the module.
        form: ``"http"``, or ``"websocket"`` where it gets that scope; ``"dependency"`` for one of FastAPI's.
        may_refuse: Whether it may refuse a client for who it is. ``False`` only where that is known.
        sees: Whether it is shown that the layer looks at what arrives: a middleware for HTTP does not see a scope of
            type ``websocket``.
        is_policy: Whether it is an `UpgradeMiddleware`.
        for_websocket: Whether its code shows that it does something for scopes of type ``websocket``.
    """

    name: str
    form: str
    may_refuse: bool
    sees: bool = True
    is_policy: bool = False
    for_websocket: bool = False


@dataclass(frozen=True)
class SurveyedRoute:
    """Where WebSockets are answered.

    Attributes:
        path: Its template, with what it is mounted at; ``{rest:path}`` stands for all that is behind.
        endpoint: What answers, with its module.
        layers: What a handshake passes, the outermost first.
        host: The host that it is for, or ``None`` for all.
        opaque: Whether what answers may have something inside that cannot be looked into.
        bypassed: Whether ``insecure_skip_http_middleware`` names its path.
        sample: A path that it matches.
    """

    path: str
    endpoint: str
    layers: tuple[Layer, ...]
    host: str | None = None
    opaque: bool = False
    bypassed: bool = False
    sample: str = ""

    @property
    def has_policy(self) -> bool:
        """Whether an `UpgradeMiddleware` stands on the way."""
        return any(layer.is_policy for layer in self.layers)


@dataclass
class Survey:
    """What has been found.

    Attributes:
        routes: The WebSocket routes.
        policies: The `UpgradeMiddleware` there are, the outermost first.
        starting: Those of them that the server's lifespan reaches, so that they can extend it.
        problems: What could not be looked into, in words.
    """

    routes: list[SurveyedRoute] = field(default_factory=list)
    policies: list[HandshakePolicy] = field(default_factory=list)
    starting: list[HandshakePolicy] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Way:
    """The way up to a place."""

    prefix: str = ""
    sample: str = ""
    host: str | None = None
    layers: tuple[Layer, ...] = ()
    policies: tuple[HandshakePolicy, ...] = ()
    form: str = "http"
    depth: int = _DEPTH
    route: Any = None  # the WebSocketRoute that leads on
    routed: bool = False  # a router stands before it: the lifespan does not come so far

    def inside(self, layer: Layer | None, **changes: Any) -> _Way:
        layers = self.layers if layer is None else (*self.layers, layer)
        return replace(self, layers=layers, depth=self.depth - 1, **changes)

    def behind(self, path: str, matched: Any, **changes: Any) -> _Way:
        sample = self.sample + _sample(matched, path)
        return self.inside(None, prefix=self.prefix + path, sample=sample, **changes)


def survey(app: ASGIApp) -> Survey:
    """Survey an application.

    Args:
        app: What a server would call.
    """
    surveyor = _Surveyor()
    surveyor.walk(app, _Way())
    return surveyor.found


class _Surveyor:
    def __init__(self) -> None:
        self.found = Survey()

    def walk(self, node: Any, way: _Way) -> None:
        if way.depth == 0:
            self._problem(f"{way.prefix or '/'}: more than {_DEPTH} layers, the rest has not been looked at")
        elif isinstance(node, Adapter | Gate):
            self._walk_adapter(node, way)
        elif is_policy(node):
            self._walk_policy(node, way)
        elif isinstance(node, Starlette):
            self._walk_application(node, way)
        elif isinstance(node, Router):
            self.walk(_adapted(node.middleware_stack, way), way.inside(None))
        elif isinstance(node, MethodType) and isinstance(owner := node.__self__, Router):
            self._walk_routes(owner, way)
        else:
            self._walk_layer(node, way)

    def _walk_adapter(self, node: Any, way: _Way) -> None:
        if isinstance(node, Leaf):
            self._answer(node.app, way)
        elif isinstance(node, Unadaptable):
            self._problem(f"{way.prefix or '/'}: {_name(node.app)} cannot be adapted, handshakes are refused there")
        else:
            form = {AsWebSocket: "websocket", AsHandshake: "http"}.get(type(node), way.form)
            self.walk(node.app, way.inside(None, form=form))

    def _walk_policy(self, node: Any, way: _Way) -> None:
        if not any(each is node for each in self.found.policies):
            self.found.policies.append(node)
            if not way.routed:
                self.found.starting.append(node)
        way = way.inside(Layer(_name(node), way.form, may_refuse=False, is_policy=True), policies=(*way.policies, node))
        self.walk(adapt(node.app, node, placed=True), way)

    def _walk_application(self, node: Starlette, way: _Way) -> None:
        if node.middleware_stack is None:
            node.middleware_stack = node.build_middleware_stack()
        self.walk(node.middleware_stack, way.inside(None))

    def _walk_routes(self, router: Any, way: _Way) -> None:
        way = replace(way, routed=True)
        for each in flatten(router.routes):
            route = getattr(each, "original_route", each)
            if isinstance(route, WebSocketRoute):
                layers = tuple(Layer(name, "dependency", may_refuse=True) for name in _dependencies(each))
                self._walk_route(_adapted(route.app, way, route), way.behind(each.path, route, route=route), layers)
            elif isinstance(route, Mount):
                self.walk(_adapted(route.app, way, route), way.behind(each.path, route))
            elif isinstance(route, Host):
                self.walk(_adapted(route.app, way), way.inside(None, host=route.host))
            elif not hasattr(route, "methods") and type(route).__name__ != "_FrontendRouteGroup":
                self._problem(
                    f"{way.prefix or '/'}: the route {_name(route)} is not Starlette's; what it leads to has not been "
                    "looked at"
                )
        default = getattr(router, "default", None)
        if not isinstance(default, Adapter) and getattr(default, "__self__", None) is not router:
            self.walk(_adapted(default, way), way.inside(None))

    def _walk_route(self, node: Any, way: _Way, dependencies: tuple[Layer, ...]) -> None:
        before = len(self.found.routes)
        self.walk(node, way)
        for number in range(before, len(self.found.routes)):
            route = self.found.routes[number]
            self.found.routes[number] = replace(route, layers=(*route.layers, *dependencies))

    def _walk_layer(self, node: Any, way: _Way) -> None:
        kind = kind_of(node)
        if kind is Kind.PAGES:
            return
        following = list(next_of(node).values()) or held(node)
        if kind is Kind.LEAF or (way.route is not None and node is way.route.endpoint) or not following:
            self._answer(node, way, opaque=kind in {Kind.LAYER, Kind.ENGINE_IO})
            return
        layer = _layer(node, way)
        for each in following:
            self.walk(each, way.inside(layer))

    def _answer(self, node: Any, way: _Way, *, opaque: bool = False) -> None:
        if way.route is None:
            endpoint, path, sample = node, f"{way.prefix}/{{rest:path}}", f"{way.sample}/"
        else:
            endpoint, path, sample = way.route.endpoint, way.prefix, way.sample
        scope = {"type": "http", "path": sample, "root_path": "", "headers": [], "query_string": b"", "method": "GET"}
        bypassed = any(policy.bypasses(scope) for policy in way.policies)
        layers = way.layers
        if bypassed or not way.policies:
            # It comes as the WebSocket that a plain server makes of it.
            layers = tuple(replace(layer, form="websocket", sees=layer.for_websocket) for layer in layers)
        self.found.routes.append(
            SurveyedRoute(path, _name(endpoint), layers, way.host, opaque=opaque, bypassed=bypassed, sample=sample)
        )

    def _problem(self, words: str) -> None:
        if words not in self.found.problems:
            self.found.problems.append(words)


def _adapted(app: Any, way: _Way, route: Any = None) -> Any:
    return adapt(app, way.policies[-1], base=base_of(route)) if way.policies else app


def _layer(node: Any, way: _Way) -> Layer:
    name = _name(node)
    package = name.partition(".")[0]
    for_websocket = read(node) is not Reading.HTTP
    may_refuse = name == _MAY_REFUSE or package not in _LET_PASS
    # What is given a WebSocket by an adapter wants it.
    return Layer(name, way.form, may_refuse, for_websocket=for_websocket)


def _name(value: Any) -> str:
    if isinstance(value, BaseHTTPMiddleware):
        dispatch = value.dispatch_func
        if getattr(dispatch, "__self__", None) is not value:
            return _name(dispatch)  # `@app.middleware("http")`
    if isinstance(value, FunctionType):
        return f"{module_of(value)}.{qualified_name(value)}"
    named = value if isinstance(value, type | MethodType) else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _dependencies(route: Any) -> Iterable[str]:
    """The names of what FastAPI calls before the endpoint, each once."""
    dependant = getattr(route, "dependant", None)
    return () if dependant is None else dict.fromkeys(_called(dependant))


def _called(dependant: Any) -> Iterator[str]:
    # FastAPI has made this tree from functions, one after the other: it has an end.
    for each in dependant.dependencies:
        if each.call is not None:
            yield _name(each.call)
        yield from _called(each)


def _sample(route: Any, path: str) -> str:
    """Return a path that a template matches."""
    for name, convertor in route.param_convertors.items():
        value = next((each for each in _SAMPLES if re.fullmatch(convertor.regex, each)), "x")
        path = re.sub(rf"{{{name}(:[^}}]*)?}}", value, path)
    return path
