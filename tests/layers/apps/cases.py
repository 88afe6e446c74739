"""The table of shapes: what each does on a plain server, and what it has to do with `UpgradeMiddleware` beside it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.websockets import WebSocket

from tests.layers.apps import both_types, http_only, websocket_only
from tests.layers.apps.credentials import RIGHT, query_token
from tests.layers.apps.endpoint import fastapi, room, talk
from tests.layers.support.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import FastAPI

Statuses = tuple[int, int, int]

OPEN = (101, 101, 101)
GUARDED = (401, 401, 101)
CLOSED = (403, 403, 101)


def by_query(token: str | None) -> Visit:
    return Visit("/ws/blue" if token is None else f"/ws/blue?token={token}")


def by_header(token: str | None) -> Visit:
    return Visit("/ws/blue", {} if token is None else {"Authorization": f"Bearer {token}"})


def by_subprotocol(token: str | None) -> Visit:
    return Visit("/ws/blue", {} if token is None else {"Sec-WebSocket-Protocol": f"chat, token.{token}"})


def by_message(token: str | None) -> Visit:
    return Visit("/ws/blue", first=token or "hello")


def by_message_and_query(token: str | None) -> Visit:
    return Visit(by_query(token).path, first=token or "hello")


def by_host(token: str | None) -> Visit:
    return Visit("/ws/blue", {"Host": "127.0.0.1" if token == RIGHT else f"{token or 'no'}.example"})


def by_panel(token: str | None) -> Visit:
    return Visit("/panel/ws" if token is None else f"/panel/ws?token={token}")


numbers = itertools.count(1)


def by_new_token(token: str | None) -> Visit:
    """A token that nobody has used before."""
    return by_query(f"{token or 'no'}{next(numbers)}")


async def for_members(websocket: WebSocket) -> None:
    """An endpoint that serves whom the authentication knows."""
    if websocket.user.is_authenticated:
        await talk(websocket)
    else:
        await websocket.close()


async def for_tickets(websocket: WebSocket) -> None:
    """An endpoint with a check of its own."""
    if query_token(websocket.scope) == RIGHT:
        await talk(websocket)
    else:
        await websocket.close()


async def with_id(websocket: WebSocket) -> None:
    await talk(websocket, request_id=both_types.request_id.get())


async def broken(websocket: WebSocket) -> None:
    """Fails when it has served."""
    await talk(websocket)
    raise LookupError("the endpoint is broken")


@dataclass(frozen=True)
class Case:
    """Layers around an endpoint, and what becomes of handshakes.

    Attributes:
        layers: The middleware, the outermost first.
        plain: What anonymous, wrong and right visitors get on a plain server.
        guarded: What they get with `UpgradeMiddleware`.
        seen: What sees the handshake of the right visitor (or of the last one whom anybody served), and in which form.
        visit: What a visitor with this token sends.
        endpoint: Serves `/ws/{room}`.
        options: Of `UpgradeMiddleware`.
        plain_report: Parts of what the endpoint tells on a plain server.
        report: The same with `UpgradeMiddleware`.
        headers: On the 101, with `UpgradeMiddleware`.
        named: The class that a line at startup names, with the option that decides about it.
        close: Code and reason of the refusal, for those who can see them: TestClient.
    """

    layers: Sequence[Middleware]
    plain: Statuses
    guarded: Statuses
    seen: Sequence[str]
    visit: Callable[[str | None], Visit] = by_query
    endpoint: Callable[[WebSocket], Any] = room
    options: dict[str, Any] = field(default_factory=dict)
    plain_report: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    named: str | None = None
    close: tuple[int, str] | None = None

    def make(self, position: str) -> FastAPI:
        """The application, with `UpgradeMiddleware` in this position: innermost, outermost, or plain, without it."""
        layers = list(self.layers)
        if position != "plain":
            from tests.layers.apps.upgrade import upgrade

            layers.insert(0 if position == "outermost" else len(layers), upgrade(**self.options))
        return fastapi(layers, self.endpoint)


def told(*middleware: Any) -> dict[str, Any]:
    return {"websocket_middleware": list(middleware)}


WEBSOCKET_ONLY = {
    "closes": Case(
        [Middleware(websocket_only.CloseGuard)],
        CLOSED,
        CLOSED,
        ["CloseGuard websocket", "endpoint websocket"],
        close=(4401, "no token"),
    ),
    "closes, told": Case(
        [Middleware(websocket_only.CloseGuard)],
        CLOSED,
        CLOSED,
        ["CloseGuard websocket", "endpoint websocket"],
        options=told(websocket_only.CloseGuard),
        close=(4401, "no token"),
    ),
    "inherits": Case(
        [Middleware(websocket_only.InheritedGuard)],
        CLOSED,
        CLOSED,
        ["InheritedGuard websocket", "endpoint websocket"],
    ),
    "uses the class WebSocket": Case(
        [Middleware(websocket_only.WebSocketGuard)],
        CLOSED,
        CLOSED,
        ["WebSocketGuard websocket", "endpoint websocket"],
        visit=by_header,
        close=(1008, "no token"),
    ),
    "denies": Case(
        [Middleware(websocket_only.DenyingGuard)], GUARDED, GUARDED, ["DenyingGuard websocket", "endpoint websocket"]
    ),
    "accepts and closes": Case(
        [Middleware(websocket_only.AcceptingGuard)],
        (4401, 4401, 101),
        (4401, 4401, 101),
        ["AcceptingGuard websocket", "endpoint websocket"],
    ),
    "wants a first message": Case(
        [Middleware(websocket_only.FirstMessageGuard)],
        (4401, 4401, 101),
        (4401, 4401, 101),
        ["FirstMessageGuard websocket", "endpoint websocket"],
        visit=by_message,
    ),
    "limits connections": Case(
        [Middleware(websocket_only.ConnectionLimit)], OPEN, OPEN, ["ConnectionLimit websocket", "endpoint websocket"]
    ),
    "limits messages": Case(
        [Middleware(websocket_only.MessageLimit)], OPEN, OPEN, ["MessageLimit websocket", "endpoint websocket"]
    ),
    "edits the accept": Case(
        [Middleware(websocket_only.HeaderOnAccept)],
        OPEN,
        OPEN,
        ["HeaderOnAccept websocket", "endpoint websocket"],
        headers={"x-layer": "HeaderOnAccept"},
    ),
    "chooses the subprotocol": Case(
        [Middleware(websocket_only.SubprotocolChooser)],
        OPEN,
        OPEN,
        ["SubprotocolChooser websocket", "endpoint websocket"],
        visit=by_subprotocol,
        headers={"sec-websocket-protocol": "chat"},
    ),
    "a limit of connections before a gate": Case(
        [Middleware(websocket_only.ConnectionLimit), Middleware(http_only.Gate)],
        OPEN,
        GUARDED,
        ["ConnectionLimit websocket", "Gate http", "endpoint websocket"],
        visit=by_header,
    ),
    "a first message before a gate": Case(
        [Middleware(websocket_only.FirstMessageGuard), Middleware(http_only.DispatchGate)],
        (4401, 4401, 101),
        (4401, 4401, 101),
        ["FirstMessageGuard websocket", "DispatchGate http", "endpoint websocket"],
        visit=by_message_and_query,
    ),
    "injects, told": Case(
        [Middleware(websocket_only.ConnectionNumber)],
        OPEN,
        OPEN,
        ["ConnectionNumber websocket", "endpoint websocket"],
        options=told(websocket_only.ConnectionNumber),
        plain_report={"state": {"connection": "numbered"}},
        report={"state": {"connection": "numbered"}},
    ),
    # It may as well be one that lets WebSockets pass.
    "injects": Case(
        [Middleware(websocket_only.ConnectionNumber)],
        OPEN,
        OPEN,
        ["ConnectionNumber http", "endpoint websocket"],
        plain_report={"state": {"connection": "numbered"}},
        report={"state": {}},
        named="ConnectionNumber",
    ),
    "backend, told": Case(
        [Middleware(AuthenticationMiddleware, backend=websocket_only.TokenBackend())],
        CLOSED,
        CLOSED,
        ["TokenBackend websocket", "endpoint websocket"],
        endpoint=for_members,
        options=told(AuthenticationMiddleware),
        plain_report={"user": "ada"},
        report={"user": "ada"},
    ),
    # Starlette's own is HTTP: the backend knows nobody, and the endpoint lets nobody in.
    "backend, not told": Case(
        [Middleware(AuthenticationMiddleware, backend=websocket_only.TokenBackend())],
        CLOSED,
        (403, 403, 403),
        [],
        endpoint=for_members,
        named="AuthenticationMiddleware",
    ),
    "helped, told": Case(
        [Middleware(websocket_only.HelpedGuard)],
        CLOSED,
        CLOSED,
        ["HelpedGuard websocket", "endpoint websocket"],
        options=told(websocket_only.HelpedGuard),
    ),
    "a function, told": Case(
        [Middleware(websocket_only.guarding)],
        CLOSED,
        CLOSED,
        ["guarding websocket", "endpoint websocket"],
        options=told(websocket_only.guarding),
    ),
    "a function": Case(
        [Middleware(websocket_only.guarding)], CLOSED, CLOSED, ["guarding websocket", "endpoint websocket"]
    ),
    "a function that wraps": Case(
        [Middleware(websocket_only.wrapping)], CLOSED, CLOSED, ["wrapping websocket", "endpoint websocket"]
    ),
    "keeps the next one out of sight": Case(
        [Middleware(websocket_only.KeepingGuard)], CLOSED, CLOSED, ["KeepingGuard websocket", "endpoint websocket"]
    ),
    "helped from elsewhere, told": Case(
        [Middleware(websocket_only.HelpedFromElsewhere)],
        CLOSED,
        CLOSED,
        ["HelpedFromElsewhere websocket", "endpoint websocket"],
        options=told(websocket_only.HelpedFromElsewhere),
    ),
    "helped from elsewhere": Case(
        [Middleware(websocket_only.HelpedFromElsewhere)],
        CLOSED,
        CLOSED,
        ["HelpedFromElsewhere websocket", "endpoint websocket"],
    ),
    "helped": Case(
        [Middleware(websocket_only.HelpedGuard)], CLOSED, CLOSED, ["HelpedGuard websocket", "endpoint websocket"]
    ),
    "several, and HTTP between": Case(
        [
            Middleware(websocket_only.MessageLimit),
            Middleware(both_types.Delay),
            Middleware(websocket_only.CloseGuard),
            Middleware(http_only.DispatchGate),
            Middleware(websocket_only.HeaderOnAccept),
        ],
        CLOSED,
        CLOSED,
        [
            "MessageLimit websocket",
            "Delay http",
            "CloseGuard websocket",
            "DispatchGate http",
            "HeaderOnAccept websocket",
            "endpoint websocket",
        ],
        report={"state": {"gate": "passed"}},
        headers={"x-layer": "HeaderOnAccept", "x-status": "101"},
    ),
}

BOTH_TYPES = {
    # The default fails closed: a browser's token is not where the branch for requests looks.
    "subprotocol or header": Case(
        [Middleware(both_types.SubprotocolGuard)],
        CLOSED,
        (401, 401, 401),
        ["SubprotocolGuard http"],
        visit=by_subprotocol,
        named="SubprotocolGuard",
    ),
    "subprotocol or header, told": Case(
        [Middleware(both_types.SubprotocolGuard)],
        CLOSED,
        CLOSED,
        ["SubprotocolGuard websocket", "endpoint websocket"],
        visit=by_subprotocol,
        options=told(both_types.SubprotocolGuard),
    ),
    "asks for the method": Case(
        [Middleware(both_types.ServerKey)],
        (500, 500, 500),
        GUARDED,
        ["ServerKey http", "endpoint websocket"],
        visit=by_header,
    ),
    "answers as HTTP": Case(
        [Middleware(both_types.AnswersAsHTTP)],
        (500, 500, 101),
        GUARDED,
        ["AnswersAsHTTP http", "endpoint websocket"],
        visit=by_header,
    ),
    "reads a request": Case(
        [Middleware(both_types.ReadsRequest)], (500, 500, 500), CLOSED, ["ReadsRequest http", "endpoint websocket"]
    ),
    "refuses each in its way": Case(
        [Middleware(both_types.NetworkGuard)],
        CLOSED,
        CLOSED,
        ["NetworkGuard http", "endpoint websocket"],
        named="NetworkGuard",
    ),
    "one-time ticket": Case(
        [Middleware(AuthenticationMiddleware, backend=both_types.TicketBackend())],
        CLOSED,
        (400, 400, 101),
        ["TicketBackend http", "endpoint websocket"],
        visit=by_new_token,
        plain_report={"user": "ada"},
        report={"user": "ada"},
    ),
    "one slot": Case([Middleware(both_types.OneSlot)], OPEN, OPEN, ["OneSlot http", "endpoint websocket"]),
    "once": Case(
        [Middleware(both_types.Once)],
        OPEN,
        OPEN,
        ["Once http", "endpoint websocket"],
        visit=by_new_token,
        named="Once",
    ),
    "request id": Case(
        [Middleware(both_types.RequestId)], OPEN, OPEN, ["RequestId http", "endpoint websocket"], endpoint=with_id
    ),
    "spans": Case(
        [Middleware(both_types.Spans)],
        OPEN,
        OPEN,
        ["Spans http", "endpoint websocket"],
        plain_report={"state": {"span": "websocket"}},
        report={"state": {"span": "http"}},
        named="Spans",
    ),
    "spans, told": Case(
        [Middleware(both_types.Spans)],
        OPEN,
        OPEN,
        ["Spans websocket", "endpoint websocket"],
        options=told(both_types.Spans),
        plain_report={"state": {"span": "websocket"}},
        report={"state": {"span": "websocket"}},
    ),
    "catches": Case(
        [Middleware(both_types.Catcher)], OPEN, OPEN, ["Catcher http", "endpoint websocket"], endpoint=broken
    ),
    "three that take time": Case(
        [Middleware(both_types.Delay)] * 3, OPEN, OPEN, [*["Delay http"] * 3, "endpoint websocket"]
    ),
    "copies the scope": Case([Middleware(both_types.Copying)], OPEN, OPEN, ["Copying http", "endpoint websocket"]),
    "runs a task": Case([Middleware(both_types.Deadline)], OPEN, OPEN, ["Deadline http", "endpoint websocket"]),
    "does not look": Case([Middleware(both_types.Variadic)], OPEN, OPEN, ["Variadic http", "endpoint websocket"]),
    "dispatches": Case(
        [Middleware(both_types.Dispatcher)],
        CLOSED,
        (400, 400, 400),
        ["Dispatcher http"],
        visit=by_panel,
        named="Dispatcher",
    ),
    "dispatches, told": Case(
        [Middleware(both_types.Dispatcher)],
        CLOSED,
        CLOSED,
        ["Dispatcher websocket"],
        visit=by_panel,
        options=told(both_types.Dispatcher),
        plain_report={"panel": "/panel/ws"},
        report={"panel": "/panel/ws"},
    ),
    "dispatches, by path": Case(
        [Middleware(both_types.Dispatcher)],
        CLOSED,
        CLOSED,
        ["Dispatcher websocket"],
        visit=by_panel,
        options={"insecure_skip_http_middleware": ["/panel/{path:path}"]},
        plain_report={"panel": "/panel/ws"},
        report={"panel": "/panel/ws"},
    ),
    "the application beside a dispatcher": Case(
        [Middleware(both_types.Dispatcher), Middleware(http_only.DispatchGate)],
        OPEN,
        GUARDED,
        ["DispatchGate http", "endpoint websocket"],
        options={"insecure_skip_http_middleware": ["/panel/{path:path}"]},
        named="Dispatcher",
    ),
}

HTTP_ONLY = {
    "gate": Case([Middleware(http_only.Gate)], OPEN, GUARDED, ["Gate http", "endpoint websocket"], visit=by_header),
    "gate, a function that wraps": Case(
        [Middleware(http_only.gate)], OPEN, GUARDED, ["gate http", "endpoint websocket"], visit=by_header
    ),
    "gate that keeps the next one out of sight": Case(
        [Middleware(http_only.Keeper)], OPEN, GUARDED, ["Keeper http", "endpoint websocket"], visit=by_header
    ),
    "dispatch function": Case(
        [Middleware(http_only.DispatchGate)],
        OPEN,
        GUARDED,
        ["DispatchGate http", "endpoint websocket"],
        report={"state": {"gate": "passed"}},
        headers={"x-status": "101"},
    ),
    "lets WebSockets pass": Case(
        [Middleware(http_only.SkipsWebSockets)],
        OPEN,
        GUARDED,
        ["SkipsWebSockets http", "endpoint websocket"],
        visit=by_header,
    ),
    "lets WebSockets pass, and raises": Case(
        [Middleware(ExceptionMiddleware), Middleware(http_only.RaisingGate)],
        OPEN,
        GUARDED,
        ["RaisingGate http", "endpoint websocket"],
        visit=by_header,
    ),
    "notes WebSockets, and lets them pass": Case(
        [Middleware(ExceptionMiddleware), Middleware(http_only.NotingGate)],
        OPEN,
        GUARDED,
        ["NotingGate http", "endpoint websocket"],
        visit=by_header,
    ),
    "guards handshakes alone": Case(
        [Middleware(http_only.UpgradeGate)], OPEN, GUARDED, ["UpgradeGate http", "endpoint websocket"]
    ),
    "lets WebSockets pass, and delegates": Case(
        [Middleware(http_only.DelegatingGate)],
        OPEN,
        GUARDED,
        ["DelegatingGate http", "endpoint websocket"],
        visit=by_header,
    ),
    # Two on one credential: closed to all, until the decision is made which one is for WebSockets.
    "scrubber before a WebSocket guard": Case(
        [Middleware(http_only.Scrubber), Middleware(websocket_only.CloseGuard)],
        CLOSED,
        (401, 401, 403),
        ["Scrubber http", "CloseGuard websocket"],
    ),
    "scrubber before a WebSocket guard, by path": Case(
        [Middleware(http_only.Scrubber), Middleware(websocket_only.CloseGuard)],
        CLOSED,
        CLOSED,
        ["Scrubber websocket", "CloseGuard websocket", "endpoint websocket"],
        options={"insecure_skip_http_middleware": ["/ws/{room}"]},
    ),
    "WebSocket guard before a scrubber": Case(
        [Middleware(websocket_only.CloseGuard), Middleware(http_only.Scrubber)],
        CLOSED,
        CLOSED,
        ["CloseGuard websocket", "Scrubber http", "endpoint websocket"],
        report={"query": ""},
    ),
    "gate stricter than the endpoint": Case(
        [Middleware(http_only.Gate)], CLOSED, (401, 401, 401), ["Gate http"], endpoint=for_tickets
    ),
    "gate stricter than the endpoint, by path": Case(
        [Middleware(http_only.Gate)],
        CLOSED,
        CLOSED,
        ["Gate websocket", "endpoint websocket"],
        endpoint=for_tickets,
        options={"insecure_skip_http_middleware": ["/ws/{room}"]},
    ),
    "writes the session": Case(
        [Middleware(SessionMiddleware, secret_key="secret"), Middleware(http_only.SessionWriter)],
        OPEN,
        OPEN,
        ["SessionWriter http", "endpoint websocket"],
        plain_report={"session": {}},
        report={"session": {"visitor": "ada"}},
    ),
    "rate limit": Case(
        [Middleware(http_only.RateLimit)], OPEN, OPEN, ["RateLimit http", "endpoint websocket"], visit=by_new_token
    ),
    "counts by route": Case(
        [Middleware(http_only.RouteCounter)],
        OPEN,
        OPEN,
        ["RouteCounter http", "endpoint websocket", "101 /ws/{room} http"],
    ),
    "replays the body": Case([Middleware(http_only.BodyReader)], OPEN, OPEN, ["BodyReader http", "endpoint websocket"]),
    "insists on HTTP": Case(
        [Middleware(http_only.Insisting)], (500, 500, 500), OPEN, ["Insisting http", "endpoint websocket"]
    ),
    "trusted hosts": Case(
        [Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"])],
        (400, 400, 101),
        (400, 400, 101),
        ["endpoint websocket"],
        visit=by_host,
    ),
    "compresses": Case([Middleware(GZipMiddleware, minimum_size=0)], OPEN, OPEN, ["endpoint websocket"]),
    "CORS": Case([Middleware(CORSMiddleware, allow_origins=["*"])], OPEN, OPEN, ["endpoint websocket"]),
}

CASES: dict[str, Case] = {**WEBSOCKET_ONLY, **BOTH_TYPES, **HTTP_ONLY}


def applications(position: str) -> dict[str, Callable[[], FastAPI]]:
    """Makes the application of each case, by its name, with `UpgradeMiddleware` in this position."""
    return {f"{name} / {position}": partial(case.make, position) for name, case in CASES.items()}
