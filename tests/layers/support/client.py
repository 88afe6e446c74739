"""A visitor of Starlette's TestClient."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from tests.guard.support.client import TestClient, WebSocketDenialResponse
from tests.layers.apps.journal import KEY_HEADER, SEEN
from tests.layers.support.visit import Outcome, Visit

if TYPE_CHECKING:
    from starlette.types import ASGIApp

__all__ = ["TestClient", "visit"]


def visit(app: ASGIApp, visit: Visit) -> Outcome:
    """Shake hands, talk, close, with an application that lives as long; gives what came of it."""
    with TestClient(app, base_url="http://127.0.0.1") as client:
        return visit_client(client, visit)


def visit_client(client: TestClient, visit: Visit) -> Outcome:
    """The same with an application that is running."""
    key = secrets.token_hex(8)
    outcome = _visit(client, visit, {KEY_HEADER.decode(): key, **visit.headers})
    if not outcome.seen:
        outcome.seen = list(SEEN[key])
    return outcome


def _visit(client: TestClient, visit: Visit, headers: dict[str, str]) -> Outcome:
    accepted, outcome = False, Outcome(0)
    try:
        with client.websocket_connect(f"ws://127.0.0.1{visit.path}", headers=headers) as session:
            accepted = True
            if visit.first is not None:
                session.send_text(visit.first)
            report = session.receive_json()
            session.send_text("hello")
            assert session.receive_text() == "hello"
            fields = [(name.decode(), value.decode()) for name, value in session.extra_headers or ()]
            if session.accepted_subprotocol is not None:
                fields.append(("sec-websocket-protocol", session.accepted_subprotocol))
            outcome = Outcome(101, fields, report=report, seen=list(SEEN[headers[KEY_HEADER.decode()]]))
    except WebSocketDenialResponse as denial:
        return Outcome(denial.status_code, denial.headers.multi_items())
    except WebSocketDisconnect as disconnect:
        # Before the accept, servers turn it into a 403.
        return Outcome(disconnect.code if accepted else 403, close=(disconnect.code, disconnect.reason or ""))
    except LookupError:
        assert outcome.status == 101, "the endpoint may fail when all is done, and the test is told"
    except AssertionError:
        # What an application raises before the accept, a server answers with 500.
        if accepted:
            raise
        return Outcome(500)
    return outcome
