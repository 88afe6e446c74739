"""A WebSocket handshake on its way through the layers of an application, as the ``http`` request that it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from asgi_upgrade.guard.overlooked import find_overlooked, report_overlooked
from asgi_upgrade.guard.refusals import answer_unavailable
from asgi_upgrade.guard.telemetry import with_telemetry
from asgi_upgrade.websocket.bridge import HANDSHAKE
from asgi_upgrade.websocket.session import WebSocketSession

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from asgi_upgrade.switching.extension import UpgradeExtension
    from asgi_upgrade.websocket.bridge import Bridge
    from asgi_upgrade.websocket.handshake import Accept, Reject
    from asgi_upgrade.websocket.settings import WebSocketSettings

__all__ = ["HANDSHAKE", "Handshake", "Policy", "approved", "is_policy"]


class Policy(Protocol):
    """Decides on handshakes: an `UpgradeMiddleware`."""

    websocket_middleware: tuple[Any, ...]

    def judge(self, scope: Scope) -> Handshake | Reject | None:
        """Return the handshake that a request is, or why it is refused. ``None``: it is no handshake."""

    def bypasses(self, scope: Scope) -> bool:
        """Tell whether a handshake is to be delivered as a ``websocket`` scope through the whole application."""

    def convert(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Serve a handshake with ``app`` as a WebSocket, right here, if it may pass."""

    def watch(self, app: ASGIApp, scope: Scope) -> ASGIApp:
        """Return ``app``, or what serves the handshake with it and tells an observer."""

    async def pass_through(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket of the server with ``app``, as it is, if its origin may open one."""


def is_policy(value: Any) -> bool:
    """Tell whether something is a `Policy`, or a class of them."""
    # Not by an attribute of the object: `functools.wraps` copies those of a middleware to a function around it.
    return hasattr(value if isinstance(value, type) else type(value), "websocket_middleware")


class Handshake:
    """A handshake that a `Policy` has let pass.

    It lies in the scope of its request. A copy of the scope, a deep one too, has the same object.

    Args:
        carrier: What can switch: the server's ``http.upgrade``, or the server's own WebSocket.
        accept: What has been read of the request.
        policy: Who let it pass; what stands behind it converts as that one says. ``None``: nobody was asked.
        settings: Limits, times, compression.
        subprotocols: What to choose from when the application names none.
    """

    __slots__ = ("_tasks", "accept", "carrier", "policy", "settings", "subprotocols")

    def __init__(
        self,
        carrier: UpgradeExtension | Bridge,
        accept: Accept,
        policy: Policy | None,
        settings: WebSocketSettings,
        subprotocols: tuple[str, ...],
    ) -> None:
        self.carrier = carrier
        self.accept = accept
        self.policy = policy
        self.settings = settings
        self.subprotocols = subprotocols
        self._tasks: tuple[asyncio.Task[Any], ...] = ()  # that it has come through, until it is served

    def __deepcopy__(self, memo: dict[int, Any]) -> Handshake:
        return self

    def tighten(self, policy: Policy, settings: WebSocketSettings, subprotocols: Iterable[str]) -> None:
        """Apply the limits of another policy too: of each, the stricter one holds."""
        if self.policy is None:
            self.policy, self.settings, self.subprotocols = policy, settings, tuple(subprotocols)
            return
        self.settings = self.settings.stricter(settings)
        if self.subprotocols and subprotocols:
            allowed = set(subprotocols)
            self.subprotocols = tuple([name for name in self.subprotocols if name in allowed])
        else:
            self.subprotocols = self.subprotocols or tuple(subprotocols)

    def carried_by(self, carrier: UpgradeExtension | Bridge, accept: Accept) -> Handshake:
        """Return the same handshake, with something else that can switch."""
        handshake = Handshake(carrier, accept, self.policy, self.settings, self.subprotocols)
        handshake._tasks = self._tasks
        return handshake

    def arrived(self) -> None:
        """Note the current task: middleware may run what is inside of it in a task of its own."""
        task = asyncio.current_task()
        if task is not None and task not in self._tasks:
            self._tasks += (task,)

    def convert(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """Serve the request with ``app``, which gets a ``websocket`` scope; return what that returns.

        Args:
            app: What answers the WebSocket.
            scope: The request, as it has arrived here.
            receive: Its ``receive``.
            send: Its ``send``; the 101 goes out through it.
        """
        tasks, self._tasks = self._tasks, ()
        overlooked = find_overlooked(tasks)
        if overlooked is not None:
            report_overlooked(overlooked)
            return answer_unavailable(scope, receive, send)
        app = with_telemetry(app, scope, tasks)
        # Awaited where this is called: each call that waits in between takes time of each message.
        return WebSocketSession(scope, receive, send, handshake=self).run(app)


def approved(scope: Scope) -> Handshake | None:
    """Return the handshake that an ``http`` scope is, if a policy has let it pass, else ``None``."""
    return scope.get(HANDSHAKE) if scope["type"] == "http" else None
