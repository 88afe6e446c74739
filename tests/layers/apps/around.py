"""Layers around a whole application, where no stack of middleware tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.layers.apps.both_types import SubprotocolGuard
from tests.layers.apps.endpoint import fastapi
from tests.layers.apps.http_only import Gate, Keeper, TaskGate
from tests.layers.apps.routes import closure, raw
from tests.layers.apps.websocket_only import WebSocketGuard

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp


def with_ours(**options: Any) -> ASGIApp:
    """An application with `UpgradeMiddleware` in its stack."""
    from tests.layers.apps.upgrade import upgrade

    return fastapi([upgrade(**options)])


def ours(app: ASGIApp, **options: Any) -> ASGIApp:
    """`UpgradeMiddleware` around an application."""
    from tests.layers.apps.upgrade import upgrade

    kind: Any = upgrade().cls
    wrapped: ASGIApp = kind(app, **{**upgrade().kwargs, **options})
    return wrapped


def outermost(app: ASGIApp) -> ASGIApp:
    """`HandshakeMiddleware` around an application."""
    from asgi_upgrade import HandshakeMiddleware

    return HandshakeMiddleware(app)


@dataclass(frozen=True)
class Arrangement:
    """Layers around an application.

    Attributes:
        make: Makes it.
        converted: What sees the handshake of the right visitor where we extend the server; empty if nobody is served.
        delivered: The same where the server delivers WebSockets.
    """

    make: Callable[[], ASGIApp]
    converted: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)


HTTP = ["Gate http", "endpoint websocket"]
WEBSOCKET = ["WebSocketGuard websocket", "endpoint websocket"]

ARRANGEMENTS = {
    # The guard is between the server and ours: on a server that delivers WebSockets it has not seen the handshake.
    "gate around": Arrangement(lambda: Gate(with_ours()), HTTP),
    "gate around, in a closure": Arrangement(lambda: closure(with_ours()), ["closure http", "endpoint websocket"]),
    "gate around, out of sight": Arrangement(lambda: Keeper(with_ours()), ["Keeper http", "endpoint websocket"]),
    "gate around, with a task": Arrangement(lambda: TaskGate(with_ours()), ["TaskGate http", "endpoint websocket"]),
    "two around": Arrangement(lambda: TaskGate(Gate(with_ours())), ["TaskGate http", *HTTP]),
    "gate around, HandshakeMiddleware outermost": Arrangement(lambda: outermost(Gate(with_ours())), HTTP, HTTP),
    "gate around HandshakeMiddleware": Arrangement(lambda: Gate(outermost(with_ours())), HTTP),
    # One that is written for WebSockets: it must be given one, or nobody may get in.
    "WebSocket guard around": Arrangement(lambda: WebSocketGuard(with_ours()), WEBSOCKET),
    "WebSocket guard around, HandshakeMiddleware outermost": Arrangement(
        lambda: outermost(WebSocketGuard(with_ours())), WEBSOCKET, WEBSOCKET
    ),
    "WebSocket guard around a gate": Arrangement(
        lambda: WebSocketGuard(Gate(with_ours())), ["WebSocketGuard websocket", *HTTP]
    ),
    "gate around a WebSocket guard": Arrangement(lambda: Gate(WebSocketGuard(with_ours())), ["Gate http", *WEBSOCKET]),
    # Ours around all: it arranges what is inside.
    "ours around": Arrangement(lambda: ours(fastapi()), ["endpoint websocket"], ["endpoint websocket"]),
    "ours around a gate": Arrangement(lambda: ours(Gate(fastapi())), HTTP, HTTP),
    "ours around a WebSocket guard": Arrangement(lambda: ours(WebSocketGuard(fastapi())), WEBSOCKET, WEBSOCKET),
    "ours around a WebSocket guard of a function": Arrangement(lambda: ours(WebSocketGuard(raw)), WEBSOCKET, WEBSOCKET),
    "ours around two": Arrangement(
        lambda: ours(Gate(WebSocketGuard(fastapi()))), ["Gate http", *WEBSOCKET], ["Gate http", *WEBSOCKET]
    ),
    "ours around one that is told": Arrangement(
        lambda: ours(SubprotocolGuard(fastapi()), websocket_middleware=[SubprotocolGuard]),
        ["SubprotocolGuard websocket", "endpoint websocket"],
        ["SubprotocolGuard websocket", "endpoint websocket"],
    ),
}


def applications(position: str) -> dict[str, Callable[[], ASGIApp]]:
    """Makes the arrangements, by name."""
    return {name: arrangement.make for name, arrangement in ARRANGEMENTS.items() if position == "innermost"}
